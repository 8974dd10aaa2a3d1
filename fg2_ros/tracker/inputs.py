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

"""Inputs of the tracker: GNSS fixes, odometry, and an image's likelihoods of camera poses."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
import numpy as np


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


@dataclass(frozen=True)
class SearchPlan:
    """
    The poses at which an image is to be compared with the aerial imagery.

    :param grids: poses of the camera in the map, the yaw that of the image's centre column. An
        aerial patch is taken near the middle of each grid, and the image turned to its yaw. One
        grid while the pose is known; four headings at the start and in doubt; eighteen without a
        heading; a lattice of places when lost.
    :param sentence: why there are so many; '' for one.
    """

    grids: tuple[PoseGrid, ...]
    sentence: str = ''


@dataclass(frozen=True)
class Observation:
    """
    What an image says of the camera's pose.

    :param volumes: log-likelihoods over the grids of the `SearchPlan`, in their order; None where
        there is no imagery. They share one scale, so they may be compared with one another; sums
        over cells are not tempered.
    :param base_from_camera: where the camera is on the vehicle, in the plane; yaw that of the
        image's centre column.
    :param valid_share: how much of the aerial patches showed imagery.
    :param resemblances: how much of what is around the camera finds its like anywhere in the
        aerial patch, for each grid; () if that is not known.
    """

    volumes: tuple[PoseVolume | None, ...]
    base_from_camera: Pose2 = Pose2(0.0, 0.0, 0.0)
    valid_share: float = 1.0
    resemblances: tuple[float, ...] = ()

    @property
    def known(self) -> tuple[PoseVolume, ...]:
        """Return the volumes where there is imagery."""
        return tuple(volume for volume in self.volumes if volume is not None)
