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

"""The pose measurement of a single image near the belief, for an external filter."""

from __future__ import annotations

import math

from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.tracker.inputs import Observation
from fg2_ros.tracker.results import Measurement
from fg2_ros.tracker.settings import Calibration
import numpy as np

REACH_M, REACH_RAD = 3.5, math.radians(8.0)  # around the belief
MIN_SHARE = 0.5  # of the image's best log-likelihood that the best pose there must have


def measured(observation: Observation, base: Pose2, calibration: Calibration,
             strength: float) -> Measurement | None:
    """
    Return the mean and covariance of an image's likelihood near a pose of base_link.

    :param strength: by how much the last images prefer this pose.
    :return: None if the image's best place is elsewhere.
    """
    camera = base.compose(observation.base_from_camera)
    around = [each for each in observation.known if each.grid.contains(camera)]
    if not around:
        return None
    volume, grid = around[0], around[0].grid
    turn, north, east = np.meshgrid(
        wrap_angle(grid.middle.yaw + grid.turns_rad - camera.yaw), grid.norths_m - camera.y,
        grid.easts_m - camera.x, indexing='ij')
    near = (np.hypot(east, north) < REACH_M) & (np.abs(turn) < REACH_RAD)
    if not near.any() or _is_elsewhere(observation, float(volume.values[near].max())):
        return None
    values = calibration.measurement_temper * volume.values[near].astype(float)
    weight = np.exp(values - values.max())
    weight /= weight.sum()
    offset = np.stack([east[near], north[near], turn[near]])
    mean = offset @ weight
    spread = (offset - mean[:, None])
    covariance = (spread * weight) @ spread.T + calibration.measurement_bias(strength)
    found = Pose2(camera.x + mean[0], camera.y + mean[1], wrap_angle(camera.yaw + mean[2]))
    return _of_base(found, covariance, observation.base_from_camera)


def _is_elsewhere(observation: Observation, best_here: float) -> bool:
    best = max(float(volume.values.max()) for volume in observation.known)
    mean = np.mean([volume.values.mean() for volume in observation.known])
    return best_here - mean < MIN_SHARE * (best - mean)


def _of_base(camera: Pose2, covariance: np.ndarray, base_from_camera: Pose2) -> Measurement:
    """Return a camera's pose as base_link's; where the camera is ahead, yaw moves the base."""
    base = camera.compose(base_from_camera.inverse())
    lever = rotation2(camera.yaw) @ base_from_camera.inverse()[:2]
    turn = np.eye(3)
    turn[:2, 2] = -lever[1], lever[0]
    return Measurement(base, turn @ covariance @ turn.T)
