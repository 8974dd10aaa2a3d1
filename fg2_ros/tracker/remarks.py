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

"""Remarks on inputs that do not fit the pose: GNSS, heading, odometry, the camera's mount."""

from __future__ import annotations

import math

from fg2_ros.geometry.se2 import Pose2
import numpy as np

SHOWN_NS = 5 * 10 ** 9  # a remark is repeated for this long
LASTING_S = 2.0  # offsets are averaged over about this time
SIGMAS = 4.0
MIN_OFFSET_M, MIN_OFFSET_RAD = 10.0, math.radians(15.0)
MOUNT_TURNED = (
    'the images fit only if the camera looks 180 degrees away from where its transform says: '
    'correct its mount')
NO_HEADING = 'no heading is given: images are compared with the imagery at all headings'
STANDING = 'the vehicle stands: more images of one place make its pose no more certain'
NOTES = NO_HEADING, STANDING  # nothing is wrong, and nobody has to act


class Remarks:
    """The current remarks, one for each topic."""

    def __init__(self):
        """Start without remarks."""
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._remarks: dict[str, tuple[int, str]] = {}
        self.restart_comparison()

    def restart_comparison(self) -> None:
        """Forget the poses that inputs were compared with: they are no longer believed."""
        self._offset_m: np.ndarray | None = None
        self._turn: complex | None = None
        self._compared_ns = 0
        for topic in ('fix', 'heading'):
            self._remarks.pop(topic, None)

    def add(self, stamp_ns: int, topic: str, sentence: str) -> None:
        """Make a remark, in place of an earlier one on the same topic."""
        self._remarks[topic] = stamp_ns, sentence

    def hold(self, stamp_ns: int, topic: str, sentence: str, is_so: bool) -> None:
        """Make a remark if it holds now, and withdraw it if it no longer does."""
        if is_so:
            self.add(stamp_ns, topic, sentence)
        else:
            self._remarks.pop(topic, None)

    def at(self, stamp_ns: int) -> tuple[str, ...]:
        """Return the remarks at a stamp."""
        return tuple(sentence for from_ns, sentence in self._remarks.values()
                     if abs(stamp_ns - from_ns) <= SHOWN_NS)

    @property
    def offsets(self) -> tuple[np.ndarray | None, float | None]:
        """Return (2,) metres and radians by which GNSS and the heading differ from the pose."""
        return self._offset_m, None if self._turn is None else float(np.angle(self._turn))

    def compare(self, stamp_ns: int, base: Pose2, fix: tuple[np.ndarray, float] | None,
                heading: tuple[float, float] | None, is_first: bool) -> None:
        """
        Compare inputs with a pose that is published.

        :param fix: (2,) offset and sigma of GNSS in metres.
        :param heading: yaw and sigma in radians.
        :param is_first: whether a search has found the pose: an offset is then worth a remark
            even if GNSS claims no better.
        """
        share = -math.expm1(-abs(stamp_ns - self._compared_ns) / 1e9 / LASTING_S)
        self._compared_ns = stamp_ns
        if fix is not None:
            before = fix[0] if self._offset_m is None else self._offset_m
            self._offset_m = before + share * (fix[0] - before)
            off_m = float(np.hypot(*self._offset_m))
            if off_m > max(0.0 if is_first else SIGMAS * fix[1], MIN_OFFSET_M):
                self.add(stamp_ns, 'fix', f'GNSS is {off_m:.0f} m from where the images and '
                         f'odometry place the vehicle, and claims a sigma of {fix[1]:.0f} m')
        if heading is not None:
            turn = complex(np.exp(1j * (heading[0] - base.yaw)))
            turned = turn if self._turn is None else self._turn
            self._turn = turned + share * (turn - turned)
            off_rad = float(np.angle(self._turn))
            if abs(off_rad) > max(SIGMAS * heading[1], MIN_OFFSET_RAD):
                self.add(stamp_ns, 'heading', 'the heading that is given differs from the pose '
                         f'by {math.degrees(off_rad):.0f} degrees: is the IMU or the camera '
                         'mounted as the transforms say, and is 0 east?')
