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

"""Planar poses, yaw against bearing, and what FG2's solution means on the map."""

from fg2_ros.geometry.se2 import (
    bearing_from_yaw, grid_axis_m, grid_from_map, map_from_grid, map_pose_from_solution, Pose2,
    rotation2, solution_from_map_pose, wrap_angle, yaw_from_bearing)
from hypothesis import given, strategies as st
import numpy as np
import pytest

metres = st.floats(-1e4, 1e4)
angles = st.floats(-20.0, 20.0)
poses = st.builds(Pose2, metres, metres, angles)


def angle_between(first: float, second: float) -> float:
    return abs((first - second + np.pi) % (2 * np.pi) - np.pi)


@pytest.mark.parametrize('heading, bearing_deg, yaw_deg', [
    ('north', 0, 90), ('east', 90, 0), ('south', 180, -90), ('west', 270, 180),
    ('north-west', 315, 135)])
def test_yaw_of_compass_directions(heading, bearing_deg, yaw_deg):
    yaw = yaw_from_bearing(np.radians(bearing_deg))
    assert angle_between(yaw, np.radians(yaw_deg)) < 1e-12, heading


@given(angles)
def test_bearing_and_yaw_are_each_other_s_inverse(angle):
    assert angle_between(bearing_from_yaw(yaw_from_bearing(angle)), angle) < 1e-9


@given(angles)
def test_wrapped_angles_are_the_same_direction_within_half_a_turn(angle):
    wrapped = wrap_angle(angle)
    assert -np.pi <= wrapped < np.pi
    assert angle_between(wrapped, angle) < 1e-9


def test_wrapping_an_array_keeps_its_shape():
    angle = np.array([[0.0, np.pi], [3 * np.pi, -7.0]])
    np.testing.assert_allclose(wrap_angle(angle), [[0, -np.pi], [-np.pi, 2 * np.pi - 7]])


@given(poses)
def test_inverse_undoes_a_pose(pose):
    nothing = pose.compose(pose.inverse())
    np.testing.assert_allclose(nothing[:2], 0, atol=1e-8)
    assert angle_between(nothing.yaw, 0) < 1e-9


@given(poses, poses, poses)
def test_composition_is_associative(a, b, c):
    left, right = a.compose(b).compose(c), a.compose(b.compose(c))
    np.testing.assert_allclose(left[:2], right[:2], atol=1e-7)
    assert angle_between(left.yaw, right.yaw) < 1e-9


def test_composition_places_the_child_in_the_parents_axes():
    vehicle = Pose2(10, 20, np.pi / 2)  # facing north
    camera = vehicle.compose(Pose2(2, 1, 0))  # two metres ahead, one to the left
    np.testing.assert_allclose(camera, (9, 22, np.pi / 2))


@given(metres, metres)
def test_grid_and_map_offsets_are_inverse(east, north):
    assert map_from_grid(*grid_from_map(east, north)) == (east, north)


def test_grid_rows_grow_south_and_columns_east():
    assert map_from_grid(row_m=3.0, column_m=5.0) == (5.0, -3.0)


def test_grid_axis_spans_the_extent():
    np.testing.assert_allclose(grid_axis_m(56.0, 41), (np.arange(41) - 20) * 1.4)


@given(metres, metres, angles, metres, metres)
def test_solution_is_where_the_ground_geometry_puts_every_point(
        camera_east, camera_north, bearing, point_east, point_north):
    """Check ``ground = R @ aerial + t`` against forward and right distances."""
    rotation, translation = solution_from_map_pose(
        Pose2(camera_east, camera_north, np.pi / 2 - bearing))
    ground = rotation @ np.array([-point_north, point_east]) + translation
    east, north = point_east - camera_east, point_north - camera_north
    forward = east * np.sin(bearing) + north * np.cos(bearing)
    right = east * np.cos(bearing) - north * np.sin(bearing)
    np.testing.assert_allclose(ground, (-forward, right), atol=1e-7)


def test_map_pose_of_a_known_solution():
    """Look east from 3 m east and 4 m north of the patch's centre."""
    # The centre is then 3 m behind the camera (row +3) and 4 m to its right (column +4).
    pose = map_pose_from_solution(rotation2(np.pi / 2), np.array([3.0, 4.0]))
    np.testing.assert_allclose(pose, (3, 4, 0), atol=1e-12)


@given(poses)
def test_solution_and_map_pose_are_inverse(pose):
    again = map_pose_from_solution(*solution_from_map_pose(pose))
    np.testing.assert_allclose(again[:2], pose[:2], atol=1e-8)
    assert angle_between(again.yaw, pose.yaw) < 1e-9
