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

"""Semantic layers of a simulated city, as a north-up map."""

from __future__ import annotations

import cv2
from fg2_ros.simulation.city import City
from fg2_ros.simulation.rasters import draw_polygon, HALF_SIZE_M
from fg2_ros.simulation.shapes import corners, Ground
import numpy as np

NAMES = ('street', 'pavement', 'paved', 'green', 'marking', 'building', 'crown', 'post')
RESOLUTION_M = 0.25
_KINDS = {
    'street': (Ground.ASPHALT, Ground.MARKING), 'pavement': (Ground.PAVEMENT, Ground.KERB),
    'paved': (Ground.PAVING, Ground.CAR_PARK, Ground.PATH, Ground.DRIVEWAY),
    'green': (Ground.GRASS, Ground.SOIL, Ground.WATER, Ground.BED)}
_POST_RADIUS_M = 0.5


def city_layers(city: City) -> np.ndarray:
    """Return an (N, N) uint8 north-up map of a whole city whose bits are the `NAMES`."""
    step = round(RESOLUTION_M / (2 * HALF_SIZE_M / len(city.ground)))
    size = len(city.ground) // step
    layers = {name: np.isin(city.ground, kinds)[::step, ::step] for name, kinds in _KINDS.items()}
    layers['marking'] = np.any(city.markings.reshape(size, step, size, step), axis=(1, 3))
    layers |= {name: np.zeros((size, size), np.uint8) for name in ('building', 'crown', 'post')}
    for building in city.buildings:
        draw_polygon(
            layers['building'], corners(building.centre, building.size, building.yaw_rad), 1)
    for tree in city.trees:
        _draw_disc(layers['crown'], tree.position, tree.radius_m)
    for post in city.posts:
        _draw_disc(layers['post'], post.position, max(post.radius_m, _POST_RADIUS_M))
    bits = np.zeros((size, size), np.uint8)
    for bit, name in enumerate(NAMES):
        bits |= layers[name].astype(np.uint8) << bit
    return bits


def coverage_at(layers: np.ndarray, column: np.ndarray, row: np.ndarray,
                cell_px: float) -> np.ndarray:
    """
    Return (h, w, 8) uint8: how much of a cell around each point a layer covers, of 255.

    :param layers: (n, n) uint8 bit field.
    :param column: (h, w) pixel index (centres at whole numbers) and ``row`` of the points.
    :param cell_px: side of a cell in pixels.
    """
    planes = np.unpackbits(layers[..., None], axis=2, bitorder='little') * np.uint8(255)
    side = max(1, round(cell_px))
    shares = cv2.blur(planes, (side, side))
    column, row = (np.asarray(value, np.float32) for value in (column, row))
    return np.concatenate([
        cv2.remap(np.ascontiguousarray(shares[..., part]), column, row, cv2.INTER_LINEAR)
        for part in (slice(0, 4), slice(4, 8))], axis=-1)


def _draw_disc(raster: np.ndarray, position: tuple[float, float], radius_m: float) -> None:
    shift = 4
    column = (position[0] + HALF_SIZE_M) / RESOLUTION_M - 0.5
    row = (HALF_SIZE_M - position[1]) / RESOLUTION_M - 0.5
    cv2.circle(raster, (round(column * 2 ** shift), round(row * 2 ** shift)),
               round(radius_m / RESOLUTION_M * 2 ** shift), 1, -1, cv2.LINE_8, shift)
