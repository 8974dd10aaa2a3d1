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

"""Where the content of a patch lies on the ground, against pyproj."""

from test.helpers.analytic_ground import AnalyticGround, HALF_WORLD_M, PLACES
from test.helpers.http_stub import address, encoded, Reply

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import HttpSettings, RasterImagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.resample import spread
from fg2_ros.imagery.tiles.address import TileSource
from fg2_ros.imagery.tiles.mosaic import footprint
from hypothesis import given, settings, strategies as st
import numpy as np
from pyproj import Transformer
import pytest

ANTIMERIDIAN = [(-17.0, 179.99995), (52.0, -179.9999)]
TO_3857 = Transformer.from_crs('EPSG:4326', 'EPSG:3857', always_xy=True)


@pytest.mark.parametrize('place', PLACES + ANTIMERIDIAN)
@pytest.mark.parametrize('tile_px', [256, 512])
def test_tile_content_lies_within_a_centimetre(place, tile_px, serve, open_imagery):
    ground = AnalyticGround(*place)
    server = serve(lambda path, headers: Reply(
        body=encoded(ground.tile(*address(path), tile_px))))
    imagery = open_imagery(server.template, tile_px=tile_px, max_zoom=20, http=HttpSettings())
    # The datum is two kilometres off, so that its axes are turned against the tiles' a little.
    frame = MapFrame(place[0] + 0.018, place[1])
    centre = frame.map_from_geodetic(*place)
    patch = imagery.patch(PatchView(frame, centre, 71.0, 320), wait_s=60)
    assert patch.valid is None
    assert len(set(server.paths)) == len(server.paths) >= 2  # there are seams in it
    assert ground.largest_shift_m(patch) < 0.01


@pytest.mark.parametrize('place', PLACES)
def test_orthophoto_content_lies_within_a_centimetre_in_another_frame(place):
    ground = AnalyticGround(*place)
    own_frame = MapFrame(*place)
    row, column = np.mgrid[:650, :600]
    east, north = (column + 0.5 - 300) * 0.2 + 15, (325 - row - 0.5) * 0.2 - 20
    image = np.round(ground.colours(*own_frame.geodetic_from_map(east, north))).astype(np.uint8)
    imagery = RasterImagery(image, own_frame, (15.0, -20.0), 0.2)
    frame = MapFrame(place[0] - 0.02, place[1] + 0.02)
    for size_px in (150, 400):
        centre = frame.map_from_geodetic(*own_frame.geodetic_from_map(12.0, -15.0))
        patch = imagery.patch(PatchView(frame, centre, 71.0, size_px))
        assert patch.valid is None
        assert ground.largest_shift_m(patch) < 0.01


@settings(deadline=None, max_examples=40)
@given(latitude=st.floats(-80, 80), longitude=st.floats(-180, 180), size_m=st.floats(20, 2000),
       east=st.floats(-5000, 5000), north=st.floats(-5000, 5000), max_zoom=st.integers(14, 21))
def test_every_pixel_finds_its_place_in_the_mosaic(
        latitude, longitude, size_m, east, north, max_zoom):
    """Compare the interpolated coordinates of all pixels with pyproj's."""
    source = TileSource('http://h/{z}/{x}/{y}', max_zoom=max_zoom)
    view = PatchView(MapFrame(latitude, longitude), (east, north), size_m, 128)
    needed = footprint(view, source.layout)
    zoom, first_x, first_y = needed.tiles[0][0]
    pixel = (np.arange(128) + 0.5) / 128 - 0.5
    ground = view.frame.geodetic_from_map(*np.meshgrid(
        east + pixel * size_m, north - pixel * size_m))
    easting, northing = TO_3857.transform(ground[1], ground[0])
    pixels_per_m = 256 * 2 ** zoom / (2 * HALF_WORLD_M)
    x = (easting + HALF_WORLD_M) * pixels_per_m - first_x * 256
    x %= 256 * 2 ** zoom
    y = (HALF_WORLD_M - northing) * pixels_per_m - first_y * 256
    tolerance = 0.002 * pixels_per_m / np.cos(np.radians(latitude)) + 1e-3
    np.testing.assert_allclose(spread(needed.x_nodes, 128), x, atol=tolerance)
    np.testing.assert_allclose(spread(needed.y_nodes, 128), y, atol=tolerance)
    shape = np.array([len(needed.tiles), len(needed.tiles[0])]) * 256
    assert x.min() > 1 and x.max() < shape[1] - 1 and y.min() > 1 and y.max() < shape[0] - 1


@pytest.mark.parametrize('resolution_m', [0.25, 0.41, 0.9])
def test_detail_too_fine_for_the_patch_is_averaged_away(resolution_m):
    """Stripes of 0.2 m come out grey, not as moire, and their mean stays."""
    image = np.zeros((1600, 1600, 3), np.uint8)
    image[:, ::2] = 240
    imagery = RasterImagery(image, MapFrame(47, 8), (0.0, 0.0), 0.1)
    patch = imagery.patch(PatchView(MapFrame(47, 8), (3.33, 1.77), 128 * resolution_m, 128))
    assert patch.image.mean() == pytest.approx(120, abs=1.5)
    assert patch.image.std() < 120 / (resolution_m / 0.1)


def test_source_coarser_than_wanted_is_magnified_in_place(serve, open_imagery):
    ground = AnalyticGround(47.0, 8.5)
    server = serve(lambda path, headers: Reply(body=encoded(ground.tile(*address(path)))))
    imagery = open_imagery(server.template, max_zoom=18, http=HttpSettings())
    patch = imagery.patch(PatchView(MapFrame(47.0, 8.5), (3.0, 4.0), 56.0, 256), wait_s=60)
    assert {address(path)[0] for path in server.paths} == {18}
    assert ground.largest_shift_m(patch) < 0.02


def test_patch_pixels_and_map_are_inverse_and_have_the_stated_convention():
    imagery = RasterImagery(np.zeros((100, 100, 3), np.uint8), MapFrame(0, 0), (0.0, 0.0), 1.0)
    patch = imagery.patch(PatchView(MapFrame(0, 0), (2.0, 3.0), 50.0, 64))
    east, north = patch.map_from_pixel(10.5, 20.5)
    assert east == pytest.approx(2 + (10.5 / 64 - 0.5) * 50)
    assert north == pytest.approx(3 - (20.5 / 64 - 0.5) * 50)
    np.testing.assert_allclose(patch.pixel_from_map(east, north), (10.5, 20.5))
    assert patch.resolution_m == 50 / 64
