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

"""Images as a network wants them."""

from fg2_ros.localizer.resize import resized, turned
import numpy as np
import pytest


def triangle_resized(line, count):
    """Return a line of numbers resampled by a triangle filter, written out."""
    scale = len(line) / count
    at = np.arange(len(line)) + 0.5
    weights = np.maximum(
        1 - np.abs(at - (np.arange(count)[:, None] + 0.5) * scale) / max(scale, 1), 0)
    return weights @ line / weights.sum(1)


@pytest.mark.parametrize('count', [30, 61, 99, 100, 150])
def test_bilinear_is_an_antialiased_triangle_filter(count):
    """As published: smaller, equal and larger."""
    line = np.random.default_rng(0).integers(0, 256, 100)
    image = np.broadcast_to(line[None, :, None], (8, 100, 3)).astype(np.uint8)
    found = resized(image, (8, count), 'bilinear')
    assert found.shape == (8, count, 3) and found.dtype == np.uint8
    assert np.abs(found[3, :, 1] - triangle_resized(line, count)).max() <= 0.51


def test_area_is_the_mean_of_what_a_pixel_covers():
    """Where it shrinks by a whole number, exactly."""
    image = np.random.default_rng(0).integers(0, 256, (12, 24, 3)).astype(np.uint8)
    mean = image.reshape(4, 3, 8, 3, 3).mean((1, 3))
    assert np.abs(resized(image, (4, 8), 'area') - mean).max() <= 0.51
    assert resized(image, (24, 48), 'area').shape == (24, 48, 3)


@pytest.mark.parametrize('how', ['area', 'bilinear'])
def test_an_image_of_the_right_size_stays(how):
    """It is not even copied."""
    image = np.zeros((4, 8, 3), np.uint8)
    assert resized(image, (4, 8), how) is image


def test_unknown_resize():
    """A file may say anything."""
    with pytest.raises(ValueError, match="bilinear or area, not 'cubic'"):
        resized(np.zeros((4, 8, 3), np.uint8), (2, 4), 'cubic')


@pytest.mark.parametrize('size, size_px', [(90, 60), (91, 60), (90, 61)])
@pytest.mark.parametrize('yaw', [-3.0, -1.2, 0.0, 0.4, np.pi / 2, 2.5])
def test_up_looks_to_the_yaw(yaw, size, size_px):
    """East and north, written into the image, are found where the turned axes say."""
    right, up = axes(size_px)
    expected = (
        right * np.sin(yaw) + up * np.cos(yaw), -right * np.cos(yaw) + up * np.sin(yaw))
    for position, wanted in zip(np.broadcast_arrays(*axes(size)), expected):
        found = turned(position.astype(np.float32), yaw, size_px)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=0.05)


@pytest.mark.parametrize('yaw', [-1.2, 0.0, 2.5])
def test_colours_are_turned_as_numbers_are(yaw):
    """Each channel on its own; the last digit may be rounded either way."""
    image = np.random.default_rng(1).integers(0, 256, (91, 91, 3)).astype(np.uint8)
    found = turned(image, yaw, 60)
    for channel in range(3):
        wanted = turned(image[..., channel].astype(np.float32), yaw, 60)
        assert np.abs(found[..., channel] - wanted).max() <= 1.0
    assert found.dtype == np.uint8


def axes(size_px):
    """Return how far right of and above an image's centre its pixels lie."""
    right = np.arange(size_px) + 0.5 - size_px / 2
    return right, -right[:, None]
