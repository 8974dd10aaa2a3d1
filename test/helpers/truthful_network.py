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
Networks that read the truth out of their two images, and a world for them.

The orthophoto's colours say where a pixel lies, the ground image's colours say which way a pixel
looks, so whatever the localizer cuts, resizes, rolls, turns and undoes is really checked.
"""

import dataclasses
from types import SimpleNamespace

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.panorama import direction_from_pixel
from fg2_ros.imagery import RasterImagery
from fg2_ros.localizer import Prior
from fg2_ros.network import FG2Config
from fg2_ros.solver.grid import BevGrid
from fg2_ros.tracker.settings import Calibration
import numpy as np
import torch

FRAME = MapFrame(47.3, 8.5)
CONFIG = dataclasses.replace(
    FG2Config.preset('sim'), grid_cells=21, grid_extent_m=28.0, aerial_image_hw=(112, 112),
    ground_image_hw=(64, 128))
PINHOLE = dataclasses.replace(CONFIG, camera='pinhole', ground_image_hw=(40, 160))
SIDE_M = 100.0
CALIBRATED = {'tracker': dataclasses.replace(
    Calibration(), measurement_temper=0.12, measurement_bias_m=0.05, measurement_bias_deg=0.1,
    temper=1.0, bias_m=0.1, bias_deg=0.2).to_dict()}


def orthophoto():
    """Return imagery whose red grows with east and whose green grows with north."""
    ramp = np.linspace(0, 255, 400)
    image = np.zeros((400, 400, 3))
    image[..., 0], image[..., 1] = ramp, ramp[::-1, None]
    return RasterImagery(np.round(image).astype(np.uint8), FRAME, (0, 0), SIDE_M / 400)


def azimuth_image(azimuth, height):
    """Return an image whose colours hold the cosine and sine of each column's map yaw."""
    image = np.full((height, len(azimuth), 3), 128.0)
    image[..., 0] += 120 * np.cos(azimuth)
    image[..., 1] += 120 * np.sin(azimuth)
    return np.round(image).astype(np.uint8)


def panorama_at(yaw_rad, width=256):
    """Return the panorama of a camera whose centre column looks to a map yaw."""
    ahead = direction_from_pixel(
        np.arange(width) + 0.5, np.full(width, width / 4), width, width // 2)
    return azimuth_image(yaw_rad + np.arctan2(ahead[:, 1], ahead[:, 0]), width // 2)


def pinhole_at(yaw_rad, camera_k, hw):
    """Return the image of a pinhole camera whose optical axis looks to a map yaw."""
    right = (np.arange(hw[1]) + 0.5 - camera_k[0, 2]) / camera_k[0, 0]
    return azimuth_image(yaw_rad - np.arctan(right), hw[0])


def prior_at(east_m, north_m, yaw_rad, sigma_m=3.0, yaw_sigma_rad=0.1):
    """Return a prior given in the map frame."""
    return Prior(*FRAME.geodetic_from_map(east_m, north_m), sigma_m, yaw_rad, yaw_sigma_rad)


class TruthfulNetwork:
    """Scores as a perfect network would give them for a camera at ``place`` (east, north)."""

    def __init__(self, place, config=CONFIG):
        """Have what the localizer uses of an FG2Network."""
        self.config, self.place = config, place
        self.aerial_calls = 0

    def parameters(self):
        """Return an iterator over one parameter."""
        return iter([torch.zeros(1)])

    def aerial_tokens(self, image):
        """Return the image."""
        self.aerial_calls += 1
        return image

    def aerial_descriptors(self, image):
        """Return (1, n * n, 2) east, north of the grid's points, read off the colours."""
        n = self.config.grid_cells
        axis = torch.linspace(-1, 1, n)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), -1)[None] * (
            1 - 1 / image.shape[-1])  # the outermost points lie on the outer pixels' edges
        colour = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0, :2]
        place = ((colour - 0.5) * SIDE_M * 399 / 400).flatten(1).T
        centre = place.mean(0)
        return (centre + (place - centre) / (1 - 1 / image.shape[-1]))[None]

    def ground_tokens(self, image):
        """Return the image."""
        return image

    def ground_descriptors(self, image):
        """Return the ground points' map positions, from the yaw the centre columns show."""
        centre = image.shape[-1] // 2
        colour = image[0, :2, :, centre - 1:centre + 1].mean((1, 2)) - 128 / 255
        yaw = torch.atan2(colour[1], colour[0])
        row, column = BevGrid.of(self.config).ground.T
        east = self.place[0] - row * torch.cos(yaw) + column * torch.sin(yaw)
        north = self.place[1] - row * torch.sin(yaw) - column * torch.cos(yaw)
        return self.ground(torch.stack([east, north], -1), torch.ones(len(row), dtype=torch.bool))

    def ground(self, places, visible):
        """Return what `match` needs of ground points at (N, 2) map places."""
        rows = self.config.ground_rows, self.config.grid_cells
        return SimpleNamespace(
            descriptors=places[None], visible=visible[None],
            height_index=torch.zeros(1, *rows, dtype=torch.long))

    def shares(self, aerial, ground):
        """Return (1, A, G): how well an aerial and a ground point are one."""
        apart = (aerial[:, :, None] - ground.descriptors[:, None]).abs() / self.config.cell_m
        return (1 - apart).clamp_min(0).prod(-1)

    def match(self, aerial, ground):
        """Return bilinear scores and mutual probabilities of aerial and ground positions."""
        scores = torch.log(self.shares(aerial, ground) + 1e-5)
        scores = scores.masked_fill(~ground.visible[:, None], -torch.inf)
        both = scores.softmax(1).nan_to_num(0.0) * scores.softmax(2)
        return SimpleNamespace(scores=scores, probabilities=both, log_partition=None)


class TwinsNetwork(TruthfulNetwork):
    """Matches that fit a second place, east of the first, as well."""

    def __init__(self, place, apart_m):
        """Have the second one so far from the first."""
        super().__init__(place)
        self._other = torch.tensor([apart_m, 0.0])

    def shares(self, aerial, ground):
        """Return (1, A, G); see `TruthfulNetwork.shares`."""
        other = SimpleNamespace(descriptors=ground.descriptors + self._other)
        return 0.5 * (super().shares(aerial, ground) + super().shares(aerial, other))


class VagueNetwork(TruthfulNetwork):
    """Matches that err and spread along north only."""

    def shares(self, aerial, ground):
        """Return (1, A, G); see `TruthfulNetwork.shares`."""
        apart = (aerial[:, :, None] - ground.descriptors[:, None]) / self.config.cell_m
        noise = torch.randn(
            apart.shape[2], generator=torch.Generator().manual_seed(0)) * 3.0
        apart[..., 1] = (apart[..., 1] + noise) / 4
        return (1 - apart.abs()).clamp_min(0).prod(-1) / 4


class PinholeNetwork(TruthfulNetwork):
    """The same for a pinhole camera: each ground point's direction is read at its pixel."""

    def __init__(self, place, config=PINHOLE):
        """Have what the localizer uses of an FG2Network."""
        super().__init__(place, config)

    def ground_descriptors(self, image, camera_k):
        """Return the ground points' map positions, from the directions their pixels show."""
        row, column = BevGrid.of(self.config).ground.T
        at = camera_k[0, 0, 0] * column / (-row).clamp_min(1e-6) + camera_k[0, 0, 2]
        width = image.shape[-1]
        visible = (row < -0.1) & (at > 0.5) & (at < width - 0.5)
        grid = torch.stack([at / width * 2 - 1, torch.zeros_like(at)], -1)[None, None]
        colour = torch.nn.functional.grid_sample(image, grid, align_corners=False)[0, :2, 0]
        azimuth = torch.atan2(*(colour - 128 / 255).flip(0))
        away = torch.hypot(row, column) * torch.stack([azimuth.cos(), azimuth.sin()])
        return self.ground(torch.tensor(self.place) + away.T, visible)
