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

"""map -> odom between two poses: held, with corrections blended in."""

from __future__ import annotations

import math
from typing import NamedTuple

from fg2_ros.geometry.se2 import Pose2, wrap_angle

BLENDED_M = 5.0  # further than poses that follow one another differ


class _Correction(NamedTuple):
    """A change of x, y and yaw that is blended in from a time on."""

    from_s: float
    change: Pose2

    def share_left(self, now_s: float, blend_s: float) -> float:
        """Return how much of it is still to come."""
        seconds = max(now_s - self.from_s, 0.0)
        return 1 - seconds / blend_s if seconds < blend_s else 0.0


class HeldTransform:
    """
    A planar transform that is corrected now and then, and asked for often.

    Each correction is spread over the same time, whatever comes after it: one that was
    restarted by each pose would never be completed, and the transform would lag behind.
    Times are of any clock that does not go back; start anew if it does.

    :param blend_s: a correction is spread over this time.
    :param timeout_s: a correction serves for this long.
    """

    def __init__(self, blend_s: float, timeout_s: float):
        """Hold nothing yet."""
        self._blend_s, self._timeout_s = blend_s, timeout_s
        self._newest: Pose2 | None = None
        self._newest_s = 0.0
        self._corrections: list[_Correction] = []  # not blended in completely yet

    def change(self, blend_s: float, timeout_s: float) -> None:
        """Blend and end otherwise from now on."""
        self._blend_s, self._timeout_s = blend_s, timeout_s

    def correct(self, now_s: float, after: Pose2, jumped: bool) -> None:
        """
        Take a new value.

        :param jumped: whether the pose was lost before, so that it is taken at once.
        """
        before = self._newest
        if jumped or before is None or self.at(now_s) is None:
            self._corrections = []
        else:
            self._corrections = [
                *(each for each in self._corrections if each.share_left(now_s, self._blend_s)),
                _Correction(now_s, _difference(before, after))]
        self._newest, self._newest_s = after, now_s

    def is_far(self, now_s: float, parent_from_base: Pose2, child_from_base: Pose2) -> bool:
        """Return whether the held value places something metres from where it is to be."""
        held = self.at(now_s)
        return held is not None and math.dist(
            held.compose(child_from_base)[:2], parent_from_base[:2]) > BLENDED_M

    def at(self, now_s: float) -> Pose2 | None:
        """Return the value at a time; None if there was none, or none for too long."""
        if self._newest is None or now_s - self._newest_s > self._timeout_s:
            return None
        x, y, yaw = self._newest
        for correction in self._corrections:
            share = correction.share_left(now_s, self._blend_s)
            x -= share * correction.change.x
            y -= share * correction.change.y
            yaw -= share * correction.change.yaw
        return Pose2(x, y, wrap_angle(yaw))

    @property
    def is_empty(self) -> bool:
        """Return whether there never was a value, or it was dropped."""
        return self._newest is None

    def drop(self) -> None:
        """Hold nothing."""
        self._newest = None
        self._corrections = []


def _difference(before: Pose2, after: Pose2) -> Pose2:
    """Return by what the numbers of a pose differ, the angle the short way round."""
    return Pose2(after.x - before.x, after.y - before.y, wrap_angle(after.yaw - before.yaw))
