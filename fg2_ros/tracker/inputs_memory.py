"""GNSS fixes and headings of the last seconds, and what they say of poses."""

from __future__ import annotations

import math

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.tracker.history import History
from fg2_ros.tracker.inputs import Fix
from fg2_ros.tracker.motion import OdometryChain
from fg2_ros.tracker.settings import PriorSettings
from fg2_ros.tracker.start import Place
import numpy as np

SPAN_NS = 60 * 10 ** 9
AVERAGED_NS = 3 * 10 ** 9


class InputsMemory:
    """
    Remember fixes and headings.

    :param odometry: carries them to other stamps.
    """

    def __init__(self, settings: PriorSettings, odometry: OdometryChain):
        """Start empty."""
        self._settings, self._odometry = settings, odometry
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

    def start(self, stamp_ns: int, sigma_m: float | None = None) -> Place | None:
        """
        Return where a search begins; None if there is no fix.

        :param sigma_m: of the position; None for what the fixes claim.
        """
        settings = self._settings
        newest = self._fixes.nearest(stamp_ns)
        if newest is None or abs(stamp_ns - newest[0]) > 1e9 * settings.fix_timeout_s:
            return None
        heading = self.heading(stamp_ns)
        fixes = self._fixes.between(newest[0] - AVERAGED_NS, newest[0] + AVERAGED_NS)
        places, sigmas = zip(*(self._carried(*item, stamp_ns, heading) for item in fixes))
        # The median stays where it is when one fix of several is kilometres away.
        east, north = np.median(places, axis=0)
        sigma = max(float(np.median(sigmas)), settings.min_fix_sigma_m) if (
            sigma_m is None) else sigma_m
        reach_m = min(settings.reach_sigmas * sigma + 2.0, settings.largest_reach_m)
        return Place((float(east), float(north)), reach_m, heading and heading[0])

    def heading(self, stamp_ns: int) -> tuple[float, float] | None:
        """Return (yaw, sigma) of base_link at a stamp; None if it is not known."""
        nearest = self._headings.nearest(stamp_ns)
        if nearest is None:
            return None
        from_ns, (yaw_rad, sigma_rad) = nearest
        sigma_rad = max(sigma_rad, math.radians(self._settings.min_heading_sigma_deg))
        motion = self._odometry.between(from_ns, stamp_ns)
        if motion is not None:
            return wrap_angle(yaw_rad + motion.step.yaw), math.hypot(sigma_rad, motion.sigma_rad)
        if abs(stamp_ns - from_ns) > 1e9 * self._settings.heading_timeout_s:
            return None
        return yaw_rad, sigma_rad

    def fix_stamp(self, stamp_ns: int) -> int | None:
        """Return the stamp of the fix nearest to a stamp, if it is near enough to be used."""
        nearest = self._fixes.nearest(stamp_ns)
        near = nearest and abs(nearest[0] - stamp_ns) <= 1e9
        return nearest[0] if near else None

    def log_fix(self, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return the (headings, norths, easts) log-likelihoods of the fix nearest to a stamp."""
        layers = [
            self._log_fix_layer(stamp_ns, grid, grid.middle.yaw + turn)
            for turn in grid.turns_rad]
        return np.stack(layers)

    def offset_m(self, stamp_ns: int, base: Pose2) -> tuple[np.ndarray, float] | None:
        """Return (2,) by how much the nearest fix differs from a pose, and its sigma."""
        if self.fix_stamp(stamp_ns) is None:
            return None
        fix, antenna, sigma_m = self._antenna(stamp_ns, base.yaw)
        return fix.position_m - antenna - base[:2], sigma_m

    def log_heading(self, stamp_ns: int, grid: PoseGrid) -> np.ndarray:
        """Return the (headings, 1, 1) log-likelihoods of the heading at a stamp."""
        heading = self.heading(stamp_ns)
        if heading is None:
            return np.zeros((grid.shape[0], 1, 1))
        off = wrap_angle(grid.middle.yaw + grid.turns_rad - heading[0]) / heading[1]
        return self._tailed(off ** 2)[:, None, None]

    def _carried(self, from_ns: int, fix: Fix, to_ns: int,
                 heading: tuple[float, float] | None) -> tuple[np.ndarray, float]:
        """Return base_link's place at a stamp by a fix, and its sigma."""
        motion = self._odometry.between(to_ns, from_ns)
        if motion is None:
            away_m = 10.0 * abs(to_ns - from_ns) / 1e9 + math.hypot(*fix.lever_m)
            return fix.position_m, math.hypot(fix.sigma_m, away_m)
        if heading is None:
            away_m = motion.driven_m + math.hypot(*fix.lever_m)
            return fix.position_m, math.hypot(fix.sigma_m, away_m)
        antenna = Pose2(0.0, 0.0, heading[0]).compose(motion.step).compose(
            Pose2(*fix.lever_m, 0.0))
        return fix.position_m - antenna[:2], math.hypot(fix.sigma_m, motion.sigma_m)

    def _antenna(self, stamp_ns: int, yaw_rad: float) -> tuple[Fix, np.ndarray, float]:
        """Return the nearest fix, where its antenna was as seen from base_link now, its sigma."""
        from_ns, fix = self._fixes.nearest(stamp_ns)
        motion = self._odometry.between(stamp_ns, from_ns)
        away = motion.step if motion else Pose2(0.0, 0.0, 0.0)
        sigma_m = max(fix.sigma_m, self._settings.min_fix_sigma_m)
        if motion is None:
            sigma_m = math.hypot(sigma_m, 10.0 * abs(from_ns - stamp_ns) / 1e9)
        antenna = away.compose(Pose2(*fix.lever_m, 0.0))
        return fix, rotation2(yaw_rad) @ antenna[:2], sigma_m

    def _log_fix_layer(self, stamp_ns: int, grid: PoseGrid, yaw_rad: float) -> np.ndarray:
        fix, antenna, sigma_m = self._antenna(stamp_ns, yaw_rad)
        east = grid.easts_m + antenna[0] - fix.position_m[0]
        north = grid.norths_m + antenna[1] - fix.position_m[1]
        return self._tailed((north[:, None] ** 2 + east ** 2) / sigma_m ** 2)

    def _tailed(self, squares: np.ndarray) -> np.ndarray:
        """Return the logarithm of a Gaussian that never says less than the outliers' share."""
        share = self._settings.outlier_share
        return np.log((1 - share) * np.exp(-0.5 * squares) + share)
