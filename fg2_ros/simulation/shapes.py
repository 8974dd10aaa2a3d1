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

"""Shapes that a city is made of: ground, and objects on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike


class Ground(IntEnum):
    """What covers a cell of the ground."""

    GRASS = 0
    SOIL = 1
    ASPHALT = 2
    PAVEMENT = 3
    KERB = 4
    PAVING = 5
    CAR_PARK = 6
    PATH = 7
    DRIVEWAY = 8
    WATER = 9
    BED = 10
    MARKING = 11


OPEN_GROUND = [int(kind) for kind in Ground
               if kind not in (Ground.ASPHALT, Ground.PAVEMENT, Ground.KERB)]


class Surface(IntEnum):
    """What a triangle is made of."""

    WALL = 0
    ROOF = 1
    CROWN = 2
    WOOD = 3
    CAR = 4
    GLASS = 5
    PERSON = 6
    BEACON = 7


@dataclass(frozen=True)
class Road:
    """A street between two corners of the grid: centre line (K, 2) and widths in metres."""

    polyline: np.ndarray
    width_m: float
    pavement_m: float
    start: tuple[int, int]
    end: tuple[int, int]


@dataclass(frozen=True)
class Building:
    """A prism on a rectangle: centre, (along, across) size, yaw, eaves and ridge heights."""

    centre: tuple[float, float]
    size: tuple[float, float]
    yaw_rad: float
    height_m: float
    roof_m: float  # ridge above the eaves; 0 is a flat roof


@dataclass(frozen=True)
class Tree:
    """A trunk with an ellipsoid crown."""

    position: tuple[float, float]
    height_m: float
    radius_m: float


@dataclass(frozen=True)
class ParkingSlot:
    """Where a car may stand: centre and heading."""

    centre: tuple[float, float]
    yaw_rad: float


@dataclass(frozen=True)
class Post:
    """A thin vertical object: lamp, sign, bollard or pillar."""

    position: tuple[float, float]
    height_m: float
    radius_m: float


def corners(centre: ArrayLike, size: ArrayLike, yaw_rad: float) -> np.ndarray:
    """Return the (4, 2) corners, counter-clockwise, of a turned rectangle."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.asarray(size) / 2
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.asarray(centre) + half @ np.array([[c, s], [-s, c]])
