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

"""map -> odom between two poses: held, and led to the newest correction without steps."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.se2 import Pose2, wrap_angle

BLENDED_M = 5.0  # further than poses that follow one another differ


@dataclass(frozen=True)
class _Correction:
    """What map -> odom was and is to be, from a time on."""

    before: Pose2
    after: Pose2
    from_s: float


class HeldTransform:
    """
    A planar transform that is corrected now and then, and asked for often.

    Times are of any clock that does not go back; start anew if it does.

    :param blend_s: a correction is spread over this time.
    :param timeout_s: a correction serves for this long.
    """

    def __init__(self, blend_s: float, timeout_s: float):
        """Hold nothing yet."""
        self._blend_s, self._timeout_s = blend_s, timeout_s
        self._correction: _Correction | None = None

    def change(self, blend_s: float, timeout_s: float) -> None:
        """Blend and end otherwise from now on."""
        self._blend_s, self._timeout_s = blend_s, timeout_s

    def correct(self, now_s: float, after: Pose2, jumped: bool) -> None:
        """
        Take a new value.

        :param jumped: whether the pose was lost before, so that it is taken at once.
        """
        before = None if jumped else self.at(now_s)
        self._correction = _Correction(before or after, after, now_s)

    def is_far(self, now_s: float, parent_from_base: Pose2, child_from_base: Pose2) -> bool:
        """Return whether the held value places something metres from where it is to be."""
        held = self.at(now_s)
        return held is not None and math.dist(
            held.compose(child_from_base)[:2], parent_from_base[:2]) > BLENDED_M

    def at(self, now_s: float) -> Pose2 | None:
        """Return the value at a time; None if there was none, or none for too long."""
        correction = self._correction
        if correction is None or now_s - correction.from_s > self._timeout_s:
            return None
        seconds = max(now_s - correction.from_s, 0.0)
        if seconds >= self._blend_s:
            return correction.after
        return _between(correction.before, correction.after, seconds / self._blend_s)

    @property
    def is_empty(self) -> bool:
        """Return whether there never was a value, or it was dropped."""
        return self._correction is None

    def drop(self) -> None:
        """Hold nothing."""
        self._correction = None


def _between(before: Pose2, after: Pose2, share: float) -> Pose2:
    turn = wrap_angle(after.yaw - before.yaw)
    return Pose2(
        before.x + share * (after.x - before.x), before.y + share * (after.y - before.y),
        wrap_angle(before.yaw + share * turn))
