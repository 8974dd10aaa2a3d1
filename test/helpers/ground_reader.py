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

"""A stand-in for a localizer, which knows where images were taken and errs with the ground."""

from types import SimpleNamespace

from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import PatchView
from fg2_ros.localizer import Localizer
from fg2_ros.tracker.inputs import Observation
import numpy as np


class GroundReader:
    """
    Places an image off by up to a metre, as the colours of the ground there have it.

    :param metadata: of the weights that it stands for.
    """

    config, map_frame = SimpleNamespace(cell_m=1.1), None
    new_tracker, track = Localizer.new_tracker, Localizer.track

    def __init__(self, imagery, metadata):
        """Look at the ground."""
        self._imagery, self.metadata = imagery, metadata

    def truth(self, image) -> Pose2:
        """Return where the camera was."""
        raise NotImplementedError

    def camera(self, image) -> Pose2:
        """Return where the camera is thought to have been."""
        camera = self.truth(image)
        patch = self._imagery.patch(PatchView(self.map_frame, camera[:2], 8.0, 32))
        red, green, _ = (patch.image.mean((0, 1)) - 128) / 48
        return Pose2(camera.x + red, camera.y + green, camera.yaw)

    def observe(self, image, plan, base_from_camera, camera_k, seen):
        """Return likelihoods around the place."""
        x, y, yaw = self.camera(image)
        volumes = []
        for grid in plan.grids:
            away = np.square(grid.easts_m - x) + np.square(grid.norths_m - y)[:, None]
            turn = wrap_angle(grid.middle.yaw + grid.turns_rad - yaw)
            volumes.append(PoseVolume(grid, (30 * np.exp(
                -away / 4 - np.square(turn / 0.1)[:, None, None])).astype(np.float32)))
        return Observation(tuple(volumes), base_from_camera)

    def estimate(self, image, prior, seen):
        """Return the place."""
        x, y, yaw = self.camera(image)
        return SimpleNamespace(accepted=True, east_m=x, north_m=y, yaw_rad=yaw,
                               covariance=np.diag([0.3, 0.3, 0.001]))
