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

"""Web Mercator (EPSG:3857) tile pyramids: XYZ addresses, world pixels, ground resolution."""

from __future__ import annotations

import numpy as np

EARTH_RADIUS_M = 6378137.0
MAX_LATITUDE_DEG = 85.05112877980659


def world_pixel_from_geodetic(latitude_deg, longitude_deg, zoom: int, tile_px: int = 256):
    """
    Return (x, y) in pixels of the whole world at ``zoom``; x grows east, y grows south.

    Pixel (0, 0) covers [0, 1) x [0, 1): an integer is a pixel's north-west corner. Scalars or
    arrays.

    :raises ValueError: beyond the Mercator limit of 85.0511 degrees.
    """
    latitude = np.asarray(latitude_deg, float)
    if np.any(np.abs(latitude) > MAX_LATITUDE_DEG):
        raise ValueError(
            f'Web Mercator ends at {MAX_LATITUDE_DEG:.4f} degrees of latitude: no tiles there')
    size_px = tile_px * 2 ** zoom
    x = (np.asarray(longitude_deg, float) + 180) / 360 * size_px
    y = (0.5 - np.arcsinh(np.tan(np.radians(latitude))) / (2 * np.pi)) * size_px
    return x, y


def geodetic_from_world_pixel(x, y, zoom: int, tile_px: int = 256):
    """Return (latitude, longitude) in degrees: the inverse of `world_pixel_from_geodetic`."""
    size_px = tile_px * 2 ** zoom
    longitude = np.asarray(x, float) / size_px * 360 - 180
    latitude = np.degrees(np.arctan(np.sinh(2 * np.pi * (0.5 - np.asarray(y, float) / size_px))))
    return latitude, longitude


def ground_resolution_m(latitude_deg: float, zoom: int, tile_px: int = 256) -> float:
    """Return the metres on the ground that one pixel spans at a latitude (spherical scale)."""
    equator_m = 2 * np.pi * EARTH_RADIUS_M
    return float(equator_m * np.cos(np.radians(latitude_deg)) / (tile_px * 2 ** zoom))


def zoom_for_resolution(latitude_deg: float, resolution_m: float, tile_px: int = 256) -> int:
    """Return the smallest zoom whose pixels are at most ``resolution_m`` wide at a latitude."""
    coarsest = ground_resolution_m(latitude_deg, 0, tile_px)
    return max(0, int(np.ceil(np.log2(coarsest / resolution_m) - 1e-9)))
