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

"""Tile pyramids against pyproj's EPSG:3857."""

from fg2_ros.geometry import mercator
from hypothesis import given, strategies as st
import numpy as np
from pyproj import Geod, Transformer
import pytest

TO_3857 = Transformer.from_crs('EPSG:4326', 'EPSG:3857', always_xy=True)
HALF_WORLD_M = 20037508.342789244
latitudes = st.floats(-85, 85)
longitudes = st.floats(-180, 180)
zooms = st.integers(0, 22)


@given(latitudes, longitudes, zooms, st.sampled_from([256, 512]))
def test_world_pixels_agree_with_epsg_3857(latitude, longitude, zoom, tile_px):
    easting, northing = TO_3857.transform(longitude, latitude)
    pixels_per_m = tile_px * 2 ** zoom / (2 * HALF_WORLD_M)
    expected = ((easting + HALF_WORLD_M) * pixels_per_m, (HALF_WORLD_M - northing) * pixels_per_m)
    actual = mercator.world_pixel_from_geodetic(latitude, longitude, zoom, tile_px)
    np.testing.assert_allclose(actual, expected, atol=1e-6 * pixels_per_m + 1e-6)


@given(latitudes, longitudes, zooms)
def test_world_pixel_round_trip(latitude, longitude, zoom):
    pixel = mercator.world_pixel_from_geodetic(latitude, longitude, zoom)
    again = mercator.geodetic_from_world_pixel(*pixel, zoom)
    np.testing.assert_allclose(again, (latitude, longitude), atol=1e-9)


@pytest.mark.parametrize('latitude, longitude, zoom, tile', [
    (85.0, -180, 1, (0, 0)), (-85.0, 179.9, 1, (1, 1)), (53.3308, -9.1406, 10, (486, 332)),
    (53.3309, -9.1407, 10, (485, 331))])
def test_known_tiles(latitude, longitude, zoom, tile):
    x, y = mercator.world_pixel_from_geodetic(latitude, longitude, zoom)
    assert (int(x // 256), int(y // 256)) == tile


@pytest.mark.parametrize('latitude', [0, 47, -34, 65])
def test_ground_resolution_follows_the_cosine_and_the_ellipsoid_roughly(latitude):
    resolution = mercator.ground_resolution_m(latitude, 19)
    assert resolution == pytest.approx(0.29858214 * np.cos(np.radians(latitude)), rel=1e-6)
    x, y = mercator.world_pixel_from_geodetic(latitude, 10.0, 19)
    there = mercator.geodetic_from_world_pixel(x + 100, y, 19)
    _, _, distance = Geod(ellps='WGS84').inv(10.0, latitude, there[1], there[0])
    assert distance / 100 == pytest.approx(resolution, rel=4e-3)


@given(latitudes, st.floats(0.01, 1000))
def test_chosen_zoom_is_the_coarsest_that_is_fine_enough(latitude, resolution):
    zoom = mercator.zoom_for_resolution(latitude, resolution)
    assert mercator.ground_resolution_m(latitude, zoom) <= resolution * (1 + 1e-6)
    if zoom > 0:
        assert mercator.ground_resolution_m(latitude, zoom - 1) > resolution * (1 - 1e-6)


@pytest.mark.parametrize('latitude', [85.06, -86, 90])
def test_beyond_the_mercator_limit_there_is_a_clear_error(latitude):
    with pytest.raises(ValueError, match='Web Mercator ends at 85.0511'):
        mercator.world_pixel_from_geodetic(latitude, 0, 10)
