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

"""Velocities from the poses of odometry whose driver leaves the twist at zero."""

from __future__ import annotations

from collections import deque

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.inputs import Odometry
import numpy as np

STEPS = 3  # the median of three is not moved by one jump
LONGEST_S = 1.0


class Velocities:
    """
    Differentiates poses as long as a driver gives no velocity.

    Without them the tracker could not tell a jump from a drive.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.clear()

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        self._are_given = False
        self._before: tuple[int, Pose2] | None = None
        self._last: deque[tuple[float, float, float]] = deque(maxlen=STEPS)

    def completed(self, stamp_ns: int, odometry: Odometry) -> Odometry:
        """Return a pose with its velocity: the given one, unless none was ever given."""
        self._are_given |= any(odometry.twist)
        if self._are_given:
            return odometry
        before, self._before = self._before, (stamp_ns, odometry.pose)
        if before is not None:
            self._note_step(before[1], odometry.pose, (stamp_ns - before[0]) / 1e9)
        if not self._last:
            return odometry
        return Odometry(odometry.pose, Pose2(*map(float, np.median(self._last, axis=0))))

    def _note_step(self, before: Pose2, after: Pose2, seconds: float) -> None:
        if not 0.0 < seconds <= LONGEST_S:
            return
        step = before.inverse().compose(after)
        self._last.append((step.x / seconds, step.y / seconds, wrap_angle(step.yaw) / seconds))
