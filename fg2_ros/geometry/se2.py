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

"""
Planar poses and the bird's-eye-view (BEV) grid: the conventions of the whole package.

Three planar frames are used, always in metres:

* **map** (REP-105): x east, y north; yaw 0 looks east and grows counter-clockwise (REP-103).
* **aerial grid**: (row, column) from the centre of a north-up patch; row grows south, column
  grows east.
* **ground grid**: (row, column) from the camera; -row is where the centre column of the panorama
  looks, column grows to its right.

FG2 solves ``ground = R @ aerial + t`` with ``R = [[cos a, -sin a], [sin a, cos a]]``, where ``a``
is the compass bearing of the panorama's centre column (clockwise from the patch's up).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Pose2(NamedTuple):
    """A planar pose in a right-handed frame: metres, metres, radians counter-clockwise."""

    x: float
    y: float
    yaw: float

    @classmethod
    def at(cls, place_m: Sequence[float] | np.ndarray, yaw_rad: float) -> Pose2:
        """Return the pose with a yaw at a place (x, y)."""
        x_m, y_m = place_m
        return cls(float(x_m), float(y_m), yaw_rad)

    def compose(self, other: Pose2) -> Pose2:
        """Return ``self * other``: ``other``, given in this pose's frame, in the outer frame."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return Pose2(
            float(self.x + c * other.x - s * other.y),
            float(self.y + s * other.x + c * other.y),
            wrap_angle(self.yaw + other.yaw))

    def inverse(self) -> Pose2:
        """Return the pose whose composition with this one is the identity."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return Pose2(
            float(-c * self.x - s * self.y), float(s * self.x - c * self.y),
            wrap_angle(-self.yaw))


def wrap_angle(angle_rad):
    """Return an angle (float or array, radians) wrapped to [-pi, pi)."""
    wrapped = (np.asarray(angle_rad) + np.pi) % (2 * np.pi) - np.pi
    return float(wrapped) if wrapped.ndim == 0 else wrapped


def rotation2(angle_rad: float | np.ndarray) -> np.ndarray:
    """Return the (2, 2) matrix that rotates column vectors by an angle; (2, 2, N) for (N,)."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s], [s, c]])


def grid_axis_m(extent_m: float, cells: int) -> np.ndarray:
    """Return the (cells,) metric coordinates of a grid axis: -extent/2 ... +extent/2."""
    return np.linspace(-extent_m / 2, extent_m / 2, cells)


def map_from_grid(row_m, column_m):
    """Return (east, north) offsets in metres of north-up grid offsets (row, column) in metres."""
    return column_m, -np.asarray(row_m)


def grid_from_map(east_m, north_m):
    """Return (row, column) offsets in metres of map offsets (east, north) in metres."""
    return -np.asarray(north_m), east_m


def yaw_from_bearing(bearing_rad: float) -> float:
    """Return the map yaw (0 east, counter-clockwise) of a compass bearing (0 north, clockwise)."""
    return wrap_angle(np.pi / 2 - bearing_rad)


def bearing_from_yaw(yaw_rad: float) -> float:
    """Return the compass bearing (0 north, clockwise) of a map yaw; its own inverse."""
    return wrap_angle(np.pi / 2 - yaw_rad)


def map_pose_from_solution(rotation: np.ndarray, translation_m: np.ndarray) -> Pose2:
    """
    Return where a camera stands and looks, relative to the centre of the aerial patch.

    :param rotation: (2, 2), aerial grid to ground grid.
    :param translation_m: (2,) (row, column) in metres of the ground grid.
    :return: east and north of the camera from the patch centre in metres, and the map yaw of the
        panorama's centre column.
    """
    row_m, column_m = -rotation.T @ translation_m
    east_m, north_m = map_from_grid(row_m, column_m)
    bearing_rad = np.arctan2(rotation[1, 0], rotation[0, 0])
    return Pose2(float(east_m), float(north_m), yaw_from_bearing(bearing_rad))


def solution_from_map_pose(pose: Pose2) -> tuple[np.ndarray, np.ndarray]:
    """Return (rotation (2, 2), translation (2,)): the inverse of `map_pose_from_solution`."""
    rotation = rotation2(bearing_from_yaw(pose.yaw))
    row_m, column_m = grid_from_map(pose.x, pose.y)
    return rotation, -rotation @ np.array([row_m, column_m], dtype=float)
