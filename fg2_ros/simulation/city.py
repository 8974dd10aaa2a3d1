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
A procedural city: its plan, independent of its appearance.

A warped street grid carries pavements, markings and crossings; its blocks are filled with houses
and gardens, perimeter buildings, car parks, parks or squares. Everything follows from the seed;
how it looks on a given day is the business of `appearance`.
"""

from __future__ import annotations

from fg2_ros.simulation.rasters import (
    cell_at, draw_line, draw_polygon, HALF_SIZE_M, moved_left, rectangle_path, resampled, smoothed,
    window_around)
from fg2_ros.simulation.shapes import (
    Building, corners, Ground, OPEN_GROUND, ParkingSlot, Post, Road, Tree)
import numpy as np

GROUND_RESOLUTION_M = 0.125
GROUND_CELLS = int(2 * HALF_SIZE_M / GROUND_RESOLUTION_M)
EDGE_MARGIN_M = 50.0  # nobody drives closer to the end of the world


class City:
    """
    The layout of a city of 384 m x 384 m around the map's origin.

    :param seed: any integer from 0; equal seeds give equal cities.
    """

    def __init__(self, seed: int):
        self.seed = int(seed)
        self._rng = np.random.default_rng([20_261, self.seed])
        self.ground = np.full((GROUND_CELLS, GROUND_CELLS), Ground.GRASS, np.uint8)
        self.markings = np.zeros((GROUND_CELLS, GROUND_CELLS), np.uint16)  # 0 none, else its id
        self._taken = np.zeros((GROUND_CELLS // 4, GROUND_CELLS // 4), np.uint8)
        self.buildings: list[Building] = []
        self.trees: list[Tree] = []
        self.posts: list[Post] = []
        self.slots: list[ParkingSlot] = []
        self._lay_grid()
        self.roads = self._streets()
        self._pave_streets()
        for column in range(len(self._u) - 1):
            for row in range(len(self._v) - 1):
                self._fill_block(column, row)
        self._furnish_streets()

    # -- the street grid -----------------------------------------------------------------------

    def _lay_grid(self) -> None:
        rng = self._rng
        self._angle = rng.uniform(0, np.pi / 2)
        self._waves = [
            (rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(110, 260),
             rng.uniform(1.0, 5.0)) for _ in range(4)]
        self._u, self._v = self._grid_lines(), self._grid_lines()

    def _grid_lines(self) -> np.ndarray:
        reach = 1.5 * HALF_SIZE_M
        gaps = self._rng.uniform(46, 92, 20)
        lines = -reach - self._rng.uniform(0, 60) + np.cumsum(gaps)
        return lines[:np.searchsorted(lines, reach) + 1]

    def _warp(self, uv: np.ndarray) -> np.ndarray:
        """Return the (..., 2) map position of straight-grid coordinates."""
        c, s = np.cos(self._angle), np.sin(self._angle)
        xy = np.asarray(uv, float) @ np.array([[c, s], [-s, c]])
        shift = np.zeros_like(xy)
        for direction, phase, length, amplitude in self._waves:
            along = xy @ np.array([np.cos(direction), np.sin(direction)])
            push = amplitude * np.sin(2 * np.pi * along / length + phase)
            shift += push[..., None] * np.array([-np.sin(direction), np.cos(direction)])
        return xy + shift

    def _streets(self) -> list[Road]:
        rng, roads = self._rng, []
        for axis, lines, others in ((0, self._u, self._v), (1, self._v, self._u)):
            for i, line in enumerate(lines):
                width = rng.choice([6.0, 7.0, 8.5, 11.0], p=[.25, .35, .25, .15])
                pavement = rng.uniform(1.6, 3.8)
                for k in range(len(others) - 1):
                    if rng.uniform() < 0.12:
                        continue
                    across = np.linspace(others[k], others[k + 1], 17)
                    uv = np.stack([np.full(17, line), across], axis=-1)
                    ends = ((i, k), (i, k + 1))
                    if axis == 1:
                        uv, ends = uv[:, ::-1], ((k, i), (k + 1, i))
                    roads.append(Road(self._warp(uv), float(width), float(pavement), *ends))
        return roads

    def route(self, rng: np.random.Generator, length_m: float) -> np.ndarray:
        """
        Return the (K, 2) centre-line polyline of a drive, corners included.

        The drive stays `EDGE_MARGIN_M` away from the city's edge, turns back only at dead ends,
        and is at least ``length_m`` long.
        """
        legs = self.legs_inside()
        node = list(legs)[rng.integers(len(legs))]
        points, length, previous = [np.array(legs[node][0][1][0])], 0.0, None
        while length < length_m:
            onward = [leg for leg in legs[node] if leg[0] != previous] or legs[node]
            following, polyline = onward[rng.integers(len(onward))]
            points.extend(polyline[1:])
            length += np.linalg.norm(np.diff(polyline, axis=0), axis=1).sum()
            node, previous = following, node
        return np.array(points)

    def legs_inside(self) -> dict:
        """Return {corner: [(next corner, polyline)]} of the streets inside the margin."""
        legs: dict = {}
        for road in self.roads:
            if np.abs(road.polyline).max() < HALF_SIZE_M - EDGE_MARGIN_M:
                legs.setdefault(road.start, []).append((road.end, road.polyline))
                legs.setdefault(road.end, []).append((road.start, road.polyline[::-1]))
        return legs

    # -- painting the ground -------------------------------------------------------------------

    def _paint_polygon(self, points: np.ndarray, value: int) -> None:
        draw_polygon(self.ground, points, value)

    def _paint_line(self, points, width_m: float, value: int) -> None:
        draw_line(self.ground, points, width_m, value)

    def _paint_where(self, draw, points, allowed, value: int) -> None:
        """Paint what ``draw(raster, points)`` covers, but only over the ``allowed`` types."""
        rows, columns = window_around(points, GROUND_RESOLUTION_M, len(self.ground))
        window = self.ground[rows, columns]
        if not window.size:  # beyond the end of the world
            return
        mask = np.zeros_like(window)
        draw(mask, points, (rows.start, columns.start))
        window[(mask > 0) & np.isin(window, allowed)] = value

    def _take_if_free(self, polygon: np.ndarray) -> bool:
        """Mark a polygon as built on; return False, changing nothing, where something stands."""
        if np.abs(polygon).max() >= HALF_SIZE_M:
            return False
        cells = len(self._taken)
        rows, columns = window_around(polygon, HALF_SIZE_M * 2 / cells, cells)
        window = self._taken[rows, columns]
        mask = np.zeros_like(window)
        draw_polygon(mask, polygon, 1, (rows.start, columns.start), cells)
        if (window & mask).any():
            return False
        window |= mask
        return True

    def _pave_streets(self) -> None:
        for road in self.roads:
            self._paint_line(road.polyline, road.width_m + 2 * road.pavement_m, Ground.PAVEMENT)
            draw_line(self._taken, road.polyline, road.width_m + 2 * road.pavement_m + 1.0, 1)
        for road in self.roads:
            self._paint_line(road.polyline, road.width_m + 0.5, Ground.KERB)
        for road in self.roads:
            self._paint_line(road.polyline, road.width_m, Ground.ASPHALT)
        for index, road in enumerate(self.roads):
            self._mark_street(road, 1 + 4 * index)

    def _mark_street(self, road: Road, marking: int) -> None:
        """Paint lane lines, stop lines and zebra crossings; each kind has its own id."""
        line = resampled(road.polyline, 0.5)
        total = 0.5 * (len(line) - 1)
        clear = int(12 / 0.5)
        if road.width_m > 6.5 and total > 30:
            dash, gap = (6, 6) if self._rng.uniform() < 0.5 else (12, 8)
            for start in range(clear, len(line) - clear - dash, dash + gap):
                self._mark_line(line[start:start + dash], 0.15, marking)
        if road.width_m > 8 and total > 30:
            for side in (-1, 1):
                edge = moved_left(line, side * (road.width_m / 2 - 0.6))
                self._mark_line(edge[clear:-clear], 0.13, marking + 1)
        for end in (line, line[::-1]):
            if total > 30 and self._rng.uniform() < 0.55:
                self._mark_crossing(end, road, marking + 2)

    def _mark_line(self, points, width_m: float, marking: int) -> None:
        draw_line(self.markings, points, width_m, marking)

    def _mark_crossing(self, line: np.ndarray, road: Road, marking: int) -> None:
        start = int((road.width_m / 2 + 5.0) / 0.5)
        stripe = line[start:start + 7]
        for offset in np.arange(-road.width_m / 2 + 0.6, road.width_m / 2 - 0.3, 1.0):
            self._mark_line(moved_left(stripe, offset), 0.5, marking)
        ends_m = (0.2, road.width_m / 2 - 0.3)
        self._mark_line(
            np.stack([moved_left(line, left_m)[start + 10] for left_m in ends_m]), 0.4,
            marking + 1)

    # -- blocks --------------------------------------------------------------------------------

    def _fill_block(self, column: int, row: int) -> None:
        low = np.array([self._u[column], self._v[row]])
        high = np.array([self._u[column + 1], self._v[row + 1]])
        if np.abs(self._warp((low + high) / 2)).max() > HALF_SIZE_M + 40:
            return
        use = self._rng.choice(
            ['houses', 'perimeter', 'works', 'park', 'square'], p=[.38, .30, .12, .12, .08])
        getattr(self, f'_build_{use}')(low + 7.5, high - 7.5)

    def _cover(self, low, high, value: int) -> None:
        """Cover a block with a ground type where no street lies."""
        def fill(raster, points, origin):
            draw_polygon(raster, points, 1, origin, GROUND_CELLS)

        self._paint_where(fill, self._warp(rectangle_path(low, high)), OPEN_GROUND, value)

    def _frontages(self, low, high):
        """Yield (start, along, inward, length): the four sides of a block in grid axes."""
        (u0, v0), (u1, v1) = low, high
        yield np.array([u0, v0]), np.array([1., 0.]), np.array([0., 1.]), u1 - u0
        yield np.array([u1, v0]), np.array([0., 1.]), np.array([-1., 0.]), v1 - v0
        yield np.array([u1, v1]), np.array([-1., 0.]), np.array([0., -1.]), u1 - u0
        yield np.array([u0, v1]), np.array([0., -1.]), np.array([1., 0.]), v1 - v0

    def _place(self, uv, along, size, height_m: float, roof_m: float) -> bool:
        """Put a building at grid coordinates, turned with the streets there."""
        centre = self._warp(uv)
        direction = self._warp(uv + along) - self._warp(uv - along)
        building = Building(
            (float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])),
            float(np.arctan2(direction[1], direction[0])), float(height_m), float(roof_m))
        free = self._take_if_free(corners(building.centre, building.size, building.yaw_rad))
        if free:
            self.buildings.append(building)
        return free

    def _build_houses(self, low, high) -> None:
        rng = self._rng
        for start, along, inward, length in self._frontages(low, high):
            setback, at = rng.uniform(3, 8), rng.uniform(0, 6)
            while at < length - 8:
                width, depth = rng.uniform(7, 14), rng.uniform(7, 11)
                uv = start + along * (at + width / 2) + inward * (setback + depth / 2)
                roof = rng.choice([0.0, rng.uniform(2, 4.5)], p=[.2, .8])
                if self._place(uv, along, (width, depth), rng.uniform(3, 8), roof):
                    self._drive_up(start + along * (at + width + 1.8), inward, setback + depth)
                    self._extend(uv, along, inward, (width, depth))
                at += width + rng.uniform(3.5, 10)
        self._plant(low, high, density=0.008, radius=(1.2, 3.6))
        self._cover_patches(low, high, Ground.BED, 6, (1.0, 3.0))

    def _extend(self, uv, along, inward, size) -> None:
        """Sometimes add a low wing behind a house, or a shed in its garden."""
        rng = self._rng
        if rng.uniform() < 0.5:
            wing = (size[0] * rng.uniform(.3, .6), rng.uniform(3, 6))
            beside = along * rng.uniform(-.3, .3) * size[0]
            behind = inward * (size[1] / 2 + wing[1] / 2 + 0.6)
            self._place(uv + beside + behind, along, wing, rng.uniform(2.4, 4), 0.0)

    def _drive_up(self, start, inward, length_m: float) -> None:
        """Pave a driveway from the street (seven metres outside the block) and park a car."""
        if self._rng.uniform() > 0.65:
            return
        line = self._warp(np.linspace(start - inward * 7, start + inward * length_m, 9))
        width_m = self._rng.uniform(2.4, 3.4)

        def pave(raster, points, origin):
            draw_line(raster, points, width_m, 1, origin=origin, cells=GROUND_CELLS)

        self._paint_where(pave, line, (Ground.GRASS, Ground.BED, Ground.PAVEMENT),
                          Ground.DRIVEWAY)
        yaw = np.arctan2(*(line[-1] - line[0])[::-1])
        self.slots.append(ParkingSlot(tuple(line[6]), float(yaw)))

    def _build_perimeter(self, low, high) -> None:
        rng = self._rng
        self._cover(low, high, rng.choice([Ground.PAVING, Ground.GRASS, Ground.SOIL]))
        floors = rng.uniform(3, 6)
        for start, along, inward, length in self._frontages(low, high):
            at = rng.uniform(0, 3)
            while at < length - 9:
                width, depth = rng.uniform(9, 22), rng.uniform(9, 13)
                setback = rng.uniform(0.3, 2.2)
                uv = start + along * (at + width / 2) + inward * (setback + depth / 2)
                height = 3.1 * max(2, round(floors + rng.uniform(-1.4, 1.4)))
                roof = rng.choice([0.0, rng.uniform(2, 4)], p=[.5, .5])
                self._place(uv, along, (width, depth), height, roof)
                at += width + rng.choice([0.3, rng.uniform(3, 9)], p=[.6, .4])
        self._plant(low + 14, high - 14, density=0.01, radius=(1.5, 3.5))

    def _build_works(self, low, high) -> None:
        rng = self._rng
        self._cover(low, high, Ground.CAR_PARK)
        span = high - low
        hall = span * rng.uniform(.35, .55, 2)
        centre = low + hall / 2 + rng.uniform(0, 1, 2) * (span - hall)
        self._place(centre, np.array([1., 0.]), hall, rng.uniform(5, 11), 0.0)
        for v in np.arange(low[1] + 4, high[1] - 4, 16.5):
            self._park_row(low[0] + 3, high[0] - 3, v)
        self._plant(low, high, density=0.003, radius=(1.2, 2.6))

    def _park_row(self, u0: float, u1: float, v: float) -> None:
        marking = 3000 + len(self.slots) % 500
        for u in np.arange(u0, u1, 2.6):
            stall = self._warp(np.array([[u - 1.3, v], [u - 1.3, v + 5.0]]))
            centre = self._warp(np.array([u, v + 2.5]))
            if self._is_built(centre):
                continue
            self._mark_line(stall, 0.12, marking)
            yaw = float(np.arctan2(*(stall[1] - stall[0])[::-1]))
            self.slots.append(ParkingSlot(tuple(centre), yaw))

    def _is_built(self, point) -> bool:
        column, row = cell_at(point, 4 * GROUND_RESOLUTION_M)
        size = len(self._taken)
        return not (0 <= row < size and 0 <= column < size) or bool(self._taken[row, column])

    def _build_park(self, low, high) -> None:
        rng = self._rng
        for _ in range(rng.integers(2, 5)):
            ends = low + rng.uniform(0, 1, (3, 2)) * (high - low)
            curve = self._warp(resampled(ends, 2.0))
            self._paint_line(smoothed(curve), rng.uniform(1.6, 3.0), Ground.PATH)
        if rng.uniform() < 0.5:
            self._cover_patches(low, high, Ground.WATER, 1, (5.0, 9.0))
        self._cover_patches(low, high, Ground.BED, 5, (1.0, 3.5))
        self._plant(low, high, density=0.012, radius=(2.0, 4.8))

    def _build_square(self, low, high) -> None:
        rng = self._rng
        self._cover(low, high, Ground.PAVING)
        self._cover_patches(low, high, Ground.BED, 8, (1.2, 3.0))
        self._cover_patches(low, high, Ground.GRASS, 3, (3.0, 7.0))
        self._place((low + high) / 2, np.array([1., 0.]), rng.uniform(5, 14, 2),
                    rng.uniform(3, 9), 0.0)
        self._plant(low, high, density=0.006, radius=(1.5, 3.2))

    def _cover_patches(self, low, high, value: int, count: int, radius_m) -> None:
        """Paint blobs of a ground type inside a block."""
        for _ in range(count):
            centre = self._warp(low + self._rng.uniform(0.1, 0.9, 2) * (high - low))
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            radii = self._rng.uniform(*radius_m) * self._rng.uniform(.7, 1.2, 12)
            blob = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
            self._paint_polygon(blob, value)

    def _plant(self, low, high, density: float, radius) -> None:
        """Scatter trees over the free ground of a block; ``density`` is trees a square metre."""
        rng = self._rng
        for _ in range(int(density * max(0.0, np.prod(np.maximum(high - low, 0))))):
            position = self._warp(low + rng.uniform(0, 1, 2) * (high - low))
            if not self._is_built(position):
                self._add_tree(position, rng.uniform(*radius))

    def _add_tree(self, position, radius_m: float) -> None:
        height = radius_m * self._rng.uniform(1.8, 2.6) + self._rng.uniform(0.5, 2.5)
        east_m, north_m = map(float, position)
        self.trees.append(Tree((east_m, north_m), float(height), float(radius_m)))

    # -- along the streets ---------------------------------------------------------------------

    def _furnish_streets(self) -> None:
        for road in self.roads:
            for side in (-1, 1):
                self._line_kerb(road, side)
                self._line_pavement(road, side)

    def _line_kerb(self, road: Road, side: int) -> None:
        """Put parking slots along the kerb of streets that are wide enough."""
        if road.width_m < 8 or self._rng.uniform() < 0.25:
            return
        line = resampled(moved_left(road.polyline, side * (road.width_m / 2 - 1.05)), 5.8)
        for first, second in zip(line[2:-3], line[3:-2]):
            heading = second - first
            self.slots.append(ParkingSlot(
                tuple((first + second) / 2), float(np.arctan2(heading[1], heading[0]))))

    def _line_pavement(self, road: Road, side: int) -> None:
        """Plant street trees in pits and set lamps and signs along a pavement."""
        rng = self._rng
        line = resampled(moved_left(road.polyline, side * (road.width_m / 2 + 0.8)), 1.0)
        trees = rng.uniform() < 0.5
        at = int(rng.uniform(9, 16))
        while at < len(line) - 9:
            if trees and rng.uniform() < 0.75:
                self._add_tree(line[at], rng.uniform(1.3, 3.3))
                self._paint_polygon(corners(tuple(line[at]), (1.4, 1.4), 0.3), Ground.SOIL)
            elif rng.uniform() < 0.6:
                self.posts.append(Post(
                    tuple(line[at]), float(rng.uniform(2.2, 7.5)), float(rng.uniform(.06, .16))))
            at += int(rng.uniform(6, 15))
