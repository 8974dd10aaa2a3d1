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

"""A stand-in for a simulated city: coloured beacons on a dark plane, seen from both sides."""

from dataclasses import dataclass

import cv2
from fg2_ros.geometry.panorama import pixel_from_direction
from fg2_ros.simulation.cameras import CameraPose
from fg2_ros.simulation.city import City, GROUND_CELLS
from fg2_ros.simulation.shapes import Ground, Post
import numpy as np

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255))
SIDE_M = 200.0


@dataclass(frozen=True)
class Orthophoto:
    """The interface of the simulator's."""

    image: np.ndarray
    resolution_m: float
    centre_m: tuple[float, float]


class BeaconScene:
    """Six beacons around a camera; the interface of the simulator's scenes."""

    def __init__(self, pose: CameraPose, seed: int = 0, radius_px: float = 3.0):
        """Place one beacon of each colour 3 to 9 metres from the camera."""
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * np.pi) + np.arange(6) * np.pi / 3 + rng.uniform(-.3, .3, 6)
        reach = rng.uniform(3, 9, 6)
        self.beacons_m = np.stack(
            [pose.east_m + reach * np.cos(angle), pose.north_m + reach * np.sin(angle)], -1)
        self.radius_px = radius_px
        self.city = self._city()

    def _city(self) -> City:
        """Return a city of grass with a post where each beacon is."""
        city = City.__new__(City)
        city.ground = np.full((GROUND_CELLS, GROUND_CELLS), Ground.GRASS, np.uint8)
        city.markings = np.zeros_like(city.ground)
        city.buildings, city.trees = [], []
        city.posts = [Post(tuple(place_m), 1.0, 0.5) for place_m in self.beacons_m]
        return city

    def orthophoto(self) -> Orthophoto:
        """Return 200 m x 200 m around (10, -5)."""
        resolution_m, centre_m = 0.2, (10.0, -5.0)
        size = round(SIDE_M / resolution_m)
        image = np.zeros((size, size, 3), np.uint8)
        for (east_m, north_m), colour in zip(self.beacons_m, COLOURS):
            draw(image, size / 2 + (east_m - centre_m[0]) / resolution_m,
                 size / 2 - (north_m - centre_m[1]) / resolution_m, colour, self.radius_px)
        return Orthophoto(image, resolution_m, centre_m)

    def panorama(self, pose: CameraPose, width: int, height: int, frame: int = 0) -> np.ndarray:
        """Return what a level camera sees."""
        image = np.zeros((height, width, 3), np.uint8)
        for (east_m, north_m), colour in zip(self.beacons_m, COLOURS):
            offset = np.array([east_m - pose.east_m, north_m - pose.north_m, -pose.height_m])
            column, row = pixel_from_direction(offset @ pose.rotation, width, height)
            for wrapped in (column - width, column, column + width):
                draw(image, wrapped, row, colour, self.radius_px)
        return image


def draw(image: np.ndarray, column: float, row: float, colour, radius_px: float) -> None:
    """Draw an antialiased disc around a continuous pixel position."""
    shift = 8
    centre = [round((value - 0.5) * 2 ** shift) for value in (column, row)]
    cv2.circle(image, centre, round(radius_px * 2 ** shift), colour, -1, cv2.LINE_AA, shift)


def find(image: np.ndarray, colour) -> tuple[float, float]:
    """Return the continuous (column, row) of a colour's centroid; columns may wrap around."""
    on, off = (np.array(colour) > 0), (np.array(colour) == 0)
    weight = np.maximum(
        image[..., on].min(-1).astype(float) - image[..., off].max(-1), 0) ** 2
    weight[weight < 60 ** 2] = 0
    width = image.shape[1]
    angle = (np.arange(width) + 0.5) / width * 2 * np.pi
    columns = weight.sum(0)
    mean_angle = np.arctan2((columns * np.sin(angle)).sum(), (columns * np.cos(angle)).sum())
    row = (weight.sum(1) * (np.arange(image.shape[0]) + 0.5)).sum() / weight.sum()
    return mean_angle % (2 * np.pi) / (2 * np.pi) * width, row
