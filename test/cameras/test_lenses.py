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

"""Where directions appear in images of lenses, in closed form."""

import math

import cv2
from fg2_ros.cameras.lenses import Equirectangular, Fisheye, optical_from_body, Pinhole
import numpy as np
import pytest

MATRIX = np.array([[500.0, 0, 320.0], [0, 510.0, 240.0], [0, 0, 1]])


def at(lens, *direction):
    """Return (column, row) of a direction, rounded, or None if it is not seen."""
    column, row, seen, _ = lens.project(np.array([[direction]], np.float32))
    return (round(float(column[0, 0]), 3), round(float(row[0, 0]), 3)) if seen[0, 0] else None


def test_whole_panorama():
    lens = Equirectangular(800, 400)
    assert lens.is_whole
    assert at(lens, 1, 0, 0) == (400, 200)
    assert at(lens, 0, 1, 0) == (200, 200)
    assert at(lens, 0, -1, 0) == (600, 200)
    assert at(lens, 1, 0, 1) == (400, 100)
    assert at(lens, 1e-9, 0, -1) == (400, 400)


def test_cropped_panorama():
    """From 30 degrees below the horizon to 60 above."""
    lens = Equirectangular(800, 200, -math.pi / 6, math.pi / 3)
    assert not lens.is_whole
    assert at(lens, 1, 0, 0) == (400, pytest.approx(200 * 2 / 3, abs=1e-3))
    assert at(lens, 1, 0, math.tan(math.radians(59.9)))[1] == pytest.approx(0.222, abs=1e-2)
    assert at(lens, 1, 0, math.tan(math.radians(60.1))) is None
    assert at(lens, 1, 0, -math.tan(math.radians(29.9))) is not None
    assert at(lens, 1, 0, -math.tan(math.radians(30.1))) is None


def test_pinhole_pixels_are_those_of_opencv_and_half_a_pixel():
    lens = Pinhole(640, 480, MATRIX)
    assert at(lens, 0, 0, 1) == (320.5, 240.5)
    assert at(lens, 0.1, -0.2, 1) == (370.5, 138.5)
    assert at(lens, 0.7, 0, 1) is None
    assert at(lens, 0, 0, -1) is None


def test_barrel_distortion_by_its_formula():
    lens = Pinhole(640, 480, MATRIX, (-0.3, 0.1, 0.0, 0.0, 0.0))
    radius = 0.4
    factor = 1 - 0.3 * radius ** 2 + 0.1 * radius ** 4
    column = 320.5 + 500 * radius * factor
    assert at(lens, radius, 0, 1) == (pytest.approx(column, abs=1e-2), 240.5)


def test_what_lies_beyond_the_fold_of_the_distortion_is_not_seen():
    """Beyond r = 0.91 r (1 - 0.4 r^2) falls: the same pixels again, which show something else."""
    lens = Pinhole(640, 480, MATRIX, (-0.4, 0.0, 0.0, 0.0))
    assert at(lens, 0.6, 0, 1) is not None
    assert at(lens, 1.5, 0, 1) is None


@pytest.mark.parametrize('distortion', [
    (0.1, -0.2, 0.001, -0.002, 0.05, 0.02, 0.01, -0.03),
    (0.1, -0.2, 0.001, -0.002, 0.05, 0.02, 0.01, -0.03, 0.001, 0.002, -0.001, 0.003)])
def test_rational_and_thin_prism_distortion_are_those_of_opencv(distortion):
    lens = Pinhole(640, 480, MATRIX, distortion)
    point = np.array([[0.21, -0.17, 1.0]])
    expected, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), MATRIX, np.array(distortion))
    np.testing.assert_allclose(at(lens, *point[0]), expected[0, 0] + 0.5, atol=1e-2)


def test_fisheye_is_that_of_opencv():
    lens = Fisheye(640, 480, MATRIX, (0.02, -0.01, 0.003, -0.001))
    point = np.array([[[0.5, 0.3, 1.0]]])
    expected, _ = cv2.fisheye.projectPoints(
        point, np.zeros(3), np.zeros(3), MATRIX, np.array(lens.distortion))
    np.testing.assert_allclose(at(lens, *point[0, 0]), expected[0, 0] + 0.5, atol=1e-2)


def test_fisheye_sees_behind_itself_as_far_as_it_is_said_to():
    matrix = np.array([[200.0, 0, 499.5], [0, 200.0, 499.5], [0, 0, 1]])
    lens = Fisheye(1000, 1000, matrix, widest_rad=math.radians(100))
    angle = math.radians(99)
    assert at(lens, math.sin(angle), 0, math.cos(angle)) == (
        pytest.approx(500 + 200 * angle, abs=1e-2), 500)
    angle = math.radians(101)
    assert at(lens, math.sin(angle), 0, math.cos(angle)) is None


def test_optical_axes():
    np.testing.assert_array_equal(optical_from_body() @ [1, 0, 0], [0, 0, 1])
    np.testing.assert_array_equal(optical_from_body() @ [0, 1, 0], [-1, 0, 0])
    np.testing.assert_array_equal(optical_from_body() @ [0, 0, 1], [0, -1, 0])
