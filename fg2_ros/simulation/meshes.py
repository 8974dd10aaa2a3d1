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

"""Triangle meshes of the objects in the city."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fg2_ros.simulation.shapes import Building, corners, ParkingSlot, Post, Surface, Tree
import numpy as np
import trimesh


@dataclass(frozen=True)
class Beacon:
    """A glowing ball that both views must show where the maths says; colour RGB in [0, 1]."""

    position: tuple[float, float, float]
    radius_m: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles (T, 3, 3) in map metres, their surface (T,) and the thing they belong to (T,)."""

    triangles: np.ndarray
    surface: np.ndarray
    thing: np.ndarray

    @classmethod
    def join(cls, meshes: list[Mesh]) -> Mesh:
        """Return one mesh; things are numbered afresh, one for each of ``meshes``."""
        return cls(
            np.concatenate([np.zeros((0, 3, 3), np.float32)] + [m.triangles for m in meshes]),
            np.concatenate([np.zeros(0, np.uint8)] + [m.surface for m in meshes]),
            np.concatenate([np.zeros(0, np.int32)] + [
                np.full(len(m.triangles), i, np.int32) for i, m in enumerate(meshes)]))


def prism(base: np.ndarray, low_m: float, high_m: float, side: int, top: int) -> Mesh:
    """Return the walls and lid of a prism on a counter-clockwise polygon (K, 2)."""
    lower = np.column_stack([base, np.full(len(base), low_m)])
    upper = np.column_stack([base, np.full(len(base), high_m)])
    after = np.roll(np.arange(len(base)), -1)
    walls = [np.stack([lower, lower[after], upper[after]], axis=1),
             np.stack([lower, upper[after], upper], axis=1)]
    lid = [upper[[0, i, i + 1]][None] for i in range(1, len(base) - 1)]
    return _mesh(walls + lid, [side] * 2 * len(base) + [top] * len(lid))


def building(shape: Building, hipped: bool = False) -> Mesh:
    """Return a building with a flat roof, or a gabled or hipped one along its longer side."""
    base = corners(shape.centre, shape.size, shape.yaw_rad)
    body = prism(base, 0.0, shape.height_m, Surface.WALL, Surface.ROOF)
    if shape.roof_m <= 0:
        return body
    if shape.size[1] > shape.size[0]:
        base = np.roll(base, -1, axis=0)
    a, b, c, d = np.column_stack([base, np.full(4, shape.height_m)])
    ridge = np.array([0, 0, shape.roof_m])
    along = (b - a) / np.linalg.norm(b - a)
    inset = along * np.linalg.norm(d - a) / 2 if hipped else 0 * along
    e, f = (a + d) / 2 + ridge + inset, (b + c) / 2 + ridge - inset
    end = Surface.ROOF if hipped else Surface.WALL
    roof = _mesh([np.array([[a, b, f], [a, f, e], [c, d, e], [c, e, f], [d, a, e], [b, c, f]])],
                 [Surface.ROOF] * 4 + [end] * 2)
    return Mesh.join([body, roof])


def tree(shape: Tree, rng: np.random.Generator, leaves: float) -> Mesh:
    """Return a trunk and a lumpy crown; ``leaves`` is the share of the crown that is there."""
    ball = _unit_ball()
    lumps = ball.vertices * rng.uniform(0.75, 1.1, (len(ball.vertices), 1))
    half = np.array([shape.radius_m, shape.radius_m, 0.38 * shape.height_m])
    centre = np.array([*shape.position, shape.height_m - half[2]])
    crown = (centre + lumps * half)[ball.faces]
    crown = crown[rng.uniform(size=len(crown)) < leaves]
    thickness = 0.06 * shape.radius_m + 0.06
    base = corners(shape.position, (2 * thickness, 2 * thickness), 0.4)
    trunk = prism(base, 0.0, float(centre[2]), Surface.WOOD, Surface.WOOD)
    return Mesh.join([trunk, _mesh([crown], [Surface.CROWN] * len(crown))])


def car(slot: ParkingSlot, rng: np.random.Generator, moving: bool = False) -> Mesh:
    """Return a car or van on a slot; among ``moving`` ones there are buses too."""
    kinds = _VEHICLES if moving else _VEHICLES[:-1]
    length, width, height, cab = kinds[rng.integers(len(kinds))]
    size = (length * rng.uniform(.93, 1.07), width * rng.uniform(.95, 1.05))
    body_top = height * (0.56 if cab < 1 else 0.9)
    body = prism(corners(slot.centre, size, slot.yaw_rad), 0.2, body_top,
                 Surface.CAR, Surface.CAR)
    cabin = prism(corners(slot.centre, (size[0] * min(cab, .97), size[1] * .86), slot.yaw_rad),
                  body_top, height, Surface.GLASS, Surface.CAR)
    return Mesh.join([body, cabin])


_VEHICLES = [(4.2, 1.75, 1.45, .5), (4.7, 1.85, 1.65, .62), (5.6, 2.0, 2.3, 1.0),
             (10.5, 2.5, 3.1, 1.0)]  # length, width, height in metres, cabin's share of the length


def person(position: np.ndarray, rng: np.random.Generator) -> Mesh:
    """Return a standing person."""
    base = corners(position, (0.45, 0.3), rng.uniform(0, np.pi))
    return prism(base, 0.0, rng.uniform(1.5, 1.9), Surface.PERSON, Surface.PERSON)


def post(shape: Post) -> Mesh:
    """Return a lamp post or a sign's pole."""
    base = corners(shape.position, (2 * shape.radius_m, 2 * shape.radius_m), 0.2)
    return prism(base, 0.0, shape.height_m, Surface.WOOD, Surface.WOOD)


def beacon(shape: Beacon) -> Mesh:
    """Return a ball."""
    ball = _unit_ball()
    triangles = (shape.radius_m * ball.vertices + np.array(shape.position))[ball.faces]
    return _mesh([triangles], [Surface.BEACON] * len(triangles))


@lru_cache(maxsize=1)
def _unit_ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=2)


def _mesh(groups: list[np.ndarray], surface: Sequence[int]) -> Mesh:
    triangles = np.concatenate(groups).astype(np.float32).reshape(-1, 3, 3)
    return Mesh(triangles, np.array(surface, np.uint8), np.zeros(len(triangles), np.int32))
