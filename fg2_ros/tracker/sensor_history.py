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

"""GNSS fixes and headings of the last minute, and how likely they make poses."""

from __future__ import annotations

import math

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.tracker.history import History
from fg2_ros.tracker.initial_search import HEADINGS, SearchArea
from fg2_ros.tracker.inputs import Fix
from fg2_ros.tracker.motion import OdometryChain
from fg2_ros.tracker.settings import PriorSettings
import numpy as np

SPAN_NS = 60 * 10 ** 9
AVERAGED_NS = 3 * 10 ** 9
UNKNOWN_MPS = 10.0  # speed of a vehicle without odometry
NEAR_NS = 10 ** 9  # a fix is compared with poses up to this far in time
CONTRADICTION_SIGMAS = 5.0
MAJORITY_FIXES = 3  # of which most must contradict a pose


class SensorHistory:
    """
    The last fixes and headings.

    :param odometry: carries them to other stamps.
    """

    def __init__(self, settings: PriorSettings, odometry: OdometryChain):
        """Start empty."""
        self.settings, self._odometry = settings, odometry
        self._fixes, self._headings = History(SPAN_NS), History(SPAN_NS)

    def clear(self) -> None:
        """Forget everything."""
        self._fixes.clear()
        self._headings.clear()

    def add_fix(self, stamp_ns: int, fix: Fix) -> None:
        """Remember a fix."""
        self._fixes.add(stamp_ns, fix)

    def add_heading(self, stamp_ns: int, yaw_rad: float, sigma_rad: float) -> None:
        """Remember a heading."""
        self._headings.add(stamp_ns, (yaw_rad, sigma_rad))

    def start(self, stamp_ns: int, sigma_m: float | None = None,
              since_ns: int = 0) -> SearchArea | None:
        """
        Return where a search begins; None if there is no fix.

        :param sigma_m: of the position; None for what the fixes claim.
        :param since_ns: odometry does not carry older fixes.
        """
        settings = self.settings
        newest = self._fixes.nearest(stamp_ns)
        if newest is None or abs(stamp_ns - newest[0]) > 1e9 * settings.fix_timeout_s:
            return None
        if sigma_m is None:
            near = self._fixes.between(newest[0] - AVERAGED_NS, newest[0] + AVERAGED_NS)
            sigma_m = float(np.median([fix.sigma_m for _, fix in near]))
        sigma_m = max(sigma_m, settings.min_fix_sigma_m,
                      self._spread_m(stamp_ns, newest[0], since_ns))
        reach_m = settings.reach_sigmas * sigma_m + 2.0
        heading = self.heading(stamp_ns)
        return SearchArea(
            lambda yaw_rad: self._position(stamp_ns, newest[0], since_ns, yaw_rad),
            min(reach_m, settings.largest_reach_m), heading and heading[0])

    def heading(self, stamp_ns: int) -> tuple[float, float] | None:
        """Return (yaw, sigma) of base_link at a stamp; None if it is not known."""
        nearest = self._headings.nearest(stamp_ns)
        if nearest is None:
            return None
        from_ns, (yaw_rad, sigma_rad) = nearest
        sigma_rad = max(sigma_rad, math.radians(self.settings.min_heading_sigma_deg))
        motion = self._odometry.between(from_ns, stamp_ns)
        if motion is not None:
            return wrap_angle(yaw_rad + motion.step.yaw), math.hypot(sigma_rad, motion.sigma_rad)
        if abs(stamp_ns - from_ns) > 1e9 * self.settings.heading_timeout_s:
            return None
        return yaw_rad, sigma_rad

    def has_fix(self, stamp_ns: int) -> bool:
        """Return whether there is a fix near enough to a stamp to be compared with."""
        nearest = self._fixes.nearest(stamp_ns)
        return nearest is not None and abs(nearest[0] - stamp_ns) <= NEAR_NS

    def lacking_fix(self, stamp_ns: int) -> str:
        """Return, as part of a sentence, how far in time the nearest fix is; '' without any."""
        nearest = self._fixes.nearest(stamp_ns)
        if nearest is None:
            return ''
        seconds = (nearest[0] - stamp_ns) / 1e9
        return (f'; the nearest is dated {abs(seconds):.1f} s '
                f'{"after" if seconds > 0 else "before"} the image: do their clocks differ?')

    def contradictions(self, stamp_ns: int, base: Pose2, by_majority: bool) -> list[str]:
        """
        Return how GNSS and the heading contradict a pose, as parts of a sentence.

        :param by_majority: whether most of the last fixes must do so, or one is enough.
        """
        offsets = self._last_offsets(stamp_ns, base)[-(MAJORITY_FIXES if by_majority else 1):]
        against = [float(np.hypot(*off_m)) for off_m, sigma_m in offsets
                   if np.hypot(*off_m) > CONTRADICTION_SIGMAS * sigma_m]
        found = []
        if 2 * len(against) > len(offsets):
            found.append(f'GNSS is {np.median(against):.0f} m from the likeliest place')
        heading = self.heading(stamp_ns)
        if heading:
            off_rad = abs(wrap_angle(heading[0] - base.yaw))
            if off_rad > max(CONTRADICTION_SIGMAS * heading[1], math.radians(20.0)):
                found.append(
                    f'the heading that is given is {math.degrees(off_rad):.0f} degrees from the '
                    'likeliest one')
        return found

    def _last_offsets(self, stamp_ns: int, base: Pose2) -> list[tuple[np.ndarray, float]]:
        """Return by how much the last fixes differ from a pose, the nearest to now last."""
        return [self._offset(item, stamp_ns, base)
                for item in self._fixes.between(stamp_ns - NEAR_NS, stamp_ns)]

    def log_likelihood(self, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return (headings, norths, easts) log-likelihoods of the nearest fix and the heading."""
        return self.log_fix(stamp_ns, grid) + self.log_heading(stamp_ns, grid)

    def log_news(self, before_ns: int, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return the part of `log_likelihood` that is new since a stamp: their errors last."""
        fix, heading = (-math.expm1(-(stamp_ns - before_ns) / 1e9 / wander_s) for wander_s in (
            self.settings.fix_wander_s, self.settings.heading_wander_s))
        return fix * self.log_fix(stamp_ns, grid) + heading * self.log_heading(stamp_ns, grid)

    def log_fix(self, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return (headings, norths, easts) log-likelihoods of the nearest fix; 0 without one."""
        if not self.has_fix(stamp_ns):
            return np.zeros((1, 1, 1))
        item = self._fixes.nearest(stamp_ns)
        antenna, sigma_m = self._antenna(item, stamp_ns, grid.middle.yaw + grid.turns_rad)
        off_m = (antenna - item[1].position_m[:, None])[..., None, None]
        east, north = off_m[0] + grid.easts_m, off_m[1] + grid.norths_m[:, None]
        return self._log_mixture((north ** 2 + east ** 2) / sigma_m ** 2)

    def offset_m(self, stamp_ns: int, base: Pose2) -> tuple[np.ndarray, float] | None:
        """Return (2,) by how much the nearest fix differs from a pose, and its sigma."""
        if not self.has_fix(stamp_ns):
            return None
        return self._offset(self._fixes.nearest(stamp_ns), stamp_ns, base)

    def _offset(self, item: tuple[int, Fix], stamp_ns: int,
                base: Pose2) -> tuple[np.ndarray, float]:
        antenna, sigma_m = self._antenna(item, stamp_ns, base.yaw)
        return item[1].position_m - antenna - base[:2], sigma_m

    def log_heading(self, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return the (headings, 1, 1) log-likelihoods of the heading at a stamp."""
        heading = self.heading(stamp_ns)
        if heading is None:
            return np.zeros((grid.shape[0], 1, 1))
        off = wrap_angle(grid.middle.yaw + grid.turns_rad - heading[0]) / heading[1]
        return self._log_mixture(off ** 2)[:, None, None]

    def _position(self, stamp_ns: int, fix_ns: int, since_ns: int, yaw_rad: float) -> np.ndarray:
        """Return (2,) where the fixes around one place base_link at a stamp if it has a yaw."""
        # The median stays where it is when one fix of several is kilometres away.
        return np.median(_places(*self._carried(stamp_ns, fix_ns, since_ns), yaw_rad), axis=0)

    def _spread_m(self, stamp_ns: int, fix_ns: int, since_ns: int) -> float:
        """
        Return how far the fixes around one contradict each other, most of them at least.

        They are brought together by odometry, which scatters them if the heading is wrong: of
        those that a search looks at, the best counts.
        """
        carried = self._carried(stamp_ns, fix_ns, since_ns)
        heading = self.heading(stamp_ns)
        first_rad, count = (heading[0], 4) if heading else (0.0, HEADINGS)
        return min(_scatter_m(_places(*carried, first_rad + 2 * math.pi * turn / count))
                   for turn in range(count))

    def _carried(self, stamp_ns: int, fix_ns: int,
                 since_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, 2) fixes around one, and their antennas as seen from base_link at a stamp."""
        first_ns = max(fix_ns - AVERAGED_NS, min(since_ns, fix_ns))
        positions_m, antennas_m = [], []
        for from_ns, fix in self._fixes.between(first_ns, fix_ns + AVERAGED_NS):
            motion = self._odometry.between(stamp_ns, from_ns)
            if motion is not None or from_ns == fix_ns:
                away = motion.step if motion else Pose2(0.0, 0.0, 0.0)
                positions_m.append(fix.position_m)
                antennas_m.append(away.compose(Pose2.at(fix.lever_m, 0.0))[:2])
        return np.array(positions_m), np.array(antennas_m)

    def _antenna(self, item: tuple[int, Fix], stamp_ns: int,
                 yaw_rad: float | np.ndarray) -> tuple[np.ndarray, float]:
        """
        Return where a fix's antenna was as seen from base_link now, and the fix's sigma.

        :param yaw_rad: of base_link now, a number or (N,).
        :return: (2,) or (2, N) metres to the east and north.
        """
        from_ns, fix = item
        motion = self._odometry.between(stamp_ns, from_ns)
        away = motion.step if motion else Pose2(0.0, 0.0, 0.0)
        sigma_m = max(fix.sigma_m, self.settings.min_fix_sigma_m)
        if motion is None:
            sigma_m = math.hypot(sigma_m, UNKNOWN_MPS * abs(from_ns - stamp_ns) / 1e9)
        antenna = away.compose(Pose2.at(fix.lever_m, 0.0))
        return np.einsum('ij...,j->i...', rotation2(yaw_rad), antenna[:2]), sigma_m

    def _log_mixture(self, squares: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of a Gaussian mixed with a share of outliers."""
        share = self.settings.outlier_share
        return np.log((1 - share) * np.exp(-0.5 * squares) + share)


def _places(positions_m: np.ndarray, antennas_m: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Return (N, 2) where fixes place base_link if it has a yaw."""
    return positions_m - antennas_m @ rotation2(yaw_rad).T


def _scatter_m(places_m: np.ndarray) -> float:
    """Return how far on each axis most of some places are from their median."""
    away = places_m - np.median(places_m, axis=0)
    return float(np.median(np.hypot(*away.T))) / math.sqrt(2)
