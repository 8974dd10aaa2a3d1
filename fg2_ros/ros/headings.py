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

"""The vehicle's heading from the best source that is currently received."""

from __future__ import annotations

from collections import deque
import math
from typing import NamedTuple

from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.tracker.inputs import Fix
from fg2_ros.tracker.tracker import Tracker
import numpy as np

SOURCES = ('heading', 'heading_pose', 'fix_second', 'imu', 'course')  # the best first
SILENT_NS = 2 * 10 ** 9  # after which the next best source takes over
PAIRED_NS = 50_000_000  # two antennas' fixes this far apart are of one time
COURSE_NS = 5 * 10 ** 9  # fixes of this time make a course
LEAST_DRIVEN_M = 5.0
STRAIGHT_RAD = math.radians(10.0)  # a course without odometry bends less than this
VAGUEST_RAD = math.radians(15.0)  # as far as a search looks around a heading
LONGEST_SIGMAS = 4.0  # that distances by GNSS and by odometry, or mounts, may differ


class Yaw(NamedTuple):
    """A map yaw of base_link with its standard deviation."""

    yaw_rad: float
    sigma_rad: float


class Headings:
    """
    Passes headings on to the tracker: those of the best source that is received.

    :param tracker: takes the headings, and gives the motion by odometry.
    """

    def __init__(self, tracker: Tracker):
        """Start with none."""
        self._tracker = tracker
        self.least_speed_mps = 0.0  # below this there is no course
        self.clear()

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        self._heard_ns: dict[str, int] = {}
        self._fixes: deque[tuple[int, Fix]] = deque(maxlen=100)
        self._second: deque[tuple[int, Fix]] = deque(maxlen=20)

    def add(self, source: str, stamp_ns: int, heading: Yaw) -> None:
        """Take a heading, unless a better source is received."""
        self._heard_ns[source] = max(stamp_ns, self._heard_ns.get(source, 0))
        if self.source(stamp_ns) == source:
            self._tracker.add_heading(stamp_ns, *heading)

    def source(self, stamp_ns: int) -> str:
        """Return the source that is used at a stamp; '' if none is received."""
        return next((source for source in SOURCES if abs(
            stamp_ns - self._heard_ns.get(source, -SILENT_NS)) < SILENT_NS), '')

    @property
    def summary(self) -> str:
        """Return, for diagnostics, the source that is used."""
        newest_ns = max((*self._heard_ns.values(), *(when for when, _ in self._fixes)), default=0)
        return self.source(newest_ns) or 'none: the images alone tell it'

    # GNSS --------------------------------------------------------------------------------------

    def add_fix(self, stamp_ns: int, fix: Fix) -> None:
        """Take a fix of the first antenna; without a better source it may make a course."""
        self._fixes.append((stamp_ns, fix))
        self._pair(stamp_ns, fix, self._second, is_second=False)
        if self.source(stamp_ns) in ('', 'course'):
            course = self._course()
            if course is not None:
                self.add('course', stamp_ns, course)

    def add_second_fix(self, stamp_ns: int, fix: Fix) -> None:
        """
        Take a fix of the second antenna.

        :raises ValueError: if the antennas are too near each other to say anything, or their
            distance is not that of the mounts.
        """
        self._second.append((stamp_ns, fix))
        self._pair(stamp_ns, fix, self._fixes, is_second=True)

    def _pair(self, stamp_ns: int, fix: Fix, others: deque, is_second: bool) -> None:
        near = [other for when_ns, other in others if abs(when_ns - stamp_ns) <= PAIRED_NS]
        if near:
            first, second = (near[-1], fix) if is_second else (fix, near[-1])
            self.add('fix_second', stamp_ns, of_antennas(first, second))

    def _course(self) -> Yaw | None:
        """Return the heading at the newest fix by where the fixes went; None if that is vague."""
        newest_ns, newest = self._fixes[-1]
        before = [each for each in self._fixes if 0 < newest_ns - each[0] <= COURSE_NS]
        if not before:
            return None
        oldest_ns, oldest = before[0]
        gone_m = float(np.hypot(*(newest.position_m - oldest.position_m)))
        speed_mps = gone_m / ((newest_ns - oldest_ns) / 1e9)
        if gone_m < LEAST_DRIVEN_M or speed_mps < self.least_speed_mps:
            return None
        motion = self._tracker.motion(oldest_ns, newest_ns)
        if motion is not None:
            course = of_motion(oldest, newest, motion.step, motion.sigma_rad)
        else:
            middle_ns = (oldest_ns + newest_ns) // 2
            middle = min(before, key=lambda each: abs(each[0] - middle_ns))[1]
            course = of_places(oldest, middle, newest)
        return course if course is not None and course.sigma_rad <= VAGUEST_RAD else None


def of_antennas(first: Fix, second: Fix) -> Yaw:
    """
    Return the heading by two antennas at one time.

    :raises ValueError: if they are too near each other to say anything, or their distance is not
        that of the mounts.
    """
    between_m = second.position_m - first.position_m
    mounted_m = np.subtract(second.lever_m, first.lever_m)
    sigma_m, apart_m = math.hypot(first.sigma_m, second.sigma_m), float(np.hypot(*mounted_m))
    if sigma_m > VAGUEST_RAD * apart_m:
        raise ValueError(
            f'two antennas {apart_m:.2f} m apart whose fixes may be {sigma_m:.2f} m off tell no '
            'heading: both receivers need RTK')
    seen_m = float(np.hypot(*between_m))
    if abs(seen_m - apart_m) > LONGEST_SIGMAS * sigma_m:
        raise ValueError(f'the two antennas are {seen_m:.2f} m apart by their fixes, but '
                         f'{apart_m:.2f} m by their mounts: they tell no heading')
    return Yaw(_turn(mounted_m, between_m), sigma_m / apart_m)


def of_motion(before: Fix, after: Fix, step: Pose2, sigma_rad: float) -> Yaw | None:
    """
    Return the heading at a fix by an earlier one and odometry, be it forward or around a corner.

    :param step: the later base_link in the earlier one, by odometry.
    :param sigma_rad: of the turn in it.
    """
    lever_m = np.array(before.lever_m)
    by_odometry_m = step[:2] + rotation2(step.yaw) @ np.array(after.lever_m) - lever_m
    by_gnss_m = after.position_m - before.position_m
    sigma_m, driven_m = math.hypot(before.sigma_m, after.sigma_m), float(np.hypot(*by_odometry_m))
    if driven_m < LEAST_DRIVEN_M or abs(
            driven_m - float(np.hypot(*by_gnss_m))) > LONGEST_SIGMAS * sigma_m:
        return None
    yaw_rad = wrap_angle(_turn(by_odometry_m, by_gnss_m) + step.yaw)
    return Yaw(yaw_rad, math.hypot(sigma_m / driven_m, sigma_rad))


def of_places(oldest: Fix, middle: Fix, newest: Fix) -> Yaw | None:
    """Return the heading at the last of three fixes of a vehicle that drives ahead, or None."""
    first_m = middle.position_m - oldest.position_m
    second_m = newest.position_m - middle.position_m
    driven_m = float(np.hypot(*second_m))
    if driven_m < LEAST_DRIVEN_M or np.hypot(*first_m) < LEAST_DRIVEN_M:
        return None
    bend_rad = _turn(first_m, second_m)
    if abs(bend_rad) > STRAIGHT_RAD:
        return None
    yaw_rad = wrap_angle(math.atan2(second_m[1], second_m[0]) + bend_rad / 2)
    sigma_m = math.hypot(middle.sigma_m, newest.sigma_m)
    return Yaw(yaw_rad, math.hypot(sigma_m / driven_m, bend_rad / 2))


def _turn(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much a direction has turned."""
    return float(wrap_angle(math.atan2(after[1], after[0]) - math.atan2(before[1], before[0])))
