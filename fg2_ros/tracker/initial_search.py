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

"""Where a search begins: the grids of poses that GNSS and a heading leave possible."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Callable, Sequence

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np

WIDEST_CELLS = 15  # of a box each way: what one aerial patch can tell apart
TILE_CELLS = 11  # at most, of boxes side by side: near its edge a patch lacks what is around there
COARSE_RAD = math.radians(2.0)
HEADING_REACH_RAD = math.radians(16.0)
HEADINGS = 18  # of a search without a heading
HEADING_STEP_RAD = 2 * math.pi / HEADINGS


@dataclass(frozen=True)
class SearchArea:
    """
    Where a search begins.

    :param position_m: returns (east, north) of base_link if it has a yaw; where the antenna is
        from base_link, and where it went since the last fix, depends on that.
    :param reach_m: how far around it the vehicle may be.
    :param yaw_rad: of base_link; None if it is not known.
    """

    position_m: Callable[[float], np.ndarray]
    reach_m: float
    yaw_rad: float | None


def start_grids(place: SearchArea, other_headings: bool, cell_m: float) -> list[PoseGrid]:
    """
    Return grids that cover a search area.

    :param other_headings: also look at the headings 90, 180 and 270 degrees from the given one.
    :param cell_m: between neighbouring places.
    """
    tiles = math.ceil(place.reach_m / (TILE_CELLS * cell_m) - 1e-6)
    reach_m = math.ceil(place.reach_m / tiles / cell_m - 1e-6) * cell_m
    # Neighbouring boxes share a border, so that no place lies between them.
    steps = (np.arange(tiles) - (tiles - 1) / 2) * 2 * reach_m
    grids = []
    for yaw_rad, reach_rad in _headings(place, other_headings):
        middle_m = place.position_m(yaw_rad)
        grids += [
            grid_around(Pose2.at(middle_m + (east, north), yaw_rad), reach_m, reach_rad, cell_m,
                        COARSE_RAD)
            for north in steps for east in steps]
    return grids


def grids_around(base: Pose2, covariance: np.ndarray, cell_m: float) -> list[PoseGrid]:
    """
    Return grids that cover a pose that is known from elsewhere.

    :param covariance: (3, 3) of (east m, north m, yaw rad); three sigmas of the position are
        covered, and two of the yaw.
    """
    reach_m = 3 * math.sqrt(max(np.linalg.eigvalsh(covariance[:2, :2])[-1], 1.0))
    beside_rad = 2 * HEADING_REACH_RAD + COARSE_RAD  # neighbouring boxes share no heading
    beyond_rad = 2 * math.sqrt(max(covariance[2, 2], 0.0)) - HEADING_REACH_RAD
    extra = min(max(math.ceil(beyond_rad / beside_rad), 0), 5)
    turns = np.arange(-extra, extra + 1) * beside_rad
    return [each for turn in turns for each in start_grids(
        SearchArea(lambda yaw_rad: np.array(base[:2]), reach_m, wrap_angle(base.yaw + turn)),
        other_headings=False, cell_m=cell_m)]


def grid_around(middle: Pose2, reach_m: float, reach_rad: float, step_m: float,
                step_rad: float) -> PoseGrid:
    """Return a grid around a pose that reaches at least this far."""
    places, headings = math.ceil(reach_m / step_m - 1e-6), math.ceil(reach_rad / step_rad - 1e-6)
    return PoseGrid(
        middle, step_m, step_rad, (2 * headings + 1, 2 * places + 1, 2 * places + 1))


def _headings(place: SearchArea, others: bool) -> Sequence[tuple[float, float]]:
    """Return (yaw, reach) of the headings to search."""
    if place.yaw_rad is None:
        # Neighbouring boxes share no heading.
        return [(wrap_angle(index * HEADING_STEP_RAD), HEADING_STEP_RAD / 2 - COARSE_RAD / 2)
                for index in range(HEADINGS)]
    turns = (0.0, math.pi / 2, math.pi, -math.pi / 2) if others else (0.0,)
    return [(wrap_angle(place.yaw_rad + turn), HEADING_REACH_RAD) for turn in turns]
