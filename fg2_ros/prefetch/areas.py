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

"""The tiles within a distance of a route of any size, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import itertools

from fg2_ros.geometry import mercator
from fg2_ros.imagery.tiles.address import reach_into, TileId
from fg2_ros.prefetch.routes import edge_lengths_m, Route, sampled, steps_deg, WGS84
import numpy as np

LARGEST_MARGIN_M = 100_000.0
MOST_TILES = 1_000_000  # at a few tens a second this takes a night
_MOST_LISTED = 5 * MOST_TILES  # of which bounds and parallels may leave few
_SAMPLES_PER_MARGIN = 20  # along a line: what is covered too much is half of this share
_MOST_RUNS = 1_000_000  # routes too long for that are sampled more coarsely
_MOST_DISC_ROWS = 10_000_000  # of all samples: a gigabyte


@dataclass(frozen=True)
class TileArea:
    """
    Tiles of one zoom.

    :param zoom: of the tiles.
    :param keys: (N,) int64, rising: row from the north times 2 ** zoom, plus column.
    """

    zoom: int
    keys: np.ndarray

    @classmethod
    def around(cls, zoom: int, columns: np.ndarray, rows: np.ndarray) -> TileArea:
        """Return tiles with those beside them, corner to corner."""
        right, down = (each.reshape(-1, 1) for each in np.mgrid[-1:2, -1:2])
        columns, rows = (columns + right) % 2 ** zoom, rows + down
        inside = (rows >= 0) & (rows < 2 ** zoom)
        return cls(zoom, np.unique((rows * 2 ** zoom + columns)[inside]))

    @property
    def columns(self) -> np.ndarray:
        """Return the tiles' columns."""
        return self.keys % 2 ** self.zoom

    @property
    def rows(self) -> np.ndarray:
        """Return the tiles' rows, counted from the north."""
        return self.keys // 2 ** self.zoom

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.keys)

    def __iter__(self) -> Iterator[TileId]:
        """Yield the tiles row by row."""
        for row, column in map(divmod, self.keys.tolist(), itertools.repeat(2 ** self.zoom)):
            yield TileId(self.zoom, column, row)

    def where(self, chosen: np.ndarray) -> TileArea:
        """Return those of the tiles that a mask says."""
        return TileArea(self.zoom, self.keys[chosen])

    def within_bounds(self, bounds: tuple[float, ...]) -> TileArea:
        """Return those of the tiles that reach into west, south, east, north in degrees."""
        return self.where(reach_into(bounds, self.zoom, self.columns, self.rows))

    def within_parallels(self, nearest_deg: float, farthest_deg: float) -> TileArea:
        """Return those of the tiles that reach into a range of distances from the equator."""
        edges = np.abs([mercator.geodetic_from_world_pixel(0.0, edge, self.zoom, tile_px=1)[0]
                        for edge in (self.rows, self.rows + 1)])
        return self.where(
            (edges.min(axis=0) <= farthest_deg) & (edges.max(axis=0) >= nearest_deg))


def require_few(count: int, most: int = MOST_TILES) -> None:
    """
    Accept a number of tiles unless it is more than can be fetched.

    :raises ValueError: if it is, with the number.
    """
    if count > most:
        raise ValueError(f'that is {count:,} tiles, more than the {MOST_TILES:,} that can sensibly'
                         ' be fetched from a tile server: take a smaller area or a coarser zoom, '
                         'or get the imagery as files')


def tiles_within(route: Route, margin_m: float, zoom: int) -> TileArea:
    """
    Return all tiles that have ground within a distance of a route.

    Distances are geodesic on WGS 84. None is left out; those that lie up to 4 % of the margin (or
    of a tile, if that is larger) further away may be there, too: more for routes of thousands of
    kilometres.

    :raises ValueError: if the margin makes no sense, the route lies beyond the Mercator limit, or
        the tiles are far too many.
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
    _require_short(route, step_m, 2 + (2 * margin_m + step_m) / tile_m)
    places = np.concatenate([sampled(line, step_m) for line in route.outlines])
    runs = [_discs(places, margin_m + step_m / 2, zoom)]
    runs += [_interior(area, zoom) for area in route.areas]
    return _listed(np.concatenate(runs, axis=1), zoom)


def _require_short(route: Route, step_m: float, rows_each: float) -> None:
    """Refuse a route that takes more memory than there is: that of a broken file."""
    edges_m = [edge_lengths_m(line) for line in route.outlines]
    samples = sum(int(np.ceil(each / step_m).sum()) + 1 for each in edges_m)
    if samples * rows_each <= _MOST_DISC_ROWS:
        return
    line, lengths_m = max(
        zip(route.outlines, edges_m), key=lambda pair: pair[1].max(initial=0.0))
    worst = int(lengths_m.argmax()) if len(lengths_m) else 0
    start, end = line[worst], line[min(worst + 1, len(line) - 1)]
    lengths_km = lengths_m / 1000
    raise ValueError(
        f'the route is {sum(each.sum() for each in edges_m) / 1000:,.0f} km long; its longest '
        f'edge goes from {start[0]:.5f}, {start[1]:.5f} to {end[0]:.5f}, {end[1]:.5f}, '
        f'{lengths_km.max(initial=0.0):,.1f} km away: if that is a jump, repair it; if not, take '
        'it in parts, a smaller margin or a coarser zoom')


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
    if counts.sum() > _MOST_DISC_ROWS:
        raise ValueError('the outline of an area of the route runs to and fro too often: is it '
                         'damaged?')
    edge = np.repeat(np.arange(len(counts)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    middle, _ = mercator.geodetic_from_world_pixel(0.0, row + 0.5, zoom, tile_px=1)
    share = (middle - latitude[edge]) / (latitude[edge + 1] - latitude[edge])
    return np.stack([row, x[edge] + share * (x[edge + 1] - x[edge])])


def _listed(runs: np.ndarray, zoom: int) -> TileArea:
    """Return the tiles in (3, K) runs: rows, first and last columns, which may leave the world."""
    world = 2 ** zoom
    row, first, last = runs
    start = row * 2 * world + first % world
    end = start + np.minimum(last - first, world - 1)
    order = np.argsort(start)
    start, end = start[order], np.maximum.accumulate(end[order])
    begins = np.concatenate([[0], end[:-1] + 1])  # what lies before is in another run already
    start = np.maximum(start, begins[:len(start)])
    counts = end - start + 1
    require_few(int(counts.sum()), _MOST_LISTED)
    listed = np.repeat(start - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    row, column = np.divmod(listed, 2 * world)
    keys = np.sort(row * world + column % world)
    return TileArea(zoom, keys[np.diff(keys, prepend=-1) > 0])
