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

"""Orthophotos that are empty in places without saying so: noticed, said once, and left out."""

from contextlib import closing
from test.helpers.local_files import GroundGrid

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')

PLACE = (47.38, 8.54)
SIDE = 300
GRID = GroundGrid('EPSG:2056', PLACE, 0.25, (SIDE, SIDE))
WEST = np.tile(np.arange(SIDE) < 100, (SIDE, 1))
ROW, COLUMN = np.mgrid[:SIDE, :SIDE]
CORNERS = np.abs(ROW - 150) + np.abs(COLUMN - 150) > 200  # as of a turned picture
HOLE = np.hypot(ROW - 150, COLUMN - 150) < 40


def scene(dtype, low, high) -> np.ndarray:
    """Return a picture of blocks, each of another colour."""
    blocks = np.random.default_rng(0).random((50, 50, 3)).repeat(6, 0).repeat(6, 1)
    return (low + (high - low) * blocks).astype(dtype)


def patch_of(path, size_m=70.0, **options):
    with closing(open_local(path, **options)) as imagery:
        return imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), size_m, 280))


def filled(image, where, value):
    return np.where(where[..., None], np.array(value, image.dtype), image)


def assert_missing(patch, where):
    """Check that a patch lacks what is empty, with a pixel or two at its edge, and no more."""
    shown = where[10:-10, 10:-10]
    assert patch.valid is not None and not patch.valid[shown].any()
    assert (~patch.valid).mean() == pytest.approx(shown.mean(), abs=0.05)
    assert patch.image[patch.valid].std() > 50, 'the rest has its contrast'


@pytest.mark.parametrize('dtype, low, high, value', [
    (np.uint8, 5, 250, 0), (np.uint8, 5, 250, 255), (np.uint16, 47, 2047, 0),
    (np.uint16, 0, 2047, 65535), (np.int16, 0, 2047, -9999), (np.float32, 0, 1, -9999),
    (np.float32, 0, 1, -3.4028234663852886e38), (np.float32, 0.1, 1, 0), (np.float64, 0, 1, 1e20),
    (np.float32, 0, 1, np.nan), (np.float32, 0, 1, -np.inf)])
@pytest.mark.parametrize('where', [WEST, CORNERS])
def test_what_is_empty_from_the_edge_inwards_is_left_out(
        dtype, low, high, value, where, tmp_path, caplog):
    path = GRID.write(tmp_path / 'a.tif', filled(scene(dtype, low, high), where, value))
    assert_missing(patch_of(path), where)
    if np.isfinite(value):
        said, = caplog.records
        assert str(path) in said.message and f'{value:g}' in said.message


@pytest.mark.parametrize('dtype, high, value', [
    (np.uint16, 2047, 65535), (np.float32, 1, -9999), (np.float32, 1, np.nan)])
def test_a_hole_of_a_value_far_from_all_others_is_left_out(dtype, high, value, tmp_path):
    path = GRID.write(tmp_path / 'a.tif', filled(scene(dtype, 0, high), HOLE, value))
    assert_missing(patch_of(path), HOLE)


@pytest.mark.parametrize('dtype, low, high, value', [
    (np.uint8, 5, 250, 0), (np.uint8, 5, 250, 255), (np.uint16, 100, 2000, 2000)])
def test_what_is_black_or_white_inside_the_picture_is_imagery(dtype, low, high, value, tmp_path):
    path = GRID.write(tmp_path / 'a.tif', filled(scene(dtype, low, high), HOLE, value))
    assert patch_of(path).valid is None


def test_dark_places_inside_stay_where_the_corners_are_empty(tmp_path):
    image = filled(filled(scene(np.uint8, 5, 250), CORNERS, 0), HOLE, 0)
    patch = patch_of(GRID.write(tmp_path / 'a.tif', image))
    assert patch.valid[140, 140] and np.all(patch.image[140, 140] == 0)
    assert not patch.valid[0, 0]


def test_small_dark_places_at_the_edge_of_a_patch_are_imagery(tmp_path):
    image = filled(scene(np.uint8, 5, 250), CORNERS, 0)
    image[140:150, 60:74] = 0
    patch = patch_of(GRID.write(tmp_path / 'a.tif', image), size_m=40.0)
    assert patch.valid is None


def test_files_without_anything_empty_say_nothing(tmp_path, caplog):
    for dtype, high in ((np.uint8, 255), (np.uint16, 4000), (np.float32, 1)):
        assert patch_of(GRID.write(tmp_path / 'a.tif', scene(dtype, 0, high))).valid is None
    bright = np.clip(scene(np.float64, 0, 1) ** 3 * 90_000, 0, 65535).astype(np.uint16)
    assert patch_of(GRID.write(tmp_path / 'b.tif', bright)).valid is None, 'only overexposed'
    black = patch_of(GRID.write(tmp_path / 'c.tif', np.zeros((SIDE, SIDE, 3), np.uint8)))
    assert black.valid is None
    assert not caplog.records


def test_overviews_are_empty_where_the_picture_is(tmp_path):
    image = filled(scene(np.uint16, 100, 2047), CORNERS, 65535)
    path = GRID.write(tmp_path / 'a.tif', image, overviews=(2, 4))
    with closing(open_local(path)) as imagery:
        patch = imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 70.0, 70))
    shown = CORNERS[10:-10:4, 10:-10:4]
    assert not patch.valid[shown].any() and patch.valid[20:50, 20:50].all()
    assert patch.image[patch.valid].std() > 30


def test_a_value_that_the_user_declares_is_left_out_without_a_word(tmp_path, caplog):
    path = GRID.write(tmp_path / 'a.tif', filled(scene(np.uint8, 5, 250), HOLE, 77))
    assert patch_of(path).valid is None
    assert_missing(patch_of(path, nodata=77.0), HOLE)
    assert patch_of(path, nodata=-9999.0).valid is None, 'no byte has that value'
    assert not caplog.records


def test_it_is_said_once_however_many_patches_and_sheets_there_are(tmp_path, caplog):
    for name in 'abc':
        GRID.write(tmp_path / f'{name}.tif', filled(scene(np.uint8, 5, 250), CORNERS, 0))
    with closing(open_local(tmp_path)) as imagery:
        for _ in range(3):
            imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 50.0, 100))
    assert len(caplog.records) == 1
