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

"""The rotations of tf_transformations: (x, y, z, w), in the orders that ROS uses."""

from math import pi

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tf_transformations as tft

ANGLES = st.tuples(*[st.floats(-3.0, 3.0)] * 3)


def test_yaw_is_about_z_and_w_comes_last():
    half = np.sqrt(0.5)
    assert tft.quaternion_from_euler(0, 0, pi / 2) == pytest.approx((0, 0, half, half))
    assert tft.quaternion_about_axis(pi / 2, (0, 0, 1)) == pytest.approx((0, 0, half, half))
    assert tft.quaternion_matrix((0, 0, half, half))[:3, 0] == pytest.approx([0, 1, 0])


def test_fixed_axes_are_turned_about_in_the_order_roll_pitch_yaw():
    roll, pitch, yaw = (
        tft.rotation_matrix(angle, axis) for angle, axis in zip((0.1, 0.2, 0.3), np.identity(3)))
    expected = tft.concatenate_matrices(yaw, pitch, roll)
    assert tft.euler_matrix(0.1, 0.2, 0.3) == pytest.approx(expected)
    quaternion = tft.quaternion_from_euler(0.1, 0.2, 0.3)
    assert tft.quaternion_matrix(quaternion) == pytest.approx(expected)


@settings(deadline=None)
@given(ANGLES)
def test_angles_matrix_and_quaternion_agree(angles):
    matrix = tft.euler_matrix(*angles)
    quaternion = tft.quaternion_from_matrix(matrix)
    assert tft.euler_matrix(*tft.euler_from_quaternion(quaternion)) == pytest.approx(matrix)
    assert tft.euler_matrix(*tft.euler_from_matrix(matrix)) == pytest.approx(matrix)


@settings(deadline=None)
@given(ANGLES, ANGLES)
def test_products_and_inverses(first_angles, second_angles):
    first = tft.quaternion_from_euler(*first_angles)
    second = tft.quaternion_from_euler(*second_angles)
    product = tft.quaternion_matrix(tft.quaternion_multiply(first, second))
    assert product == pytest.approx(
        tft.quaternion_matrix(first) @ tft.quaternion_matrix(second), abs=1e-12)
    undone = tft.quaternion_multiply(first, tft.quaternion_inverse(first))
    assert undone == pytest.approx((0, 0, 0, 1), abs=1e-12)


@pytest.mark.parametrize('sign', [1, -1])
def test_slerp_takes_the_shorter_arc(sign):
    first = tft.quaternion_from_euler(0, 0, 0.1)
    second = sign * np.array(tft.quaternion_from_euler(0, 0, 0.5))
    assert tft.euler_from_quaternion(tft.quaternion_slerp(first, second, 0.25))[2] \
        == pytest.approx(0.2)
    assert tft.quaternion_slerp(first, second, 0.0) == pytest.approx(first)
    assert tft.quaternion_slerp(first, first, 0.5) == pytest.approx(first)


def test_translations_and_inverses_of_matrices():
    matrix = tft.concatenate_matrices(
        tft.translation_matrix((1, 2, 3)), tft.euler_matrix(0.1, 0.2, 0.3))
    assert tft.translation_from_matrix(matrix) == pytest.approx([1, 2, 3])
    assert tft.is_same_transform(tft.inverse_matrix(matrix) @ matrix, tft.identity_matrix())
    assert tft.vector_norm([3, 4]) == 5
    assert tft.unit_vector([3, 4]) == pytest.approx([0.6, 0.8])
