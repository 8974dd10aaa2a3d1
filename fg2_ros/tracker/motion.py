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

"""Motion by odometry, each step checked against the velocity that odometry itself reports."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.tracker.history import History
from fg2_ros.tracker.inputs import Odometry
from fg2_ros.tracker.settings import MotionSettings
import numpy as np

SPAN_NS = 60 * 10 ** 9
MAX_M = 1e7  # beyond it doubles are too coarse, or something is broken
FASTEST_MPS = 100.0
FASTEST_RADPS = 10.0
STANDING_MPS, STANDING_RADPS = 0.2, math.radians(2.0)
STAYED_M, STAYED_NS = 0.2, 2 * 10 ** 9  # at most so far in this time
LONGEST_GAP_S = 1.0  # that a velocity bridges


@dataclass(frozen=True)
class Motion:
    """
    From one stamp to another.

    :param step: the later base_link in the earlier one.
    :param driven_m: length of the path.
    :param sigma_m: standard deviation of the step's place on each axis.
    :param sigma_rad: of its heading.
    """

    step: Pose2
    driven_m: float
    sigma_m: float
    sigma_rad: float


@dataclass(frozen=True)
class Link:
    """
    A pose in the chain.

    :param raw: as odometry has it.
    :param pose: without the jumps.
    :param path_m: length of the path since the first link.
    :param jump_m2: variance that the jumps left out so far add, in m^2; ``jump_rad2`` in rad^2.
    """

    stamp_ns: int
    raw: Pose2
    pose: Pose2
    twist: Pose2
    path_m: float
    jump_m2: float
    jump_rad2: float


class OdometryChain:
    """Odometry with its jumps left out."""

    def __init__(self, settings: MotionSettings):
        """Start empty."""
        self.settings = settings
        self._links = History(SPAN_NS)

    def clear(self) -> None:
        """Forget everything."""
        self._links.clear()

    def __bool__(self) -> bool:
        """Return whether there is any odometry."""
        return len(self._links) > 0

    def add(self, stamp_ns: int, odometry: Odometry) -> str:
        """
        Append a pose.

        :return: what is wrong with it, a sentence; '' if nothing is.
        """
        if problem := _problem_of(odometry):
            return problem
        before, after = self._links.around(stamp_ns)
        if after is not None:
            return ''  # late: its neighbours have bridged it
        if before is None:
            self._links.add(stamp_ns, Link(
                stamp_ns, odometry.pose, odometry.pose, odometry.twist, 0.0, 0.0, 0.0))
            return ''
        link, problem = self._linked(stamp_ns, before[1], odometry)
        self._links.add(stamp_ns, link)
        return problem

    def between(self, from_ns: int, to_ns: int) -> Motion | None:
        """Return the motion between two stamps; None where odometry does not cover them."""
        start, end = self.at(from_ns), self.at(to_ns)
        return None if start is None or end is None else self.motion(start, end)

    def stands(self, stamp_ns: int) -> bool:
        """Return whether the vehicle is known to have stayed where it is for some time."""
        motion = self.between(stamp_ns - STAYED_NS, stamp_ns)
        return motion is not None and math.hypot(motion.step.x, motion.step.y) < STAYED_M

    def motion(self, start: Link, end: Link) -> Motion:
        """Return the motion between two links, also of those no longer remembered."""
        settings = self.settings
        driven_m = abs(end.path_m - start.path_m)
        seconds = abs(end.stamp_ns - start.stamp_ns) / 1e9
        drift_m2 = settings.drift_m ** 2 * driven_m + abs(end.jump_m2 - start.jump_m2)
        drift_rad2 = math.radians(settings.drift_deg) ** 2 * min(
            seconds, driven_m) + abs(end.jump_rad2 - start.jump_rad2)
        return Motion(start.pose.inverse().compose(end.pose), driven_m,
                      math.sqrt(drift_m2), math.sqrt(drift_rad2))

    def _linked(self, stamp_ns: int, before: Link, odometry: Odometry) -> tuple[Link, str]:
        settings, seconds = self.settings, (stamp_ns - before.stamp_ns) / 1e9
        step = before.raw.inverse().compose(odometry.pose)
        mean = Pose2(*(0.5 * (np.array(before.twist) + np.array(odometry.twist))))
        expected = Pose2(*(seconds * np.array(mean)))
        off_m = math.hypot(step.x - expected.x, step.y - expected.y)
        off_rad = abs(wrap_angle(step.yaw - expected.yaw))
        allowed_m = settings.jump_m + 0.5 * math.hypot(expected.x, expected.y)
        allowed_rad = math.radians(settings.jump_deg) + 0.5 * abs(expected.yaw)
        problem, jump_m2, jump_rad2 = '', 0.0, 0.0
        if off_m > allowed_m or off_rad > allowed_rad:
            problem = (
                f'odometry jumped by {off_m:.1f} m and {math.degrees(off_rad):.0f} degrees within '
                f'{seconds:.2f} s, which its velocity does not allow: the jump is left out')
            bridged_s = min(seconds, LONGEST_GAP_S)
            step = Pose2(*(bridged_s * np.array(mean)))
            unknown_s = seconds - bridged_s
            jump_m2 = settings.jump_m ** 2 + (settings.speed_without_mps * unknown_s) ** 2
            jump_rad2 = math.radians(3.0 + min(45.0 * unknown_s, 180.0)) ** 2
        if math.hypot(mean.x, mean.y) < STANDING_MPS and abs(mean.yaw) < STANDING_RADPS:
            step = step._replace(yaw=0.0)  # wheels that stand do not turn: that is a gyro's drift
        return Link(
            stamp_ns, odometry.pose, before.pose.compose(step), odometry.twist,
            before.path_m + math.hypot(step.x, step.y), before.jump_m2 + jump_m2,
            before.jump_rad2 + jump_rad2), problem

    def at(self, stamp_ns: int) -> Link | None:
        """Return the link at a stamp, interpolated; None where odometry does not reach."""
        before, after = self._links.around(stamp_ns)
        if before and after:
            return _interpolated(stamp_ns, before[1], after[1])
        if not (before or after):
            return None
        from_ns, link = before or after
        seconds = (stamp_ns - from_ns) / 1e9
        if abs(seconds) > self.settings.timeout_s:
            return None
        step = Pose2(*(seconds * np.array(link.twist)))
        return Link(
            stamp_ns, link.raw, link.pose.compose(step), link.twist,
            link.path_m + math.copysign(math.hypot(step.x, step.y), seconds), link.jump_m2,
            link.jump_rad2)


def _problem_of(odometry: Odometry) -> str:
    values = np.array([*odometry.pose, *odometry.twist], float)
    if not np.isfinite(values).all() or np.abs(values[:2]).max() > MAX_M:
        return 'odometry is not finite or absurdly far away: it is not used'
    vx, vy, turn = odometry.twist
    if math.hypot(vx, vy) > FASTEST_MPS or abs(turn) > FASTEST_RADPS:
        return (f'odometry claims {math.hypot(vx, vy):.0f} m/s and {turn:.1f} rad/s: '
                'it is not used')
    return ''


def _interpolated(stamp_ns: int, first: Link, second: Link) -> Link:
    share = (stamp_ns - first.stamp_ns) / (second.stamp_ns - first.stamp_ns)
    step = first.pose.inverse().compose(second.pose)
    return Link(
        stamp_ns, first.raw, first.pose.compose(Pose2(*(share * np.array(step)))), first.twist,
        first.path_m + share * (second.path_m - first.path_m),
        first.jump_m2 + share * (second.jump_m2 - first.jump_m2),
        first.jump_rad2 + share * (second.jump_rad2 - first.jump_rad2))
