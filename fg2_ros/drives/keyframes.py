# Copyright 2026 fg2_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The choice of the images of a drive that are kept."""

from __future__ import annotations

import numpy as np

STANDING, NEAR = 'the vehicle stands', 'near the image before'
STANDING_MPS = 0.2


def thinned(poses: np.ndarray, speed_mps: np.ndarray, reasons: np.ndarray, every_m: float
            ) -> np.ndarray:
    """
    Return why images are left out, or '', after those that show nothing new are left out, too.

    :param poses: (N, 2 or more) places in metres, in the order of time; NaN where not known.
    :param speed_mps: (N,).
    :param reasons: (N,) why images are left out already, or ''.
    :param every_m: the least distance between two images that are kept.
    """
    reasons = reasons.copy()
    reasons[(reasons == '') & (speed_mps < STANDING_MPS)] = STANDING
    last_m = np.full(2, np.inf)
    for index in np.flatnonzero(reasons == '').tolist():
        if np.hypot(*(poses[index, :2] - last_m)) < every_m:
            reasons[index] = NEAR
        else:
            last_m = poses[index, :2]
    return reasons
