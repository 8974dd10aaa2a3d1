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

"""Panorama pixels against directions, and rolling a panorama to face north."""

from fg2_ros.geometry.panorama import (
    direction_from_pixel, north_aligned, pixel_directions, pixel_from_direction, rotation3)
from hypothesis import given, strategies as st
import numpy as np
import pytest

WIDTH, HEIGHT = 640, 320
angles = st.floats(-10, 10)


@pytest.mark.parametrize('direction, column, row', [
    ((1, 0, 0), 320, 160), ((0, -1, 0), 480, 160), ((0, 1, 0), 160, 160),
    ((1, 0, 1), 320, 80), ((1, 0, -1), 320, 240), ((1, -1, 0), 400, 160)])
def test_forward_is_the_centre_and_right_is_to_its_right(direction, column, row):
    actual = pixel_from_direction(np.array(direction), WIDTH, HEIGHT)
    np.testing.assert_allclose(actual, (column, row), atol=1e-9)


def test_zenith_is_the_top_and_nadir_the_bottom():
    _, rows = pixel_from_direction(np.array([[0, 0, 1], [0, 0, -1]]), WIDTH, HEIGHT)
    np.testing.assert_allclose(rows, [0, HEIGHT])


@given(st.floats(0, WIDTH - 1e-6), st.floats(0.01, HEIGHT - 0.01))
def test_pixel_to_direction_and_back(column, row):
    direction = direction_from_pixel(column, row, WIDTH, HEIGHT)
    assert np.linalg.norm(direction) == pytest.approx(1)
    again = pixel_from_direction(direction, WIDTH, HEIGHT)
    assert abs((again[0] - column + WIDTH / 2) % WIDTH - WIDTH / 2) < 1e-6
    assert again[1] == pytest.approx(row, abs=1e-6)


def test_pixel_directions_are_those_of_the_centres():
    directions = pixel_directions(WIDTH, HEIGHT)
    column, row = pixel_from_direction(directions, WIDTH, HEIGHT)
    np.testing.assert_allclose(column, np.tile(np.arange(WIDTH) + 0.5, (HEIGHT, 1)), atol=1e-9)
    np.testing.assert_allclose(row[:, 0], np.arange(HEIGHT) + 0.5, atol=1e-9)


@given(angles, angles, angles)
def test_rotations_are_proper(roll, pitch, yaw):
    rotation = rotation3(roll, pitch, yaw)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_rotation_signs_are_those_of_rep_103():
    quarter = np.pi / 2
    forward, left, up = np.eye(3)
    np.testing.assert_allclose(rotation3(0, 0, quarter) @ forward, left, atol=1e-12)
    np.testing.assert_allclose(rotation3(0, quarter, 0) @ forward, -up, atol=1e-12)  # nose down
    np.testing.assert_allclose(rotation3(quarter, 0, 0) @ left, up, atol=1e-12)  # right side down


@given(angles, angles, angles)
def test_rotation_is_yaw_after_pitch_after_roll(roll, pitch, yaw):
    composed = rotation3(0, 0, yaw) @ rotation3(0, pitch, 0) @ rotation3(roll, 0, 0)
    np.testing.assert_allclose(rotation3(roll, pitch, yaw), composed, atol=1e-12)


@given(angles, st.integers(0, WIDTH - 1))
def test_a_landmark_appears_at_its_bearing_once_the_panorama_faces_north(yaw, landmark):
    panorama = np.zeros((2, WIDTH), np.uint8)
    panorama[:, landmark] = 255
    rolled, yaw_undone = north_aligned(panorama, yaw)
    # Where the landmark is on the compass, if the panorama's yaw is what the roll stands for:
    bearing = np.pi / 2 - yaw_undone + (landmark + 0.5 - WIDTH / 2) / WIDTH * 2 * np.pi
    expected = (WIDTH / 2 + bearing / (2 * np.pi) * WIDTH - 0.5) % WIDTH
    column = int(np.argmax(rolled[0]))
    assert abs((column - expected + WIDTH / 2) % WIDTH - WIDTH / 2) < 1e-6
    assert abs(yaw_undone - yaw) <= np.pi / WIDTH + 1e-9


def test_a_panorama_that_faces_north_stays_as_it_is():
    panorama = np.random.default_rng(0).integers(0, 255, (4, WIDTH, 3), np.uint8)
    rolled, yaw_undone = north_aligned(panorama, np.pi / 2)
    np.testing.assert_array_equal(rolled, panorama)
    assert yaw_undone == pytest.approx(np.pi / 2)


def test_a_panorama_that_faces_east_has_north_a_quarter_to_the_left():
    panorama = np.arange(8)[None]  # columns; the centre is between 3 and 4
    rolled, _ = north_aligned(panorama, 0.0)
    np.testing.assert_array_equal(rolled[0], [6, 7, 0, 1, 2, 3, 4, 5])
