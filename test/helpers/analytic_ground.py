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

"""A ground whose colours say exactly where one is, and tiles of it made with pyproj alone."""

from __future__ import annotations

import numpy as np
from pyproj import Transformer

FROM_3857 = Transformer.from_crs('EPSG:3857', 'EPSG:4326', always_xy=True)
HALF_WORLD_M = 20037508.342789244
WAVELENGTH_M = 6.0
PLACES = [(0.0, 0.0), (47.0, 8.5), (-34.0, 18.4), (65.0, -22.0)]


class AnalyticGround:
    """Waves of 6 m along east (red), along north (green) and along both (blue), anywhere."""

    def __init__(self, latitude_deg: float, longitude_deg: float):
        self.origin = latitude_deg, longitude_deg

    def colours(self, latitude, longitude) -> np.ndarray:
        """Return (..., 3) float colours, 0-255, of places in degrees."""
        right, up = self._waves(latitude, longitude)
        return 127.5 + 110 * np.stack([np.sin(right), np.sin(up), np.sin(right + up)], axis=-1)

    def tile(self, zoom: int, x: int, y: int, tile_px: int = 256) -> np.ndarray:
        """Return the uint8 RGB image of an XYZ tile."""
        pixel = (np.arange(tile_px) + 0.5) / tile_px
        metres = 2 * HALF_WORLD_M / 2 ** zoom
        easting, northing = np.meshgrid((x + pixel) * metres - HALF_WORLD_M,
                                        HALF_WORLD_M - (y + pixel) * metres)
        longitude, latitude = FROM_3857.transform(easting, northing)
        return np.round(self.colours(latitude, longitude)).astype(np.uint8)

    def largest_shift_m(self, patch) -> float:
        """Return how far a block of a patch's content lies from where its colours belong."""
        return float(np.abs(self.shifts_m(patch)).max())

    def shifts_m(self, patch) -> np.ndarray:
        """
        Return (K, 2) metres east and north: how far off the content of a patch's blocks lies.

        The patch's colours are compared with those at its pixels' geodetic positions; in each of
        8 x 8 blocks the difference over the gradient gives a shift (least squares). Blocks with
        missing pixels are left out.
        """
        size = len(patch.image)
        row, column = np.mgrid[:size, :size] + 0.5
        east, north = patch.map_from_pixel(column, row)
        expected = self._at(patch.view.frame, east, north)
        step = 0.01
        by_east = (self._at(patch.view.frame, east + step, north) - expected) / step
        by_north = (self._at(patch.view.frame, east, north + step) - expected) / step
        difference = patch.image - expected
        shifts = [
            np.linalg.lstsq(
                np.stack([by_east[block].ravel(), by_north[block].ravel()], axis=1),
                difference[block].ravel(), rcond=None)[0]
            for block in _blocks(size) if patch.valid is None or patch.valid[block].all()]
        return np.array(shifts)

    def _at(self, frame, east, north) -> np.ndarray:
        return self.colours(*frame.geodetic_from_map(east, north))

    def _waves(self, latitude, longitude):
        lat_0, lon_0 = self.origin
        degrees_east = (np.asarray(longitude) - lon_0 + 180) % 360 - 180
        metres = 111320 * degrees_east * np.cos(np.radians(lat_0)), 110574 * (latitude - lat_0)
        return [2 * np.pi * value / WAVELENGTH_M for value in metres]


def _blocks(size: int):
    edges = np.linspace(0, size, 9).astype(int)
    return [np.s_[top:bottom, left:right]
            for top, bottom in zip(edges, edges[1:]) for left, right in zip(edges, edges[1:])]
