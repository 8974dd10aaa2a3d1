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

"""Where the content of patches from local files lies on the ground, against pyproj."""

from test.helpers.analytic_ground import AnalyticGround, PLACES
from test.helpers.local_files import ground_geotiff, TILE_WRITERS, tiles_of

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.opening import open_local
from hypothesis import given, HealthCheck, Phase, settings, strategies as st
import numpy as np
import pytest

ANTIMERIDIAN = [(-17.0, 179.99995), (52.0, -179.9999)]
LARGEST_SHIFT_M = 0.01
ANYWHERE = {'latitude': st.floats(-65, 65), 'longitude': st.floats(-180, 180)}
FEW = settings(deadline=None, max_examples=6, phases=[Phase.generate],
               suppress_health_check=[HealthCheck.function_scoped_fixture])


def patch_around(path, place, size_m=40.0, size_px=200):
    """Return a patch in a frame two kilometres away, whose axes are turned a little."""
    frame = MapFrame(place[0] + 0.018, place[1])
    imagery = open_local(path)
    try:
        return imagery.patch(PatchView(frame, frame.map_from_geodetic(*place), size_m, size_px))
    finally:
        imagery.close()


def utm(latitude, longitude) -> str:
    zone = int((longitude + 180) // 6) % 60 + 1
    return f'EPSG:{32600 + zone if latitude >= 0 else 32700 + zone}'


def shift_of_tiles(tmp_path, place, kind, tile_px=256) -> float:
    ground = AnalyticGround(*place)
    zoom = mercator.zoom_for_resolution(place[0], 0.2, tile_px)
    tiles = tiles_of(ground, place, zoom, tile_px=tile_px)
    patch = patch_around(TILE_WRITERS[kind](tmp_path / kind, tiles), place)
    assert patch.valid is None
    assert patch.native_resolution_m == pytest.approx(
        mercator.ground_resolution_m(place[0], zoom, tile_px), rel=0.01)
    return ground.largest_shift_m(patch)


@pytest.mark.parametrize('place, kind, tile_px', [
    (PLACES[0], 'MBTiles', 256), (PLACES[1], 'PMTiles', 512), (PLACES[2], 'folder', 256),
    (PLACES[3], 'MBTiles', 512), (ANTIMERIDIAN[0], 'PMTiles', 256),
    (ANTIMERIDIAN[1], 'folder', 256)])
def test_tiles_lie_within_a_centimetre(tmp_path, place, kind, tile_px):
    assert shift_of_tiles(tmp_path, place, kind, tile_px) < LARGEST_SHIFT_M


@FEW
@given(**ANYWHERE, kind=st.sampled_from(sorted(TILE_WRITERS)))
def test_tiles_anywhere_lie_within_a_centimetre(tmp_path, latitude, longitude, kind):
    assert shift_of_tiles(tmp_path, (latitude, longitude), kind) < LARGEST_SHIFT_M


@pytest.mark.parametrize('place, crs, options', [
    ((47.38, 8.54), 'EPSG:2056', {}),
    ((47.38, 8.54), 'EPSG:2056', {'turned_deg': 30.0}),
    ((65.0, -22.0), 'EPSG:3057', {}),  # Lambert, Iceland
    ((40.0, -105.0), 'EPSG:2232', {'pixel': 0.6}),  # Colorado, feet
    ((-41.3, 174.8), 'EPSG:2193', {}),  # New Zealand, whose axes are north and east
    ((52.0, -179.9999), 'EPSG:32601', {}),
    ((-17.0, 179.99995), 'EPSG:3857', {}),
    ((-17.0, -179.99995), 'EPSG:3857', {}),
    ((65.0, 180.0), 'EPSG:4326', {'pixel': 3e-6, 'pixel_y': 1.5e-6}),
    ((-80.0, 30.0), 'EPSG:3031', {})])  # polar stereographic
def test_geotiffs_lie_within_a_centimetre(tmp_path, place, crs, options):
    ground = AnalyticGround(*place)
    path = ground_geotiff(tmp_path / 'a.tif', ground, crs, **{'pixel': 0.18, **options})
    patch = patch_around(path, place)
    assert patch.valid is None or patch.valid.mean() > 0.6
    shifts = ground.shifts_m(patch)
    assert shifts.size and np.abs(shifts).max() < LARGEST_SHIFT_M


@FEW
@given(**ANYWHERE, system=st.sampled_from(['UTM', 'EPSG:3857', 'EPSG:4326']))
def test_geotiffs_anywhere_lie_within_a_centimetre(tmp_path, latitude, longitude, system):
    ground = AnalyticGround(latitude, longitude)
    stretch = 1 / np.cos(np.radians(latitude))
    crs, pixel, pixel_y = {
        'UTM': (utm(latitude, longitude), 0.18, None),
        'EPSG:3857': ('EPSG:3857', 0.18 * stretch, None),
        'EPSG:4326': ('EPSG:4326', 1.6e-6 * stretch, 1.6e-6)}[system]
    path = ground_geotiff(tmp_path / 'a.tif', ground, crs, pixel, (400, 420), pixel_y=pixel_y)
    patch = patch_around(path, (latitude, longitude))
    assert patch.valid is None
    assert ground.largest_shift_m(patch) < LARGEST_SHIFT_M


@pytest.mark.parametrize('overviews, size_px, resolution_m', [
    ((), 110, 0.15), ((2, 4), 170, 0.3), ((2, 4), 110, 0.6)])
def test_shrunk_geotiffs_lie_where_the_full_ones_do(
        tmp_path, overviews, size_px, resolution_m):
    """Also at the far corner of overviews that do not divide the file's size."""
    ground = AnalyticGround(46.0, 7.0)
    path = ground_geotiff(
        tmp_path / 'a.tif', ground, 'EPSG:32632', 0.15, (533, 527), overviews=overviews)
    patch = patch_around(path, (46.0, 7.0), 75.0, size_px)
    assert patch.native_resolution_m == pytest.approx(resolution_m, rel=0.02)
    assert ground.largest_shift_m(patch) < 0.02


def test_a_geotiff_far_from_the_datum_of_its_system_is_found_by_its_own_transformation(tmp_path):
    """What pyproj knows of the Swiss datum is 100 m and more: it must not be left out."""
    place = (46.95, 7.44)
    ground = AnalyticGround(*place)
    path = ground_geotiff(tmp_path / 'a.tif', ground, 'EPSG:21781', 0.18)
    assert ground.largest_shift_m(patch_around(path, place)) < LARGEST_SHIFT_M
