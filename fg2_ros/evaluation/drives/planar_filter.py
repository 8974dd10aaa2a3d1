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
A plain extended Kalman filter of (x, y, yaw), as a vehicle runs one on ~/pose and odometry.

It has the semantics of robot_localization's ekf_node with wheel odometry's velocities as input:
motion from the twist (an odometry pose that jumps does no harm), absolute measurements with the
covariance that they claim, and a Mahalanobis rejection threshold. No maintained library has this
threshold and these inputs; what is left of a filter is a page, tested against least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
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


class PlanarFilter:
    """The filter; it does nothing before it is `start`-ed."""

    def __init__(self, settings: FilterSettings = FilterSettings()):
        """Know nothing."""
        self._settings = settings
        self._started_state: np.ndarray | None = None
        self._covariance = np.zeros((3, 3))

    @property
    def has_started(self) -> bool:
        """Whether there is a state."""
        return self._started_state is not None

    @property
    def _state(self) -> np.ndarray:
        """Return (x, y, yaw)."""
        assert self._started_state is not None, 'only a filter that was started has a state'
        return self._started_state

    @property
    def pose(self) -> Pose2:
        """Return the estimate."""
        return Pose2(float(self._state[0]), float(self._state[1]), wrap_angle(self._state[2]))

    @property
    def covariance(self) -> np.ndarray:
        """Return the (3, 3) covariance of (x, y, yaw)."""
        return self._covariance

    def start(self, pose: Pose2, covariance: np.ndarray) -> None:
        """Begin at a pose."""
        self._started_state = np.array(pose, float)
        self._covariance = np.array(covariance, float)

    def predict(self, twist: Pose2, seconds: float) -> None:
        """Drive with a velocity in base_link (m/s, m/s, rad/s) for a time."""
        turn = twist.yaw * seconds
        middle = rotation2(self._state[2] + turn / 2)
        step = middle @ (twist.x * seconds, twist.y * seconds)
        self._started_state = self._state + (*step, turn)
        jacobian = np.eye(3)
        jacobian[:2, 2] = -step[1], step[0]
        noise = np.diag([self._settings.position_noise] * 2 + [self._settings.heading_noise])
        self._covariance = jacobian @ self._covariance @ jacobian.T + noise * seconds

    def take_pose(self, pose: Pose2, covariance: np.ndarray) -> bool:
        """Take a measurement of all three, and return whether it was believed."""
        away = np.subtract(pose, self._state)
        away[2] = wrap_angle(away[2])
        return self._take(away, np.eye(3), np.asarray(covariance, float))

    def take_position(self, position_m: np.ndarray, sigma_m: float,
                      lever_m: tuple[float, float] = (0.0, 0.0)) -> bool:
        """Take the position of an antenna at a place of base_link."""
        lever = rotation2(self._state[2]) @ lever_m
        jacobian = np.array([[1.0, 0.0, -lever[1]], [0.0, 1.0, lever[0]]])
        return self._take(
            position_m - self._state[:2] - lever, jacobian, sigma_m ** 2 * np.eye(2))

    def take_heading(self, yaw_rad: float, sigma_rad: float) -> bool:
        """Take a heading."""
        return self._take(np.array([wrap_angle(yaw_rad - self._state[2])]),
                          np.array([[0.0, 0.0, 1.0]]), np.array([[sigma_rad ** 2]]))

    def _take(self, away: np.ndarray, jacobian: np.ndarray, noise: np.ndarray) -> bool:
        spread = jacobian @ self._covariance @ jacobian.T + noise
        if away @ np.linalg.solve(spread, away) > self._settings.rejection_sigmas ** 2:
            return False
        gain = np.linalg.solve(spread, jacobian @ self._covariance).T
        self._started_state = self._state + gain @ away
        rest = np.eye(3) - gain @ jacobian
        self._covariance = rest @ self._covariance @ rest.T + gain @ noise @ gain.T
        return True
