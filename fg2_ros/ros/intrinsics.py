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

"""The intrinsics of a pinhole camera, from `camera_info` to the images it belongs to."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo


class Intrinsics:
    """Remembers the newest calibration; it is rarely sent at the very stamp of an image."""

    def __init__(self) -> None:
        """Start without one."""
        self._newest: CameraInfo | None = None

    def hear(self, message: CameraInfo) -> None:
        """
        Remember a calibration.

        :raises ValueError: if it is none.
        """
        matrix = matrix_of(message)
        if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0 \
                or 0 in (message.width, message.height):
            raise ValueError('the camera_info is not that of a calibrated camera: its focal '
                             'lengths (p or k), width and height must be positive')
        self._newest = message

    def of(self, width: int, height: int) -> np.ndarray:
        """
        Return the (3, 3) intrinsics of a rectified image, in its own pixels.

        What `camera_info` says of cropping is applied, and binning, or any other scale, is seen
        in the size of the image.

        :raises ValueError: if there is no calibration yet.
        """
        info = self._newest
        if info is None:
            raise ValueError('the weights are for a pinhole camera, and there was no camera_info '
                             'yet, which tells its intrinsics')
        matrix, size = matrix_of(info), np.array([info.width, info.height], float)
        if info.roi.width and info.roi.height:
            matrix[:2, 2] -= info.roi.x_offset, info.roi.y_offset
            size[:] = info.roi.width, info.roi.height
        matrix[:2] *= (np.array([width, height]) / size)[:, None]
        return matrix


def matrix_of(info: CameraInfo) -> np.ndarray:
    """Return the (3, 3) matrix of the rectified image; of a driver that gives none, the raw's."""
    projection = np.array(info.p, float).reshape(3, 4)[:, :3]
    return projection if projection[0, 0] else np.array(info.k, float).reshape(3, 3)
