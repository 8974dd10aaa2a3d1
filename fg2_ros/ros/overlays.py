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

"""Pictures of an estimate: panorama and aerial patch side by side, with what was matched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fg2_ros.drawing import ellipse_points, MatchPicture, POSE_RGB, PRIOR_RGB
from fg2_ros.geometry.se2 import Pose2
import numpy as np

if TYPE_CHECKING:  # drawing needs no torch
    from fg2_ros.localizer import Estimate


def match_overlay(panorama: np.ndarray, estimate: Estimate,
                  prior: Pose2 | None = None) -> np.ndarray:
    """
    Draw an estimate.

    :param panorama: (H, W, 3) uint8 RGB as it came in.
    :param estimate: with its matches and aerial patch.
    :param prior: of the camera in the map frame, drawn beside the estimate.
    :return: (512, 2 * 512 + 512, 3) uint8 RGB for a 2:1 panorama.
    """
    def place(map_m) -> np.ndarray:
        return np.stack(estimate.patch.pixel_from_map(*np.moveaxis(map_m, -1, 0)), axis=-1)

    picture, matches = MatchPicture(panorama, estimate.patch.image), estimate.matches
    picture.add_matches(
        matches.panorama_px, place(matches.aerial_map_m), matches.weight, matches.inlier)
    if prior is not None:
        picture.add_pose(place(np.array(prior[:2])), _direction(prior.yaw), PRIOR_RGB)
    centre_m = np.array([estimate.east_m, estimate.north_m])
    picture.add_outline(
        place(centre_m + ellipse_points(estimate.covariance[:2, :2])), POSE_RGB)
    picture.add_pose(place(centre_m), _direction(estimate.yaw_rad), POSE_RGB)
    picture.add_caption(_caption(estimate))
    return picture.image


def _direction(yaw_rad: float) -> np.ndarray:
    """Return the (column, row) direction in a north-up image of a map yaw."""
    return np.array([np.cos(yaw_rad), -np.sin(yaw_rad)])


def _caption(estimate: Estimate) -> str:
    verdict = 'accepted' if estimate.accepted else f'rejected: {estimate.rejection}'
    return (f'{verdict}   {estimate.match_count} matches, '
            f'{100 * estimate.inlier_ratio:.0f} % inliers')
