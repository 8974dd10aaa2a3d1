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

"""Which tiles lie within a distance of a route, of any size, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fg2_ros.geometry import mercator
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.prefetch.routes import edge_lengths_m, Route, sampled, steps_deg, WGS84
import numpy as np

LARGEST_MARGIN_M = 100_000.0
_SAMPLES_PER_MARGIN = 20  # along a line: what is covered too much is half of this share
_MOST_RUNS = 1_000_000  # routes too long for that are sampled more coarsely


@dataclass(frozen=True)
class TileArea:
    """
    Tiles of one zoom as runs along rows, so that a continent takes little memory.

    :param zoom: of the tiles.
    :param rows: (K,) int64, from the north, rising.
    :param first: (K,) first column of each run.
    :param last: (K,) last column; runs of a row neither touch nor overlap.
    """

    zoom: int
    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def around(cls, zoom: int, columns: np.ndarray, rows: np.ndarray) -> TileArea:
        """Return tiles with those beside them, corner to corner."""
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        runs = [np.stack([rows + down, columns - 1, columns + 1]) for down in (-1, 0, 1)]
        runs = np.concatenate(runs, axis=1)
        return _merged(runs[:, (runs[0] >= 0) & (runs[0] < 2 ** zoom)], zoom)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return int((self.last - self.first + 1).sum())

    def __iter__(self) -> Iterator[TileId]:
        """Yield the tiles row by row."""
        columns, rows = self.addresses()
        return (TileId(self.zoom, *address) for address in zip(columns.tolist(), rows.tolist()))

    def addresses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (columns, rows) of all tiles, row by row."""
        counts = self.last - self.first + 1
        start = np.repeat(self.first - np.cumsum(counts) + counts, counts)
        return start + np.arange(len(start)), np.repeat(self.rows, counts)

    def within_bounds(self, bounds: tuple[float, ...]) -> TileArea:
        """Return those of the tiles that reach into west, south, east, north in degrees."""
        west, south, east, north = bounds
        x, y = mercator.world_pixel_from_geodetic(
            [north, south], [west, east], self.zoom, tile_px=1)
        rows = (self.rows + 1 > y[0]) & (self.rows < y[1])
        left, right = np.floor(x[0]), np.ceil(x[1]) - 1
        spans = [(left, right)] if west <= east else [(0, right), (left, 2 ** self.zoom - 1)]
        pieces = [self._cut(rows, *span) for span in spans]
        return _merged(np.concatenate(pieces, axis=1), self.zoom)

    def within_parallels(self, nearest_deg: float, farthest_deg: float) -> TileArea:
        """Return those of the tiles that reach into a range of distances from the equator."""
        edges = np.abs([mercator.geodetic_from_world_pixel(0.0, edge, self.zoom, tile_px=1)[0]
                        for edge in (self.rows, self.rows + 1)])
        inside = (edges.min(axis=0) <= farthest_deg) & (edges.max(axis=0) >= nearest_deg)
        return TileArea(self.zoom, self.rows[inside], self.first[inside], self.last[inside])

    def _cut(self, rows: np.ndarray, left: float, right: float) -> np.ndarray:
        """Return (3, K) runs of some rows between two columns."""
        first, last = np.maximum(self.first, int(left)), np.minimum(self.last, int(right))
        return np.stack([self.rows, first, last])[:, rows & (first <= last)]


def tiles_within(route: Route, margin_m: float, zoom: int) -> TileArea:
    """
    Return all tiles that have ground within a distance of a route.

    Distances are geodesic on WGS 84. None is left out; those that lie up to 4 % of the margin (or
    of a tile, if that is larger) further away may be there, too: more for routes of thousands of
    kilometres.

    :raises ValueError: if the margin makes no sense or the route lies beyond the Mercator limit.
    """
    if not 0 <= margin_m <= LARGEST_MARGIN_M:
        raise ValueError(f'a margin of {margin_m:g} m is not between 0 and {LARGEST_MARGIN_M:g} m')
    farthest_deg = max(map(abs, route.latitudes_deg))
    if farthest_deg > mercator.MAX_LATITUDE_DEG:
        raise ValueError(f'the route reaches {farthest_deg:.4f} degrees of latitude, and tiles '
                         f'end at {mercator.MAX_LATITUDE_DEG:.4f}')
    tile_m = mercator.ground_resolution_m(farthest_deg, zoom, tile_px=1)
    rows_each = 2 + 2 * margin_m / tile_m
    length_m = sum(float(edge_lengths_m(line).sum()) for line in route.outlines)
    step_m = max(max(margin_m, tile_m) / _SAMPLES_PER_MARGIN, length_m * rows_each / _MOST_RUNS)
    places = np.concatenate([sampled(line, step_m) for line in route.outlines])
    runs = [_discs(places, margin_m + step_m / 2, zoom)]
    runs += [_interior(area, zoom) for area in route.areas]
    return _merged(np.concatenate(runs, axis=1), zoom)


def _discs(places: np.ndarray, radius_m: float, zoom: int) -> np.ndarray:
    """
    Return (3, K) runs (row, first and last column, unwrapped) around (N, 2) places.

    The ellipsoid's distances are at least those on a sphere of its smallest meridional radius of
    curvature nearby, so discs of the same radius on that sphere hold all that is wanted.
    """
    latitude = np.radians(places[:, 0])
    nearest_equator = np.maximum(0.0, np.abs(latitude) - 1.01 * radius_m / 6.33e6)
    radius = radius_m / _meridional_radius_m(nearest_equator)
    x, _ = mercator.world_pixel_from_geodetic(0.0, places[:, 1], zoom, tile_px=1)
    top, bottom = (_row(latitude + sign * radius, zoom) for sign in (1, -1))
    counts = bottom - top + 1
    of = np.repeat(np.arange(len(places)), counts)
    row = top[of] + np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    reach = _reach(latitude[of], radius[of], row, zoom) / (2 * np.pi) * 2 ** zoom
    return np.stack([row, np.floor(x[of] - reach), np.floor(x[of] + reach)]).astype(np.int64)


def _reach(latitude, radius, row, zoom: int):
    """Return how far east and west, in radians, discs on a sphere reach within tile rows."""
    north, south = (
        np.radians(mercator.geodetic_from_world_pixel(0.0, edge, zoom, tile_px=1)[0])
        for edge in (row, row + 1))
    widest = np.arcsin(np.sin(latitude) / np.cos(radius))
    at = np.clip(
        widest, np.maximum(south, latitude - radius), np.minimum(north, latitude + radius))
    haversine = np.sin(radius / 2) ** 2 - np.sin((at - latitude) / 2) ** 2
    sine = np.sqrt(np.maximum(haversine, 0.0) / (np.cos(latitude) * np.cos(at)))
    return 2 * np.arcsin(np.minimum(sine, 1.0))


def _meridional_radius_m(latitude):
    return WGS84.a * (1 - WGS84.es) / (
        1 - WGS84.es * np.sin(latitude) ** 2) ** 1.5


def _row(latitude, zoom: int) -> np.ndarray:
    """Return the tile rows of latitudes in radians; those at the ends for what lies beyond."""
    limit = mercator.MAX_LATITUDE_DEG
    _, y = mercator.world_pixel_from_geodetic(
        np.clip(np.degrees(latitude), -limit, limit), 0.0, zoom, tile_px=1)
    return np.clip(np.floor(y), 0, 2 ** zoom - 1).astype(np.int64)


def _interior(rings: tuple[np.ndarray, ...], zoom: int) -> np.ndarray:
    """Return (3, K) runs of the tiles that lie wholly inside an area, and some on its outline."""
    crossings = []
    for ring in rings:
        longitude = ring[0, 1] + np.concatenate([[0.0], np.cumsum(steps_deg(ring)[:, 1])])
        if abs(longitude[-1] - longitude[0]) > 1.0:
            raise ValueError('an area of the route encloses a pole, where there are no tiles')
        longitude += 360 * np.round((rings[0][0, 1] - longitude[0]) / 360)
        crossings.append(_crossings(ring[:, 0], longitude, zoom))
    row, x = np.concatenate(crossings, axis=1)
    order = np.lexsort((x, row))
    row, column = row[order], np.floor(x[order])
    return np.stack([row[::2], column[::2], column[1::2]]).astype(np.int64)


def _crossings(latitude: np.ndarray, longitude: np.ndarray, zoom: int) -> np.ndarray:
    """Return (2, K): tile row, and x in tiles, where a ring crosses the middle of a row."""
    x, y = mercator.world_pixel_from_geodetic(latitude, longitude, zoom, tile_px=1)
    first = np.ceil(np.minimum(y[:-1], y[1:]) - 0.5).astype(np.int64)
    counts = np.ceil(np.maximum(y[:-1], y[1:]) - 0.5).astype(np.int64) - first
    edge = np.repeat(np.arange(len(counts)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    middle, _ = mercator.geodetic_from_world_pixel(0.0, row + 0.5, zoom, tile_px=1)
    share = (middle - latitude[edge]) / (latitude[edge + 1] - latitude[edge])
    return np.stack([row, x[edge] + share * (x[edge + 1] - x[edge])])


def _merged(runs: np.ndarray, zoom: int) -> TileArea:
    """Return (3, K) runs of any columns within the world, without overlaps."""
    world = 2 ** zoom
    row, first, last = runs
    if not len(row):
        return TileArea(zoom, row, first, last)
    last = np.minimum(last, first + world - 1) - first + first % world
    first = first % world
    beyond = last >= world
    row = np.concatenate([row, row[beyond]])
    first = np.concatenate([first, np.zeros(beyond.sum(), np.int64)])
    last = np.concatenate([np.minimum(last, world - 1), last[beyond] - world])
    start, end = row * (world + 2) + first, row * (world + 2) + last
    order = np.argsort(start)
    start, end = start[order], np.maximum.accumulate(end[order])
    new = np.concatenate([[True], start[1:] > end[:-1] + 1])
    last_of_run = np.concatenate([new[1:], [True]])
    row, first = np.divmod(start[new], world + 2)
    return TileArea(zoom, row, first, end[last_of_run] - row * (world + 2))
