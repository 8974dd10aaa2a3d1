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

"""
The prior at an image's stamp: where GNSS, heading and odometry say the vehicle is.

Deliberately small: no state vector, only short time-ordered buffers. GNSS errors wander and are
not white, so averaging fixes smooths the position but never claims a smaller sigma than a fix has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import threading

from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.prior.history import History
from fg2_ros.prior.settings import PriorSettings
import numpy as np


class NoPrior(Exception):
    """There is no usable prior; the sentence says what is missing."""


@dataclass(frozen=True)
class BasePrior:
    """Where `base_link` is in the map frame at one stamp, and how sure that is."""

    pose: Pose2
    sigma_m: float
    yaw_sigma_rad: float
    source: str
    age_s: float  # of the newest fix or estimate that it stands on

    @property
    def has_heading(self) -> bool:
        """Whether the yaw is known; else it is NaN."""
        return bool(np.isfinite(self.pose.yaw))

    def of_camera(self, base_from_camera: Pose2) -> tuple[Pose2, float]:
        """Return a camera's pose and the sigma of its position, which may lie anywhere around."""
        if self.has_heading:
            return self.pose.compose(base_from_camera), self.sigma_m
        return self.pose, float(np.hypot(self.sigma_m, np.hypot(*base_from_camera[:2])))


@dataclass(frozen=True)
class Fix:
    """A GNSS position of the antenna in the map frame, and the antenna's place on the vehicle."""

    position_m: np.ndarray
    sigma_m: float
    lever_m: tuple[float, float] = (0.0, 0.0)  # of the antenna in base_link


@dataclass(frozen=True)
class Odometry:
    """A pose of base_link in the odometry frame, with the velocity in base_link."""

    pose: Pose2
    twist: Pose2  # m/s, m/s, rad/s
    path_m: float = 0.0  # driven since the first message; counted by the tracker


@dataclass(frozen=True)
class _Yaw:
    yaw_rad: float
    sigma_rad: float
    source: str


class PriorTracker:
    """Keep the last seconds of every input and say where the vehicle was at a stamp."""

    def __init__(self, settings: PriorSettings):
        """Start knowing nothing."""
        self.settings = settings
        self._lock = threading.RLock()
        span_ns = int(1e9 * max(
            settings.fix_timeout_s, settings.window_s, settings.estimate_timeout_s) + 5e9)
        self._fixes = History(span_ns)
        self._headings = History(span_ns)
        self._odometry = History(span_ns)
        self._estimate = None  # (stamp_ns, Pose2, covariance)
        self._rejections = 0

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        with self._lock:
            for history in (self._fixes, self._headings, self._odometry):
                history.clear()
            self._estimate = None

    def add_fix(self, stamp_ns: int, fix: Fix) -> None:
        """Remember a good GNSS fix."""
        with self._lock:
            self._fixes.add(stamp_ns, fix)

    def add_heading(self, stamp_ns: int, yaw_rad: float, sigma_rad: float) -> None:
        """Remember a map yaw of base_link."""
        with self._lock:
            self._headings.add(stamp_ns, _Yaw(yaw_rad, sigma_rad, 'imu'))

    def add_odometry(self, stamp_ns: int, odometry: Odometry) -> None:
        """Remember a pose of base_link in the odometry frame."""
        with self._lock:
            before, _ = self._odometry.around(stamp_ns)
            if before:
                step_m = np.hypot(*np.subtract(odometry.pose[:2], before[1].pose[:2]))
                odometry = replace(odometry, path_m=before[1].path_m + float(step_m))
            self._odometry.add(stamp_ns, odometry)

    def add_estimate(self, stamp_ns: int, pose: Pose2, covariance: np.ndarray) -> None:
        """Remember an accepted estimate of base_link in the map frame, with its covariance."""
        with self._lock:
            self._estimate = stamp_ns, pose, covariance
            self._rejections = 0

    def estimate_rejected(self) -> None:
        """Trust the last estimate less: it may be why the new ones make no sense."""
        with self._lock:
            self._rejections += 1
            if self._rejections >= self.settings.estimate_rejections:
                self._estimate = None

    def at(self, stamp_ns: int, needs_heading: bool = True) -> BasePrior:
        """
        Return the prior of base_link at a stamp.

        :param needs_heading: if not, an unknown yaw is NaN, and nothing is carried along.
        :raises NoPrior: if position or heading are unknown or too uncertain.
        """
        with self._lock:
            if self._estimate is None and not self._fixes:
                raise NoPrior('no position yet: there was no good GNSS fix')
            heading = self._heading_at(stamp_ns)
            if heading is not None:
                prior = self._position_at(stamp_ns, heading)
            elif needs_heading:
                raise NoPrior(
                    'no heading yet: neither an IMU orientation, nor an earlier estimate, nor '
                    'enough motion for a course over ground')
            else:
                prior = self._without_heading(stamp_ns)
        if prior.sigma_m > self.settings.max_sigma_m:
            raise NoPrior(
                f'the prior position from {prior.source} is only good to {prior.sigma_m:.0f} m '
                f'(prior.max_sigma_m is {self.settings.max_sigma_m:g})')
        return prior

    # Heading -----------------------------------------------------------------------------------

    def _heading_at(self, stamp_ns: int) -> _Yaw | None:
        return (self._imu_heading(stamp_ns) or self._estimate_heading(stamp_ns)
                or self._course_over_ground(stamp_ns))

    def _imu_heading(self, stamp_ns: int) -> _Yaw | None:
        before, after = self._headings.around(stamp_ns)
        if before and after and after[0] - before[0] <= 2e9 * self.settings.heading_timeout_s:
            share = (stamp_ns - before[0]) / max(after[0] - before[0], 1)
            turn = wrap_angle(after[1].yaw_rad - before[1].yaw_rad)
            return _Yaw(wrap_angle(before[1].yaw_rad + share * turn),
                        max(before[1].sigma_rad, after[1].sigma_rad), 'imu')
        known = [item for item in (before, after) if item]
        if not known:
            return None
        nearest_ns, heading = min(known, key=lambda item: abs(stamp_ns - item[0]))
        return self._carried_heading(nearest_ns, stamp_ns, heading)

    def _carried_heading(self, from_ns: int, to_ns: int, heading: _Yaw) -> _Yaw | None:
        seconds = abs(to_ns - from_ns) / 1e9
        motion = self._odometry_between(from_ns, to_ns)
        if motion is None:
            return heading if seconds <= self.settings.heading_timeout_s else None
        drift = np.radians(self.settings.yaw_drift_deg_per_second) * seconds
        return _Yaw(wrap_angle(heading.yaw_rad + motion[1].pose.yaw - motion[0].pose.yaw),
                    float(np.hypot(heading.sigma_rad, drift)), heading.source)

    def _estimate_heading(self, stamp_ns: int) -> _Yaw | None:
        if self._estimate is None:
            return None
        from_ns, pose, covariance = self._estimate
        if abs(stamp_ns - from_ns) > 1e9 * self.settings.estimate_timeout_s:
            return None
        sigma = float(np.sqrt(covariance[2, 2]))
        return self._carried_heading(from_ns, stamp_ns, _Yaw(pose.yaw, sigma, 'estimate'))

    def _course_over_ground(self, stamp_ns: int) -> _Yaw | None:
        fixes = self._fixes.between(stamp_ns - int(1e9 * self.settings.fix_timeout_s), stamp_ns)
        if len(fixes) < 2:
            return None
        (first_ns, first), (last_ns, last) = fixes[0], fixes[-1]
        travel = last.position_m - first.position_m
        noise_m = float(np.hypot(first.sigma_m, last.sigma_m))
        distance_m = float(np.hypot(*travel))
        if distance_m < max(self.settings.course_distance_m, 2 * noise_m):
            return None
        yaw = float(np.arctan2(travel[1], travel[0]))
        motion = self._odometry_between(first_ns, stamp_ns)
        end = self._odometry_between(first_ns, last_ns)
        if motion is not None and end is not None:  # direction of travel in the odometry frame
            x, y = np.subtract(end[1].pose[:2], end[0].pose[:2])
            yaw += motion[1].pose.yaw - float(np.arctan2(y, x))
        return _Yaw(wrap_angle(yaw), float(np.arctan2(noise_m, distance_m)), 'course over ground')

    # Position ----------------------------------------------------------------------------------

    def _position_at(self, stamp_ns: int, heading: _Yaw) -> BasePrior:
        gnss = self._from_fixes(stamp_ns, heading)
        estimate = self._from_estimate(stamp_ns, heading) if self.settings.use_estimate else None
        if estimate and gnss and self._contradicts(estimate, gnss):
            self._estimate = estimate = None
        prior = estimate or gnss
        if prior is None:
            raise self._no_fix()
        return prior

    def _without_heading(self, stamp_ns: int) -> BasePrior:
        """Return where the nearest fix is; how far the vehicle drove since makes it vaguer."""
        nearest = self._fixes.nearest(stamp_ns)
        if nearest is None or abs(stamp_ns - nearest[0]) > 1e9 * self.settings.fix_timeout_s:
            raise self._no_fix()
        from_ns, fix = nearest
        seconds = abs(stamp_ns - from_ns) / 1e9
        motion = self._odometry_between(from_ns, stamp_ns)
        away_m = float(np.hypot(*fix.lever_m)) + (
            self.settings.speed_without_odometry * seconds if motion is None
            else abs(motion[1].path_m - motion[0].path_m))
        x, y = fix.position_m
        return BasePrior(
            Pose2(float(x), float(y), np.nan), float(np.hypot(fix.sigma_m, away_m)), np.inf,
            'GNSS alone', seconds)

    def _no_fix(self) -> NoPrior:
        return NoPrior('no position yet: no good GNSS fix in the '
                       f'{self.settings.fix_timeout_s:g} s around the image')

    def _contradicts(self, estimate: BasePrior, gnss: BasePrior) -> bool:
        distance_m = np.hypot(estimate.pose.x - gnss.pose.x, estimate.pose.y - gnss.pose.y)
        sigma_m = np.hypot(estimate.sigma_m, gnss.sigma_m)
        return bool(distance_m > self.settings.estimate_gate_sigmas * sigma_m)

    def _from_fixes(self, stamp_ns: int, heading: _Yaw) -> BasePrior | None:
        newest = self._fixes.nearest(stamp_ns)
        if newest is None or abs(stamp_ns - newest[0]) > 1e9 * self.settings.fix_timeout_s:
            return None
        window_ns = int(1e9 * self.settings.window_s)
        fixes = self._fixes.between(stamp_ns - window_ns, stamp_ns + window_ns) or [newest]
        carried = [self._carried_fix(from_ns, stamp_ns, fix, heading) for from_ns, fix in fixes]
        places, sigmas = (np.array(values) for values in zip(*carried))
        weights = sigmas ** -2 / np.sum(sigmas ** -2)
        x, y = weights @ places
        sigma_m = float(np.sqrt(weights @ sigmas ** 2))
        return BasePrior(
            Pose2(float(x), float(y), heading.yaw_rad), sigma_m, heading.sigma_rad,
            f'GNSS and {heading.source}', abs(stamp_ns - newest[0]) / 1e9)

    def _carried_fix(self, from_ns: int, to_ns: int, fix: Fix, heading: _Yaw):
        travel, growth_m, turn = self._travel(from_ns, to_ns, heading)
        lever = rotation2(heading.yaw_rad - turn) @ fix.lever_m
        return fix.position_m - lever + travel, float(np.hypot(fix.sigma_m, growth_m))

    def _from_estimate(self, stamp_ns: int, heading: _Yaw) -> BasePrior | None:
        if self._estimate is None:
            return None
        from_ns, pose, covariance = self._estimate
        age_s = abs(stamp_ns - from_ns) / 1e9
        if age_s > self.settings.estimate_timeout_s:
            return None
        travel, growth_m, _ = self._travel(from_ns, stamp_ns, heading)
        sigma_m = np.sqrt(np.linalg.eigvalsh(covariance[:2, :2])[-1] + growth_m ** 2)
        x, y = np.array([pose.x, pose.y]) + travel
        return BasePrior(
            Pose2(float(x), float(y), heading.yaw_rad),
            float(max(sigma_m, self.settings.min_estimate_sigma_m)), heading.sigma_rad,
            f'the last estimate and {heading.source}', age_s)

    # Motion ------------------------------------------------------------------------------------

    def _travel(self, from_ns: int, to_ns: int, heading: _Yaw):
        """Return the map displacement, the growth of sigma (m) and the turn between two stamps."""
        settings, seconds = self.settings, abs(to_ns - from_ns) / 1e9
        motion = self._odometry_between(from_ns, to_ns)
        if motion is None:
            return np.zeros(2), settings.speed_without_odometry * seconds, 0.0
        start, end = motion[0].pose, motion[1].pose
        travel = rotation2(heading.yaw_rad - end.yaw) @ (end.x - start.x, end.y - start.y)
        driven_m = abs(motion[1].path_m - motion[0].path_m)
        growth_m = settings.drift_per_metre * driven_m + settings.drift_per_second * seconds
        return travel, float(growth_m), end.yaw - start.yaw

    def _odometry_between(self, from_ns: int, to_ns: int) -> tuple[Odometry, Odometry] | None:
        start, end = self._odometry_at(from_ns), self._odometry_at(to_ns)
        return (start, end) if start and end else None

    def _odometry_at(self, stamp_ns: int) -> Odometry | None:
        before, after = self._odometry.around(stamp_ns)
        if before and after:
            share = (stamp_ns - before[0]) / max(after[0] - before[0], 1)
            return _between(before[1], after[1], share)
        if not (before or after):
            return None
        from_ns, odometry = before or after
        seconds = (stamp_ns - from_ns) / 1e9
        if abs(seconds) > self.settings.odometry_timeout_s:
            return None
        step = Pose2(*(seconds * np.array(odometry.twist)))
        return replace(odometry, pose=odometry.pose.compose(step),
                       path_m=odometry.path_m + float(np.hypot(step.x, step.y)))


def _between(first: Odometry, second: Odometry, share: float) -> Odometry:
    start, end = first.pose, second.pose
    turn = wrap_angle(end.yaw - start.yaw)
    pose = Pose2(start.x + share * (end.x - start.x), start.y + share * (end.y - start.y),
                 wrap_angle(start.yaw + share * turn))
    return replace(first, pose=pose,
                   path_m=first.path_m + share * (second.path_m - first.path_m))
