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

"""Asking imagery for a small patch, again and again as the node does."""

import time

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, ImageryNotReady
from fg2_ros.imagery.patch import PatchView

FRAME = MapFrame(47.0, 8.5)
CENTRE = (0.0, 0.0)
SIZE_M, SIZE_PX = 56.0, 128


def ask(imagery, wait_s: float = 0.0, centre=CENTRE):
    return imagery.patch(PatchView(FRAME, centre, SIZE_M, SIZE_PX), wait_s)


def ask_until(imagery, good, within_s: float = 60.0, centre=CENTRE):
    """Ask until ``good(patch or error)`` is true, and return that."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            outcome = ask(imagery, 0.02, centre)
        except ImageryError as error:
            outcome = error
        if good(outcome):
            return outcome
        assert time.monotonic() < deadline, f'still {outcome!r}'
        time.sleep(0.002)


def ask_for_error(imagery) -> str:
    """Return the sentence of the final error."""
    return str(ask_until(imagery, is_final_error))


def is_final_error(outcome) -> bool:
    return isinstance(outcome, ImageryError) and not isinstance(outcome, ImageryNotReady)


def is_patch(outcome) -> bool:
    return not isinstance(outcome, Exception)
