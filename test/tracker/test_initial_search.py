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

"""Where searches begin: boxes that leave no gap, none so wide that its patch lacks the view."""

import math

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.initial_search import SearchArea, start_grids, TILE_CELLS
from fg2_ros.tracker.inputs import Fix, Odometry
from fg2_ros.tracker.motion import OdometryChain
from fg2_ros.tracker.sensor_history import SensorHistory
from fg2_ros.tracker.settings import MotionSettings, PriorSettings
import numpy as np
import pytest

CELL_M = 1.1


def grids_over(reach_m, yaw_rad=0.0):
    """Return the boxes of a search around the origin."""
    place = SearchArea(lambda yaw_rad: np.zeros(2), reach_m, yaw_rad)
    return start_grids(place, other_headings=False, cell_m=CELL_M)


@pytest.mark.parametrize('reach_m', [5.0, 11.0, 13.0, 20.0, 33.0, 77.0, 152.0])
def test_no_place_lies_between_the_boxes(reach_m):
    """Wherever the vehicle is within reach, a box has it, and its neighbours have no more."""
    grids = grids_over(reach_m)
    for place_m in np.random.default_rng(0).uniform(-reach_m, reach_m, (200, 2)):
        holding = [grid for grid in grids if grid.contains(Pose2.at(place_m, 0.0))]
        assert len(holding) == 1


@pytest.mark.parametrize('reach_m', [11.0, 77.0, 152.0])
def test_boxes_are_small_enough_for_a_patch(reach_m):
    """A vehicle at the edge of a box still sees most of what is around it in the patch."""
    grids = grids_over(reach_m)
    widest_m = TILE_CELLS * CELL_M
    assert max(max(grid.reach_m) for grid in grids) <= widest_m + 1e-6
    assert len(grids) <= math.ceil(reach_m / widest_m) ** 2


def test_without_a_heading_all_are_covered():
    """Boxes stand at eighteen headings, and none is beyond the reach of two."""
    grids = grids_over(5.0, yaw_rad=None)
    for yaw_rad in np.linspace(-math.pi, math.pi, 200):
        assert any(grid.contains(Pose2(0.0, 0.0, yaw_rad)) for grid in grids)


@pytest.mark.parametrize('yaw_off_rad', [None, 0.0, math.pi])
def test_a_wrong_or_missing_heading_makes_the_search_no_wider(yaw_off_rad):
    """Fixes of a vehicle that drives are brought together by odometry under the best heading."""
    odometry = OdometryChain(MotionSettings())
    history = SensorHistory(PriorSettings(), odometry)
    for tick in range(41):
        stamp_ns, gone_m = tick * 10 ** 8, 0.8 * tick
        odometry.add(stamp_ns, Odometry(Pose2(gone_m, 0.0, 0.0), Pose2(8.0, 0.0, 0.0)))
        history.add_fix(stamp_ns, Fix(np.array([0.0, gone_m]), 3.0))  # to the north
    if yaw_off_rad is not None:
        history.add_heading(stamp_ns, math.pi / 2 + yaw_off_rad, 0.05)
    area = history.start(stamp_ns)
    assert area.reach_m == pytest.approx(3 * 3.0 + 2.0)
    assert area.position_m(math.pi / 2) == pytest.approx([0.0, gone_m], abs=1e-6)
