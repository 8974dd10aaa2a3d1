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

"""The grid that fits a belief, and the poses at which an image is compared with the imagery."""

from __future__ import annotations

from dataclasses import replace
import math

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.belief import Belief, Mode
from fg2_ros.tracker.initial_search import COARSE_RAD, grid_around, HEADING_REACH_RAD, WIDEST_CELLS
from fg2_ros.tracker.inputs import SearchPlan
import numpy as np

LEAST_REACH_CELLS, LEAST_REACH_RAD = 3, math.radians(6.0)
FINE_REACH_CELLS, FINE_RAD = 6, math.radians(1.5)
CONTEXT_RAD = math.radians(4.0)
FOCUS_MASS = 0.9  # a mode with less has rivals that are to be kept


def focused(belief: Belief, mode: Mode, cell_m: float) -> Belief:
    """Return a belief of one box on a grid that fits its mode."""
    if len(belief.boxes) > 1 or mode.mass < FOCUS_MASS:
        return belief
    sigma_m = math.sqrt(np.linalg.eigvalsh(mode.covariance[:2, :2])[-1])
    sigma_rad = math.sqrt(mode.covariance[2, 2])
    reach_m = min(max(4 * sigma_m + 1.0, LEAST_REACH_CELLS * cell_m), WIDEST_CELLS * cell_m)
    reach_rad = min(max(4 * sigma_rad, LEAST_REACH_RAD), HEADING_REACH_RAD)
    fine = reach_m < FINE_REACH_CELLS * cell_m
    return belief.resampled(grid_around(
        mode.mean, reach_m, reach_rad, cell_m / 2 if fine else cell_m,
        FINE_RAD if fine else COARSE_RAD))


def plan_of(belief: Belief, base_from_camera: Pose2, cell_m: float) -> SearchPlan:
    """Return the search for a belief: its own grids, and the surroundings if it has only one."""
    grids = [_of_camera(box.grid, base_from_camera) for box in belief.boxes]
    if len(grids) > 1:
        return SearchPlan(tuple(grids), f'{len(grids)} places and headings are looked at')
    surroundings = grid_around(
        belief.boxes[0].grid.middle, WIDEST_CELLS * cell_m, HEADING_REACH_RAD, cell_m, CONTEXT_RAD)
    return SearchPlan((*grids, _of_camera(surroundings, base_from_camera)))


def _of_camera(grid: PoseGrid, base_from_camera: Pose2) -> PoseGrid:
    """Return the poses of the camera at poses of base_link."""
    return replace(grid, middle=grid.middle.compose(base_from_camera))
