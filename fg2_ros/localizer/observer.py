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

"""From an image and places to look at to log-likelihoods of camera poses. No ROS."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
import math
from pathlib import Path

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import grid_from_map, Pose2, wrap_angle
from fg2_ros.imagery.patch import AerialPatch, Imagery, PatchView
from fg2_ros.localizer.views import PanoramaView
from fg2_ros.network import FG2Network
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.matching import GroundDescriptors
from fg2_ros.network.weights import load_network
from fg2_ros.settings import setting
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow, PosteriorSettings
from fg2_ros.tracker.inputs import Look, Observation, SearchRegion
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ObserverSettings:
    """How images are compared with the aerial imagery."""

    lattice_m: float = setting(
        8.0, 'Aerial patches lie on a lattice of this spacing; each is described once.',
        unit='m', between=(1.0, 100.0))
    kept_patches: int = setting(
        160, 'Patches whose features are remembered.', between=(1, 10000))
    heading_step_deg: float = setting(
        4.5, 'Panoramas are rolled to multiples of this.', unit='deg', between=(0.5, 30.0))
    posterior: PosteriorSettings = PosteriorSettings()


class Observer:
    """
    A network that says where images may have been taken.

    :param network: in evaluation mode, on its device.
    :param imagery: where aerial patches come from; stays the caller's to close.
    """

    def __init__(self, network: FG2Network, imagery: Imagery,
                 settings: ObserverSettings = ObserverSettings()):
        """Prepare the grids; nothing is fetched yet."""
        self.config = network.config
        self._network, self._imagery, self._settings = network, imagery, settings
        parameter = next(network.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._grid = BevGrid.of(self.config, self._device)
        self._described: OrderedDict = OrderedDict()

    @classmethod
    def load(cls, weights_path: str | Path, imagery: Imagery,
             settings: ObserverSettings = ObserverSettings(), device: str = 'cpu') -> Observer:
        """Return an observer with the network of a weights file."""
        network = load_network(weights_path, torch.device(device), torch.float32)
        return cls(optimise_for_inference(network), imagery, settings)

    def forget(self) -> None:
        """Forget all aerial features: the imagery is another."""
        self._described.clear()

    @torch.inference_mode()
    def observe(self, image: np.ndarray, frame: MapFrame, region: SearchRegion,
                base_from_camera: Pose2 = Pose2(0.0, 0.0, 0.0)) -> Observation:
        """
        Return what an image says of the poses in a region.

        :param image: (H, W, 3) uint8 RGB panorama.
        :raises ImageryError: if there is no aerial imagery.
        """
        grounds, volumes, valid = {}, [], []
        for look in region.looks:
            patch, aerial = self._aerial(frame, look.grid.middle)
            roll_rad = self._rolled_heading(look.grid.middle.yaw)
            if roll_rad not in grounds:
                grounds[roll_rad] = self._ground(image, roll_rad)
            valid.append(patch.valid_share)
            volumes.append(self._volume(look, patch, aerial, *grounds[roll_rad]))
        return Observation(tuple(volumes), base_from_camera, float(np.mean(valid)))

    def _aerial(self, frame: MapFrame, camera: Pose2) -> tuple[AerialPatch, Tensor]:
        """Return the patch of the lattice that a place is nearest to the middle of."""
        spacing = self._settings.lattice_m
        node = round(camera.x / spacing), round(camera.y / spacing)
        if (frame, node) not in self._described:
            patch = self._imagery.patch(PatchView(
                frame, (node[0] * spacing, node[1] * spacing), self.config.grid_extent_m,
                self.config.aerial_image_hw[0]))
            self._described[frame, node] = patch, self._describe(patch)
        self._described.move_to_end((frame, node))
        while len(self._described) > self._settings.kept_patches:
            self._described.popitem(last=False)
        return self._described[frame, node]

    def _describe(self, patch: AerialPatch) -> Tensor:
        return self._network.aerial_descriptors(
            self._network.aerial_tokens(self._tensor(patch.image)))

    def _rolled_heading(self, yaw_rad: float) -> float:
        step = math.radians(self._settings.heading_step_deg)
        return wrap_angle(round(yaw_rad / step) * step)

    def _ground(self, image: np.ndarray, yaw_rad: float) -> tuple[GroundDescriptors, float]:
        """Return descriptors of an image whose heading is thought to be a yaw, and that yaw."""
        view = PanoramaView.of(
            image, self.config.ground_image_hw, self.config.image_resize, yaw_rad)
        descriptors = self._network.ground_descriptors(
            self._network.ground_tokens(self._tensor(view.image)))
        return descriptors, view.heading_rad

    def _volume(self, look: Look, patch: AerialPatch, aerial: Tensor, ground: GroundDescriptors,
                heading_rad: float) -> PoseVolume:
        matching = self._network.match(aerial, ground)
        likelihood = DenseLikelihood(
            matching.scores, matching.probabilities, self._grid, self._settings.posterior,
            matching.log_partition)
        grid = look.grid
        row_column = grid_from_map(*np.subtract(grid.middle[:2], patch.centre_m))
        values = likelihood.evaluate(PoseWindow(
            torch.tensor([row_column], dtype=torch.float32, device=self._device),
            torch.tensor([wrap_angle(heading_rad - grid.middle.yaw)], device=self._device),
            grid.shape[1] // 2, grid.shape[0] // 2, self._parts(grid), grid.step_rad))
        # Bearings grow clockwise and rows grow south.
        return PoseVolume(grid, values[0].flip(0, 1).cpu().numpy())

    def _parts(self, grid: PoseGrid) -> int:
        """
        Return how many steps of a grid make a cell.

        :raises ValueError: if that is not a whole number.
        """
        parts = max(round(self.config.cell_m / grid.step_m), 1)
        if abs(parts * grid.step_m - self.config.cell_m) > 1e-3 * self.config.cell_m:
            raise ValueError(f'a step of {grid.step_m} m is no part of a cell of '
                             f'{self.config.cell_m} m')
        return parts

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Return an (H, W, 3) uint8 image as (1, 3, H, W) in [0, 1] on the device."""
        tensor = torch.from_numpy(np.ascontiguousarray(image))
        return tensor.to(self._device).permute(2, 0, 1)[None].to(self._dtype) / 255
