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
An extended Kalman filter of (x, y, yaw), as a vehicle runs one on ~/pose and odometry.

It has the semantics of robot_localization's ekf_node with wheel odometry's velocities as input:
motion from the twist (an odometry pose that jumps does no harm), absolute measurements with the
covariance that they claim, and a Mahalanobis rejection threshold. The filter is FilterPy's.
"""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from filterpy.kalman import ExtendedKalmanFilter
import numpy as np


@dataclass(frozen=True)
class FilterSettings:
    """
    How motion and measurements are believed; the defaults are those of robot_localization.

    :param position_noise: variance that a second of driving adds along each axis, m^2/s.
    :param heading_noise: variance that it adds to the heading, rad^2/s.
    :param rejection_sigmas: measurements further away are ignored; inf takes them all.
    """

    position_noise: float = 0.05
    heading_noise: float = 0.06
    rejection_sigmas: float = np.inf


class _SteppedFilter(ExtendedKalmanFilter):
    """FilterPy's filter with a nonlinear motion: its step is the control input."""

    x: np.ndarray

    def predict_x(self, u: np.ndarray) -> None:
        """Add a step (east m, north m, yaw rad)."""
        self.x = self.x + u


class PlanarFilter:
    """The filter; it does nothing before it is `start`-ed."""

    def __init__(self, settings: FilterSettings = FilterSettings()):
        """Know nothing."""
        self._settings = settings
        self._filter = _SteppedFilter(dim_x=3, dim_z=3)
        self.has_started = False

    @property
    def pose(self) -> Pose2:
        """Return the estimate."""
        x, y, yaw = self._filter.x
        return Pose2(float(x), float(y), wrap_angle(yaw))

    @property
    def covariance(self) -> np.ndarray:
        """Return the (3, 3) covariance of (x, y, yaw)."""
        return self._filter.P

    def start(self, pose: Pose2, covariance: np.ndarray) -> None:
        """Begin at a pose."""
        self._filter.x = np.array(pose, float)
        self._filter.P = np.array(covariance, float)
        self.has_started = True

    def predict(self, twist: Pose2, seconds: float) -> None:
        """Drive with a velocity in base_link (m/s, m/s, rad/s) for a time."""
        turn = twist.yaw * seconds
        middle = rotation2(self._filter.x[2] + turn / 2)
        east_m, north_m = middle @ (twist.x * seconds, twist.y * seconds)
        noise = [self._settings.position_noise] * 2 + [self._settings.heading_noise]
        self._filter.F = np.array([[1.0, 0.0, -north_m], [0.0, 1.0, east_m], [0.0, 0.0, 1.0]])
        self._filter.Q = np.diag(noise) * seconds
        self._filter.predict(np.array([east_m, north_m, turn]))

    def take_pose(self, pose: Pose2, covariance: np.ndarray) -> bool:
        """Take a measurement of all three, and return whether it was believed."""
        away = np.subtract(pose, self._filter.x)
        away[2] = wrap_angle(away[2])
        return self._take(away, np.eye(3), np.asarray(covariance, float))

    def take_position(self, position_m: np.ndarray, sigma_m: float,
                      lever_m: tuple[float, float] = (0.0, 0.0)) -> bool:
        """Take the position of an antenna at a place of base_link."""
        lever = rotation2(self._filter.x[2]) @ lever_m
        jacobian = np.array([[1.0, 0.0, -lever[1]], [0.0, 1.0, lever[0]]])
        return self._take(
            position_m - self._filter.x[:2] - lever, jacobian, sigma_m ** 2 * np.eye(2))

    def take_heading(self, yaw_rad: float, sigma_rad: float) -> bool:
        """Take a heading."""
        return self._take(np.array([wrap_angle(yaw_rad - self._filter.x[2])]),
                          np.array([[0.0, 0.0, 1.0]]), np.array([[sigma_rad ** 2]]))

    def _take(self, away: np.ndarray, jacobian: np.ndarray, noise: np.ndarray) -> bool:
        spread = jacobian @ self._filter.P @ jacobian.T + noise
        if away @ np.linalg.solve(spread, away) > self._settings.rejection_sigmas ** 2:
            return False
        self._filter.update(
            away, lambda _: jacobian, lambda _: np.zeros(len(away)), R=noise)
        return True
