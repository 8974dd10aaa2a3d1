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

"""Degraded panoramas and aerial images: (h, w, 3) uint8 RGB in, the same out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
from fg2_ros.simulation.city import City
from fg2_ros.simulation.rasters import draw_polygon
from fg2_ros.simulation.shapes import Building, corners, Ground
import numpy as np

HIDDEN_RGB = (72, 70, 66)  # of what is in front of the camera
DARK_GAIN, DARK_NOISE = 0.03, 4.0
CLOUD_WIDTH_M, IMAGE_WIDTH_M = 20.0, 384.0
CLOUD_RGB = 238
EDGE_PX = 7  # a building is seen a little beside its walls: roofs overhang, cameras lean


def mirrored(panorama: np.ndarray) -> np.ndarray:
    """Exchange left and right, of a mask as well."""
    return np.ascontiguousarray(panorama[:, ::-1])


def turned_back(panorama: np.ndarray) -> np.ndarray:
    """Turn the camera by 180 degrees, and a mask with it."""
    return np.roll(panorama, panorama.shape[1] // 2, axis=1)


def occluded(panorama: np.ndarray, share: float, first: float) -> np.ndarray:
    """
    Hide neighbouring columns.

    :param share: of the columns that are hidden.
    :param first: where they begin, as a share of the width.
    """
    width = panorama.shape[1]
    hidden = (round(first * width) + np.arange(round(share * width))) % width
    spoilt = panorama.copy()
    spoilt[:, hidden] = HIDDEN_RGB
    return spoilt


def darkened(panorama: np.ndarray) -> np.ndarray:
    """Leave next to no light, and the noise of the sensor."""
    noise = np.random.default_rng(0).normal(0, DARK_NOISE, panorama.shape)
    return np.clip(panorama * DARK_GAIN + noise, 0, 255).astype(np.uint8)


def clouded(orthophoto: np.ndarray, seed: int) -> np.ndarray:
    """Cover half of an aerial image of a city by clouds with soft edges."""
    height, width = orthophoto.shape[:2]
    cells = round(2 * IMAGE_WIDTH_M / CLOUD_WIDTH_M)
    noise = np.random.default_rng([seed, 19]).standard_normal((cells, cells)).astype(np.float32)
    smooth = cv2.resize(
        cv2.GaussianBlur(noise, (0, 0), 1.0), (width, height), interpolation=cv2.INTER_CUBIC)
    thickness = (smooth - np.median(smooth)) / (0.2 * smooth.std())
    cover = np.clip(thickness, 0, 1)[..., None]
    return (orthophoto * (1 - cover) + CLOUD_RGB * cover).astype(np.uint8)


def rebuilt(orthophoto: np.ndarray, other: np.ndarray, city: City,
            other_city: City) -> np.ndarray:
    """
    Exchange the buildings of an aerial image for those of another city; the streets stay.

    :param other: the aerial image of the other city, of the same size.
    """
    size = orthophoto.shape[:2]
    paved = np.isin(city.ground, (Ground.ASPHALT, Ground.PAVEMENT, Ground.KERB))
    street = cv2.resize(paved.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    gone = footprints(city.buildings, size)
    come = footprints(other_city.buildings, size)
    return np.where(((gone | come) & (street == 0))[..., None] > 0, other, orthophoto)


def footprints(buildings: Sequence[Building], size: tuple[int, int]) -> np.ndarray:
    """Return the (h, w) uint8 mask, 0 or 1, of where buildings are seen from above."""
    mask = np.zeros(size, np.uint8)
    for building in buildings:
        draw_polygon(mask, corners(building.centre, building.size, building.yaw_rad), 1)
    return cv2.dilate(mask, np.ones((2 * EDGE_PX + 1, 2 * EDGE_PX + 1), np.uint8))
