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

"""GeoTIFFs of all kinds of bands, with and without imagery everywhere."""

from contextlib import closing
from test.helpers.local_files import GroundGrid
from test.helpers.paths import REAL_DATA

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
from pyproj import Transformer
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

PLACE = (47.38, 8.54)
SIDE = 220
GRID = GroundGrid('EPSG:2056', PLACE, 0.25, (SIDE, SIDE))
RED, GREEN, BLUE, OPACITY = (
    ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def patch_of(path, size_m=40.0, size_px=160, place=PLACE):
    """Return the patch around a place."""
    with closing(open_local(path)) as imagery:
        return imagery.patch(PatchView(MapFrame(*place), (0.0, 0.0), size_m, size_px))


def picture(seed: int = 0) -> np.ndarray:
    """Return an (SIDE, SIDE, 3) uint8 picture, smooth enough to be resampled, 20 to 230."""
    row, column = np.mgrid[:SIDE, :SIDE] / 15.0
    waves = [np.sin(row + seed), np.cos(column - row), np.sin(column * 0.7 + seed)]
    return np.round(125 + 105 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a GeoTIFF."""
    return lambda image, **options: GRID.write(tmp_path / 'a.tif', image, **options)


@pytest.fixture
def expected(tmp_path):
    """Return the patch's image as it comes from plain RGB."""
    patch = patch_of(GRID.write(tmp_path / 'rgb.tif', picture()))
    assert patch.valid is None and np.ptp(patch.image) > 150
    return patch.image


def west_missing() -> np.ndarray:
    """Return a mask of which the western 40 % are False."""
    return np.tile(np.arange(SIDE) >= 0.4 * SIDE, (SIDE, 1))


def assert_west_is_missing(patch, image):
    assert not patch.valid[:, :40].any() and patch.valid[:, 62:].all()
    assert np.all(patch.image[~patch.valid] == 0)
    np.testing.assert_array_equal(patch.image[patch.valid], image[patch.valid])


def test_opacity_is_the_mask(write, expected):
    rgba = np.dstack([picture(), np.where(west_missing(), 255, 0).astype(np.uint8)])
    path = write(rgba, colours=[RED, GREEN, BLUE, OPACITY])
    assert_west_is_missing(patch_of(path), expected)


def test_what_is_half_opaque_is_imagery(write, expected):
    rgba = np.dstack([picture(), np.where(west_missing(), 128, 0).astype(np.uint8)])
    assert_west_is_missing(patch_of(write(rgba, colours=[RED, GREEN, BLUE, OPACITY])), expected)


def test_an_internal_mask_is_the_mask(write, expected):
    assert_west_is_missing(patch_of(write(picture(), mask=west_missing())), expected)


def test_nodata_is_the_mask(write, expected):
    image = np.where(west_missing()[..., None], picture(), 0).astype(np.uint8)
    assert_west_is_missing(patch_of(write(image, nodata=0)), expected)


@pytest.mark.parametrize('overviews', [(), (2, 4)])
def test_masks_shrink_with_the_picture(write, overviews):
    image = np.where(west_missing()[..., None], 99, 0).astype(np.uint8)
    patch = patch_of(write(image, nodata=0, overviews=overviews), 48.0, 40)
    assert not patch.valid[:, :14].any() and patch.valid[:, 18:].all()
    assert np.all(patch.image[patch.valid] == 99), 'nothing black is mixed in'


@pytest.mark.parametrize('colours', [
    [RED, GREEN, BLUE, OPACITY], [RED, GREEN, BLUE, ColorInterp.undefined]])
def test_near_infrared_is_no_opacity_whatever_the_file_says(write, expected, colours):
    infrared = picture(3)[..., :1]
    patch = patch_of(write(np.dstack([picture(), infrared]), colours=colours))
    assert patch.valid is None
    np.testing.assert_array_equal(patch.image, expected)


def test_colours_are_found_by_what_the_file_says(write, expected):
    image = np.dstack([picture(3)[..., :1], picture()[..., ::-1]])
    patch = patch_of(write(image, colours=[ColorInterp.undefined, BLUE, GREEN, RED]))
    np.testing.assert_array_equal(patch.image, expected)


def test_one_band_is_grey(write, expected):
    patch = patch_of(write(picture()[..., 1:2]))
    np.testing.assert_array_equal(patch.image, np.dstack([expected[..., 1]] * 3))


def test_grey_with_opacity_is_masked_grey(write, expected):
    opacity = np.where(west_missing(), 255, 0).astype(np.uint8)
    image = np.dstack([picture()[..., 1], opacity])
    patch = patch_of(write(image, colours=[ColorInterp.gray, OPACITY]))
    assert_west_is_missing(patch, np.dstack([expected[..., 1]] * 3))


def test_a_palette_is_applied(write):
    image = np.where(west_missing(), 7, 3).astype(np.uint8)[..., None]
    patch = patch_of(write(image, palette={7: (10, 200, 30, 255), 3: (0, 0, 90, 255)}))
    assert patch.valid is None
    np.testing.assert_array_equal(patch.image[0, -1], (10, 200, 30))
    np.testing.assert_array_equal(patch.image[0, 0], (0, 0, 90))


@pytest.mark.parametrize('kind, factor, offset', [
    (np.uint16, 12, 300), (np.int16, 50, -9000), (np.float32, 1e-3, 0.02)])
def test_other_values_are_stretched_alike_in_all_bands(write, expected, kind, factor, offset):
    patch = patch_of(write((picture() * float(factor) + offset).astype(kind)))
    assert patch.valid is None
    slope, start = np.polyfit(expected.ravel().astype(float), patch.image.ravel(), 1)
    assert slope == pytest.approx(255 / 210, abs=0.03)  # 20 to 230 become 0 to 255
    error = patch.image - (slope * expected.astype(float) + start)
    assert np.abs(error).max() < 4


def test_missing_values_do_not_stretch_the_others(write):
    image = np.where(west_missing()[..., None], picture() * 12.0 + 300, 65535).astype(np.uint16)
    patch = patch_of(write(image, nodata=65535))
    assert not patch.valid[:, :40].any() and patch.valid[:, 62:].all()
    assert np.ptp(patch.image[patch.valid]) > 240


def test_bytes_in_wider_values_stay_as_they_are(write, expected):
    np.testing.assert_array_equal(patch_of(write(picture().astype(np.uint16))).image, expected)


def test_the_stretch_is_the_same_everywhere(write, expected):
    image = np.where(west_missing()[..., None], 4000, 1000).astype(np.uint16)
    with closing(open_local(write(image))) as imagery:
        frame = MapFrame(*PLACE)
        shades = {imagery.patch(PatchView(frame, (east, 0.0), 8.0, 32)).image.mean()
                  for east in (-20.0, -10.5, 12.0, 20.0)}
    assert shades == {0.0, 255.0}


@pytest.mark.parametrize('compress', ['deflate', 'lzw', 'jpeg', 'webp', 'zstd'])
def test_compressed_files_are_read(write, expected, compress):
    options = {'photometric': 'ycbcr'} if compress == 'jpeg' else {}
    patch = patch_of(write(picture(), compress=compress, interleave='pixel', **options))
    assert np.abs(patch.image.astype(int) - expected).mean() < 8


def test_only_the_part_that_is_shown_is_read(tmp_path):
    """Thirty gigabytes, nearly all of it a hole in the file, open and answer at once."""
    grid = GroundGrid('EPSG:2056', PLACE, 0.1, (100_000, 100_000))
    path = tmp_path / 'a.tif'
    with rasterio.open(
            path, 'w', driver='GTiff', height=100_000, width=100_000, count=3, dtype='uint8',
            crs=grid.crs, transform=grid.transform, tiled=True, sparse_ok=True,
            bigtiff=True) as dataset:
        block = np.full((3, 2000, 2000), 99, np.uint8)
        dataset.write(block, window=rasterio.windows.Window(49_000, 49_000, 2000, 2000))
    assert np.all(patch_of(path).image == 99)
    with pytest.raises(ImageryError, match='has no overviews: .*"gdaladdo -r average"') as error:
        patch_of(path, 2000.0, 512)
    assert str(path) in str(error.value)


def test_files_that_cannot_be_placed_or_shown_are_named(tmp_path):
    image = picture()
    with pytest.warns(NotGeoreferencedWarning):
        with rasterio.open(tmp_path / 'b.tif', 'w', driver='GTiff', height=SIDE, width=SIDE,
                           count=1, dtype='uint8') as dataset:
            dataset.write(image[..., 0], 1)
        with pytest.raises(ImageryError, match='b.tif does not say where on Earth it lies'):
            open_local(tmp_path / 'b.tif')
    local = GroundGrid(GRID.crs, PLACE, 0.25, (SIDE, SIDE))
    local.crs = 'LOCAL_CS["of the site",UNIT["metre",1]]'
    for path, reason in (
            (local.write(tmp_path / 'c.tif', image), 'coordinate system of .* cannot be used'),
            (GRID.write(tmp_path / 'd.tif', image.astype(np.complex64)), 'holds complex64')):
        with pytest.raises(ImageryError, match=reason) as error:
            open_local(path)
        assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_the_files_copyright_is_the_attribution(write):
    path = write(picture())
    with rasterio.open(path, 'r+') as dataset:
        dataset.update_tags(TIFFTAG_COPYRIGHT='(c) Canton')
    assert patch_of(path).attribution == '(c) Canton'


@pytest.mark.parametrize('name', [
    'colorado_usgs_hro_0p15m.tif', 'lakezurich_swissimage_0p5m.tif', 'milwaukee_naip_0p6m.tif',
    'zurich_swissimage_0p5m.tif'])
def test_real_files_show_what_rasterio_finds_at_the_same_places(name):
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f'{path} is not there')
    with rasterio.open(path) as dataset:
        to_crs = Transformer.from_crs('EPSG:4326', dataset.crs.to_wkt(), always_xy=True)
        middle = np.mean(np.reshape(dataset.bounds, (2, 2)), axis=0)
        size_m = 0.7 * min(dataset.shape) * dataset.res[0]
        size_px = int(0.7 * min(dataset.shape))
        longitude, latitude = to_crs.transform(*middle, direction='INVERSE')
        patch = patch_of(path, size_m, size_px, (latitude, longitude))
        row, column = np.mgrid[:size_px, :size_px] + 0.5
        place = patch.view.frame.geodetic_from_map(*patch.map_from_pixel(column, row))
        x, y = to_crs.transform(place[1].ravel(), place[0].ravel())
        there = rasterio.transform.rowcol(dataset.transform, x, y)
        nearest = np.moveaxis(dataset.read((1, 2, 3)), 0, -1)[tuple(there)]
        nearest = nearest.reshape(patch.image.shape)
    assert patch.valid is None
    assert patch.native_resolution_m == pytest.approx(float(name[-9:-5].replace('p', '.').strip(
        '_m')), rel=0.02)
    smooth = np.abs(patch.image.astype(float) - nearest).mean()
    shifted = np.abs(patch.image.astype(float) - np.roll(nearest, 3, axis=1)).mean()
    assert smooth < 0.6 * shifted, 'it would fit no better were it elsewhere'
