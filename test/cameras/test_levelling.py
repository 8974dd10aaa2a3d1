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

"""A sphere of known colours, seen by a camera that is turned by known angles, becomes level."""

import math
from test.helpers.spheres import colour, largest_difference, picture, TURNS

from fg2_ros.cameras.lenses import Equirectangular
from fg2_ros.cameras.levelling import heading_of, Leveller, tilt_of
from fg2_ros.geometry.panorama import pixel_directions, rotation3
from hypothesis import given, settings, strategies
import numpy as np
import pytest

HEIGHT = 128
DIRECTIONS = pixel_directions(2 * HEIGHT, HEIGHT)
WHOLE = Equirectangular(2 * HEIGHT, HEIGHT)
ANGLES = strategies.floats(-180, 180)


def leveller(from_deg=1.0, height=HEIGHT):
    """Return a leveller."""
    return Leveller(height, math.radians(from_deg))


def require_level(level_from_camera, tolerance=4):
    """Check that a tilted camera's panorama becomes that of a level camera with its heading."""
    level = leveller().level(picture(DIRECTIONS, level_from_camera), WHOLE, level_from_camera)
    expected = picture(DIRECTIONS, rotation3(0, 0, level.yaw_rad))
    assert level.seen is None
    assert largest_difference(level.pixels, expected) <= tolerance


@pytest.mark.parametrize('turn', TURNS)
def test_any_mount_becomes_level(turn):
    require_level(rotation3(*np.radians(TURNS[turn])))


@settings(max_examples=25, deadline=None)
@given(roll=ANGLES, pitch=ANGLES, yaw=ANGLES)
def test_any_angles_become_level(roll, pitch, yaw):
    turn = rotation3(*np.radians([roll, pitch, yaw]))
    if tilt_of(turn) > math.radians(1.0):
        require_level(turn)


def test_heading_is_where_the_centre_column_looks():
    assert heading_of(rotation3(0, 0.3, 2.0)) == pytest.approx(2.0)
    assert heading_of(rotation3(math.pi, 0, -1.0)) == pytest.approx(-1.0)
    assert heading_of(rotation3(0, -math.pi / 2, 0)) == 0.0


def test_little_tilt_is_left_as_it_is():
    image = picture(DIRECTIONS, np.eye(3))
    turn = rotation3(0, math.radians(0.9), 0.5)
    level = leveller().level(image, WHOLE, turn)
    assert level.pixels is image and level.yaw_rad == pytest.approx(0.5)
    assert leveller(0.5).level(image, WHOLE, turn).pixels is not image
    assert leveller(180.0).level(image, WHOLE, rotation3(math.pi, 0, 0)).pixels is image


def test_a_cropped_panorama_becomes_whole_with_what_it_lacks_masked():
    lens = Equirectangular(256, 64, math.radians(-30), math.radians(60))
    rows = (np.pi / 3 - (np.arange(64) + 0.5) / 64 * np.pi / 2)[:, None]
    azimuth = -((np.arange(256) + 0.5) / 256 - 0.5)[None] * 2 * np.pi
    directions = np.stack(np.broadcast_arrays(
        np.cos(rows) * np.cos(azimuth), np.cos(rows) * np.sin(azimuth), np.sin(rows)), -1)
    level = leveller().level(colour(directions), lens, np.eye(3))
    assert level.seen.mean() == pytest.approx(0.5, abs=0.01)
    assert level.seen[64 - 42:64 + 21].all() and not level.seen[:21].any()
    assert largest_difference(level.pixels, colour(DIRECTIONS), level.seen) <= 4
    assert not level.pixels[~level.seen].any()


def test_masks_are_turned_with_the_picture():
    """What a camera that hangs upside down sees below, a level one sees above."""
    mask = np.ones((32, 64), bool)
    mask[24:] = False
    turn = rotation3(math.pi, 0, 0)
    level = leveller().level(picture(DIRECTIONS, turn), WHOLE, turn, mask)
    assert not level.seen[:31].any() and level.seen[33:].all()


def test_maps_are_computed_again_only_for_another_turn(monkeypatch):
    made = []
    from fg2_ros.cameras import levelling
    original = levelling.panorama_of
    monkeypatch.setattr(levelling, 'panorama_of', lambda *args: made.append(1) or original(*args))
    one, image = leveller(), picture(DIRECTIONS, np.eye(3))
    for degrees, count in ((5.0, 1), (5.2, 1), (6.0, 2), (6.0, 2), (5.0, 3)):
        one.level(image, WHOLE, rotation3(math.radians(degrees), 0, 0))
        assert len(made) == count


def test_large_images_do_not_flicker():
    """Fine stripes become grey, not coarse ones."""
    stripes = np.zeros((HEIGHT * 8, HEIGHT * 16, 3), np.uint8)
    stripes[:, ::2] = 255
    level = leveller().level(stripes, Equirectangular(HEIGHT * 16, HEIGHT * 8),
                             rotation3(0.2, 0.1, 0))
    assert np.abs(level.pixels.astype(int) - 127).max() <= 2
