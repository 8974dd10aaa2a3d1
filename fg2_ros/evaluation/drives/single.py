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

"""What an image alone would have published, for comparison with the tracker."""

from __future__ import annotations

from collections.abc import Callable

from fg2_ros.evaluation.drives.results import Claim
from fg2_ros.evaluation.drives.stream import SensorStream, Shot
from fg2_ros.evaluation.simulated import Localizing
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.localizer.estimate import Prior
import numpy as np

Single = Callable[[SensorStream, Shot], Claim | None]


def single_localizer(localizer: Localizing) -> Single:
    """
    Return what a localizer answers to an image alone, with the nearest fix and heading.

    Where it accepts nothing, or there is no heading, nothing is claimed.
    """
    def single(stream: SensorStream, shot: Shot) -> Claim | None:
        prior = single_prior(stream, shot.time_s)
        if prior is None:
            return None
        localizer.map_frame = stream.map_frame
        try:
            estimate = localizer.estimate(shot.image.pixels(), prior)
        except ImageryError:
            return None
        camera = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
        # Of the camera's covariance: the lever is 0.2 m long.
        return Claim(camera.compose(stream.base_from_camera.inverse()),
                     estimate.covariance) if estimate.accepted else None

    return single


def single_prior(stream: SensorStream, time_s: float) -> Prior | None:
    """Return what the nearest fix and heading say of the camera; None if there is no heading."""
    if stream.imu is None:
        return None
    yaw_rad = float(stream.imu.yaw_rad[np.argmin(np.abs(stream.imu.time_s - time_s))])
    away_s = np.where(np.isfinite(stream.gnss.position_m[:, 0]),
                      np.abs(stream.gnss.time_s - time_s), np.inf)
    antenna_m = stream.gnss.position_m[np.argmin(away_s)]
    base = Pose2(*antenna_m, yaw_rad).compose(Pose2(*np.negative(stream.antenna_m), 0.0))
    camera = base.compose(stream.base_from_camera)
    return Prior(*stream.map_frame.geodetic_from_map(camera.x, camera.y), stream.gnss.sigma_m,
                 camera.yaw, stream.imu.yaw_sigma_rad)
