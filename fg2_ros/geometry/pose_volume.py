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

"""A function of planar poses, sampled on a regular grid of places and headings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import SupportsIndex

from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np


@dataclass(frozen=True)
class PoseGrid:
    """
    A regular grid of poses around a middle one, in the axes of the map.

    :param middle: pose of the middle sample.
    :param step_m: between neighbouring places.
    :param step_rad: between neighbouring headings.
    :param shape: odd numbers of (headings, norths, easts).
    """

    middle: Pose2
    step_m: float
    step_rad: float
    shape: tuple[int, int, int]

    @property
    def reach_m(self) -> tuple[float, float]:
        """Return how far the places reach (east, north) on either side of the middle."""
        return (self.shape[2] // 2 * self.step_m, self.shape[1] // 2 * self.step_m)

    @property
    def reach_rad(self) -> float:
        """Return how far the headings reach on either side of the middle."""
        return self.shape[0] // 2 * self.step_rad

    @property
    def turns_rad(self) -> np.ndarray:
        """Return the (headings,) differences from the middle heading, ascending."""
        return self._offsets(0) * self.step_rad

    @property
    def norths_m(self) -> np.ndarray:
        """Return the (norths,) ascending norths in the map."""
        return self.middle.y + self._offsets(1) * self.step_m

    @property
    def easts_m(self) -> np.ndarray:
        """Return the (easts,) ascending easts in the map."""
        return self.middle.x + self._offsets(2) * self.step_m

    @property
    def cell_volume(self) -> float:
        """Return how much m^2 rad a sample stands for."""
        return self.step_m ** 2 * self.step_rad

    def pose(self, index: tuple[SupportsIndex, ...]) -> Pose2:
        """Return the pose of a (heading, north, east) index."""
        return Pose2(
            float(self.easts_m[index[2]]), float(self.norths_m[index[1]]),
            wrap_angle(self.middle.yaw + self.turns_rad[index[0]]))

    def index_of(self, east_m, north_m, yaw_rad) -> np.ndarray:
        """Return the (3, ...) continuous (heading, north, east) indices of poses."""
        return np.stack(np.broadcast_arrays(
            wrap_angle(np.subtract(yaw_rad, self.middle.yaw)) / self.step_rad
            + self.shape[0] // 2,
            np.subtract(north_m, self.middle.y) / self.step_m + self.shape[1] // 2,
            np.subtract(east_m, self.middle.x) / self.step_m + self.shape[2] // 2))

    def contains(self, pose: Pose2) -> bool:
        """Return whether a pose lies within the outermost samples."""
        index = self.index_of(*pose)
        return bool((index >= 0).all() and (index <= np.array(self.shape) - 1).all())

    def _offsets(self, axis: int) -> np.ndarray:
        return np.arange(self.shape[axis]) - self.shape[axis] // 2


@dataclass(frozen=True)
class PoseVolume:
    """
    Values, such as log-likelihoods, at the poses of a grid.

    :param values: (headings, norths, easts) float32.
    """

    grid: PoseGrid
    values: np.ndarray

    def moved(self, to: Pose2) -> PoseVolume:
        """Return the same values around another middle."""
        return replace(self, grid=replace(self.grid, middle=to))

    def peak(self) -> tuple[Pose2, float]:
        """Return the pose of the largest value, and the value."""
        index = np.unravel_index(int(np.argmax(self.values)), self.values.shape)
        return self.grid.pose(index), float(self.values[index])
