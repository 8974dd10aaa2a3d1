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

"""One orthophoto as a source: its edges and its bad input."""

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, RasterImagery
from fg2_ros.imagery.patch import PatchView
import numpy as np
import pytest

FRAME = MapFrame(47.0, 8.0)


@pytest.fixture
def raster():
    """Return 100 x 60 m around (10, 20), white, at half a metre."""
    return RasterImagery(np.full((120, 200, 3), 255, np.uint8), FRAME, (10.0, 20.0), 0.5)


def test_inside_everything_is_valid(raster):
    patch = raster.patch(PatchView(FRAME, (10.0, 20.0), 40.0, 100))
    assert patch.valid is None and patch.image.min() == 255
    assert patch.image.dtype == np.uint8 and patch.image.shape == (100, 100, 3)
    assert raster.status().hits == 1


def test_the_mask_ends_where_the_orthophoto_does(raster):
    patch = raster.patch(PatchView(FRAME, (50.0, 20.0), 40.0, 80))  # the image ends at 60 m east
    east, _ = patch.map_from_pixel(np.arange(80) + 0.5, 0)
    np.testing.assert_array_equal(patch.valid, np.tile(east < 60, (80, 1)))
    assert np.all(patch.image[patch.valid] == 255) and np.all(patch.image[~patch.valid] == 0)


def test_a_patch_mostly_outside_is_an_error(raster):
    with pytest.raises(ImageryError, match='the orthophoto lacks 75% of the aerial patch'):
        raster.patch(PatchView(FRAME, (70.0, 20.0), 40.0, 80))
    with pytest.raises(ImageryError, match='lacks 100%'):
        raster.patch(PatchView(MapFrame(10.0, 8.0), (0.0, 0.0), 40.0, 80))


@pytest.mark.parametrize('image, resolution', [
    (np.zeros((5, 5), np.uint8), 1.0), (np.zeros((5, 5, 3)), 1.0),
    (np.zeros((5, 0, 3), np.uint8), 1.0), (np.zeros((5, 5, 3), np.uint8), 0.0),
    (np.zeros((5, 5, 3), np.uint8), np.nan)])
def test_unusable_orthophotos_are_refused(image, resolution):
    with pytest.raises(ValueError):
        RasterImagery(image, FRAME, (0.0, 0.0), resolution)
