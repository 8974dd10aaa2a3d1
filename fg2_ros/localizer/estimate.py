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

"""Inputs and results of the localizer."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.frames import MapFrame, require_geodetic
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import AerialPatch
import numpy as np


@dataclass(frozen=True)
class Prior:
    """
    The prior of the camera's pose.

    :param latitude_deg: WGS 84.
    :param longitude_deg: WGS 84.
    :param sigma_m: standard deviation of the position on each axis.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the image's centre column, which is a
        pinhole camera's optical axis; NaN if there is no heading.
    :param yaw_sigma_rad: its standard deviation; pi or more if there is no heading.
    """

    latitude_deg: float
    longitude_deg: float
    sigma_m: float
    yaw_rad: float
    yaw_sigma_rad: float

    @property
    def has_heading(self) -> bool:
        """Whether the yaw is known at all."""
        return math.isfinite(self.yaw_rad) and self.yaw_sigma_rad < math.pi

    def in_map(self, frame: MapFrame) -> MapPrior:
        """
        Return the same in a map frame.

        :raises ValueError: if there is no such place.
        """
        require_geodetic(self.latitude_deg, self.longitude_deg)
        east_m, north_m = frame.map_from_geodetic(self.latitude_deg, self.longitude_deg)
        return MapPrior(
            Pose2(east_m, north_m, self.yaw_rad), self.sigma_m, self.yaw_sigma_rad)


@dataclass(frozen=True)
class MapPrior:
    """
    The prior of the camera's pose, in the localizer's map frame.

    :param pose: of the camera, with the yaw of the image's centre column; a yaw of NaN if there
        is no heading.
    :param sigma_m: standard deviation of the position on each axis.
    :param yaw_sigma_rad: of the yaw; pi or more if there is no heading.
    """

    pose: Pose2
    sigma_m: float
    yaw_sigma_rad: float

    @property
    def has_heading(self) -> bool:
        """Whether the yaw is known at all."""
        return math.isfinite(self.pose.yaw) and self.yaw_sigma_rad < math.pi


@dataclass(frozen=True)
class Matches:
    """
    M pairs of a place in the aerial patch and one in the ground image.

    :param aerial_map_m: (M, 2) east, north in the map frame.
    :param ground_grid_m: (M, 2) (row, column) in the ground grid: of the north-aligned panorama,
        or of the pinhole camera, which looks to -row.
    :param ground_map_m: (M, 2) east, north of the same in the map frame, by the pose found.
    :param panorama_px: (M, 2) continuous (column, row) in the given image; of a pinhole camera
        they may lie outside it.
    :param weight: (M,) matching probabilities.
    :param inlier: (M,) bool, whether they agree with the pose.
    """

    aerial_map_m: np.ndarray
    ground_grid_m: np.ndarray
    ground_map_m: np.ndarray
    panorama_px: np.ndarray
    weight: np.ndarray
    inlier: np.ndarray


@dataclass(frozen=True)
class PoseMode:
    """A mode of the posterior: a pose in the map frame, and its probability."""

    pose: Pose2
    mass: float


@dataclass(frozen=True)
class Estimate:
    """
    Where the camera stands and looks; meaningful as a pose only if ``accepted``.

    :param rejection: why it is not accepted, a sentence; '' if it is.
    :param east_m: of the camera in the map frame.
    :param north_m: of the camera in the map frame.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the image's centre column.
    :param covariance: (3, 3) float64 of (east m, north m, yaw rad); positive definite.
    :param modes: the likeliest places among those that were tried, the first of which is the
        estimate's; their probabilities show how ambiguous the image is.
    :param inlier_ratio: share of the matches that agree with the pose.
    :param match_count: matches drawn.
    :param patch: the aerial patch that was used.
    :param timings_ms: 'patch', 'aerial', 'ground', 'solve' and 'total', and 'heading' where the
        heading had to be found first; on a GPU the host waits in 'solve' only.
    """

    accepted: bool
    rejection: str
    east_m: float
    north_m: float
    latitude_deg: float
    longitude_deg: float
    yaw_rad: float
    covariance: np.ndarray
    inlier_ratio: float
    match_count: int
    matches: Matches
    patch: AerialPatch
    timings_ms: dict[str, float]
    modes: tuple[PoseMode, ...] = ()
