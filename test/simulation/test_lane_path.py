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

"""Check the vehicle's path against geometry done by hand."""

from fg2_ros.simulation.lane_path import advance, lane_path
import numpy as np
import pytest


def test_a_quarter_circle_ends_where_the_formula_says():
    x, y, yaw = advance(1.0, 2.0, 0.0, 5 * np.pi / 2, np.pi / 2)

    assert (x, y, yaw) == pytest.approx((6.0, 7.0, np.pi / 2))


def test_a_straight_lane_lies_to_the_right():
    path = lane_path(np.array([[0, 0], [0, 100]]), offset_right_m=1.75, radius_m=7)

    east, north, yaw, curvature = path.sample([0, 40, 100])
    assert path.length_m == pytest.approx(100)
    assert east == pytest.approx([1.75] * 3)  # driving north, right is east
    assert north == pytest.approx([0, 40, 100])
    assert yaw == pytest.approx([np.pi / 2] * 3)
    assert curvature == pytest.approx([0] * 3)


@pytest.mark.parametrize('side', [-1, 1])
def test_a_right_angle_is_rounded_by_an_arc_of_the_radius(side):
    path = lane_path(np.array([[0, 0], [50, 0], [50, side * 50]]), 0, 7)

    east, north, yaw, curvature = path.sample(np.array([43, 43 + 3.5 * np.pi / 2]))
    assert path.length_m == pytest.approx(86 + 3.5 * np.pi)
    assert curvature == pytest.approx([side / 7, side / 7])
    middle = (50 - 7 + 7 * np.sin(np.pi / 4), side * (7 - 7 * np.cos(np.pi / 4)))
    assert (east[1], north[1]) == pytest.approx(middle)
    assert yaw == pytest.approx([0, side * np.pi / 4])


def test_a_winding_lane_keeps_its_distance_and_has_no_kinks():
    bearings = np.cumsum([0, 30, -70, 90, 20, -100, 5])
    steps = 30 * np.stack([np.cos(np.radians(bearings)), np.sin(np.radians(bearings))], 1)
    line = np.concatenate([[[0, 0]], np.cumsum(steps, axis=0)])
    path = lane_path(line, 1.75, 6)

    distance = np.arange(0, path.length_m, 0.01)
    east, north, yaw, curvature = path.sample(distance)
    steps_m = np.hypot(np.diff(east), np.diff(north))
    assert np.all(np.abs(steps_m - 0.01) < 1e-6)
    assert np.all(np.abs(np.diff(yaw)) <= 0.01 * np.abs(curvature).max() + 1e-9)
    middle = np.argmin(np.abs(distance - 15))
    assert north[middle] == pytest.approx(-1.75)


def test_tight_corners_shrink_the_radius_but_stay_connected():
    zigzag = np.array([[0, 0], [5, 0], [5, 5], [10, 5], [10, 10]])
    path = lane_path(zigzag, 0, 20)

    east, north, _, curvature = path.sample([path.length_m])
    assert (east[0], north[0]) == pytest.approx((10, 10))
    assert np.max(1 / np.abs(path.curvature[path.curvature != 0])) <= 5


def test_vertices_on_top_of_each_other_are_one():
    line = np.array([[0, 0], [0, 0], [10, 0], [10.01, 0.1], [20, 0]])
    path = lane_path(line, 0, 7)

    assert path.length_m == pytest.approx(20, abs=1e-6)


def test_a_line_without_length_is_refused():
    with pytest.raises(ValueError, match='longer'):
        lane_path(np.zeros((3, 2)), 1, 7)


def test_a_dead_end_is_left_on_the_other_lane():
    path = lane_path(np.array([[0, 0], [50, 0], [0, 0]]), 1.75, 7)

    east, north, yaw, _ = path.sample([0, path.length_m / 2, path.length_m])
    assert north == pytest.approx([-1.75, 0, 1.75], abs=1e-6)
    assert east == pytest.approx([0, 50, 0], abs=1e-6)
    assert yaw == pytest.approx([0, np.pi / 2, np.pi])


def test_turning_back_without_a_second_lane_is_refused():
    with pytest.raises(ValueError, match='second lane'):
        lane_path(np.array([[0, 0], [50, 0], [0, 0]]), 0, 7)


def test_a_corner_of_a_finely_drawn_road_keeps_its_radius():
    along = np.arange(0, 60, 2.0)
    line = np.concatenate([
        np.stack([along, 0.4 * np.sin(along / 20)], 1), [[60, 0]],
        np.stack([np.full(len(along), 60), along + 2], 1)])
    path = lane_path(line, 0, 7)

    assert 1 / np.abs(path.curvature).max() > 6.9
