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

"""Resampling of one image under maps of every kind, against a closed form."""

from fg2_ros.imagery.resample import (
    affine_misfit, extent, pixels_touched, Pyramid, slopes, source_resolution_m, spread,
    unit_nodes)
import numpy as np
import pytest

WAVE_PX = 60.0


def colours(x, y):
    """Return what is at continuous pixels of the test image, waves of 60 pixels, 27 to 228."""
    return 127.5 + 100 * np.stack([
        np.sin(2 * np.pi * x / WAVE_PX), np.cos(2 * np.pi * y / WAVE_PX),
        np.sin(2 * np.pi * (x + y) / WAVE_PX)], axis=-1)


def image(height=620, width=580):
    row, column = np.mgrid[:height, :width] + 0.5
    return np.round(colours(column, row)).astype(np.uint8)


def bent(u, v, bend):
    """Return a map that is affine but for a bend of so many pixels."""
    return (40 + 300 * u + 7 * v + bend * (u - 0.5) * (v - 0.5),
            60 - 5 * u + 280 * v + bend * (u - 0.5) ** 2)


MAPS = {
    'affine': lambda u, v: bent(u, v, 0.0),
    'hardly bent': lambda u, v: bent(u, v, 0.01),
    'bent': lambda u, v: bent(u, v, 30.0),
    'turned': lambda u, v: (300 + 200 * (u - v), 60 + 200 * (u + v)),
    'stretched': lambda u, v: (30 + 500 * u, 100 + 90 * v),
    'mirrored': lambda u, v: (500 - 400 * u, 500 - 400 * v)}


@pytest.mark.parametrize('name', MAPS)
@pytest.mark.parametrize('size_px', [97, 200, 430])
def test_every_pixel_is_what_lies_there(name, size_px):
    warped, valid = Pyramid(image()).warp(*MAPS[name](*unit_nodes()), size_px)
    pixel = (np.arange(size_px) + 0.5) / size_px
    x, y = MAPS[name](*np.meshgrid(pixel, pixel))
    assert valid is None
    # Blur and linear interpolation flatten the waves: 5 % where a pixel shows five of the image's.
    contrast = 1 if size_px > 400 else 0.94
    error = np.abs(warped - 127.5 - (colours(x, y) - 127.5) * contrast)
    assert error.max() < (3 if size_px > 400 else 10)


def test_a_map_is_taken_as_affine_only_if_it_is():
    assert affine_misfit(*MAPS['affine'](*unit_nodes())) < 1e-9
    assert affine_misfit(*MAPS['bent'](*unit_nodes())) > 1


def test_masks_follow_the_image():
    valid = np.full((620, 580), 255, np.uint8)
    valid[:, :200] = 0
    picture = image()
    picture[:, :200] = 255  # must not be seen, not even mixed in
    x_nodes, y_nodes = MAPS['affine'](*unit_nodes())
    for size_px in (97, 200, 430):
        warped, mask = Pyramid(picture, valid).warp(x_nodes, y_nodes, size_px)
        x = spread(x_nodes, size_px)
        reach = 3 * 300 / size_px + 2
        assert not mask[x < 200].any() and mask[x > 200 + reach].all()
        assert not warped[~mask].any()
        expected, _ = Pyramid(image()).warp(x_nodes, y_nodes, size_px)
        np.testing.assert_allclose(warped[mask].astype(int), expected[mask], atol=1)


def test_beyond_the_image_nothing_is_valid():
    u, v = unit_nodes()
    for x, y in ((u * 100 - 50, v * 100), (u * 100, v * 100 + 570), (u * 100 + 2000, v * 100)):
        warped, mask = Pyramid(image()).warp(x, y, 100)
        inside = (spread(x, 100) >= 0) & (spread(x, 100) <= 580) & (spread(y, 100) <= 620)
        np.testing.assert_array_equal(mask, inside)
        assert not warped[~mask].any()


def test_measures_of_a_map():
    x_nodes, y_nodes = MAPS['stretched'](*unit_nodes())
    assert slopes(x_nodes, y_nodes) == pytest.approx((500, 90))
    assert source_resolution_m(45.0, x_nodes, y_nodes) == pytest.approx(0.5)
    assert extent(x_nodes) == pytest.approx((30, 530))
    first, end = pixels_touched(x_nodes, 250)
    assert first <= 30 - 5 and end >= 530 + 5
    assert end - first < 530
