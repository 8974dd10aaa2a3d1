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

"""Coverage: where a route has imagery in a tile file, and where it has none."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry import mercator
from fg2_ros.imagery.patch import MAX_MISSING
from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex, ZoomIndex
from fg2_ros.prefetch.areas import TileArea, tiles_within
from fg2_ros.prefetch.plan import areas_for, COARSER_ZOOMS, make_plan
from fg2_ros.prefetch.routes import Route, sampled, WGS84
import numpy as np

FULL, COARSER, PARTIAL, NONE = range(4)  # the better the smaller
STATES = ('full', 'coarser', 'partial', 'none')
_STEPS_PER_PATCH = 8


@dataclass(frozen=True)
class RouteTrack:
    """
    Places along a line, closer to each other than the patches they need are wide.

    :param places: (N, 2) latitude and longitude in degrees.
    :param distance_m: (N,) metres along the line.
    :param state: (N,) one of FULL, COARSER, PARTIAL and NONE: what a patch there gets.
    """

    places: np.ndarray
    distance_m: np.ndarray
    state: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """
    A part of a line along which imagery is the same way incomplete.

    :param state: 'coarser', 'partial' (some of a patch is missing) or 'none' (more than half is,
        so there are no poses).
    :param line: number of the line in the route.
    :param begin_m: metres along the line.
    :param end_m: metres along the line.
    :param begin: latitude and longitude in degrees.
    :param end: latitude and longitude in degrees.
    """

    state: str
    line: int
    begin_m: float
    end_m: float
    begin: tuple[float, float]
    end: tuple[float, float]

    @property
    def length_m(self) -> float:
        """Return its length."""
        return self.end_m - self.begin_m


def tracks_of(route: Route, holdings: MbtilesIndex, resolution_m: float, size_m: float,
              zoom: int | None = None) -> list[RouteTrack]:
    """
    Return what the patches along the lines of a route get.

    A patch takes the coarsest zoom that is fine enough, of those from the coarsest to the finest
    that the file has.

    :param resolution_m: metres per pixel of the patches.
    :param size_m: their side.
    :param zoom: the zoom that they take instead.
    """
    tracks = []
    for line in route.lines:
        places = sampled(line, size_m / _STEPS_PER_PATCH)
        latitude, longitude = places.T
        _, _, steps_m = WGS84.inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])
        distance_m = np.concatenate([[0.0], np.cumsum(steps_m)])
        zooms = _zooms(places[:, 0], holdings, resolution_m, zoom)
        tracks.append(RouteTrack(places, distance_m, _states(places, zooms, holdings, size_m)))
    return tracks


def stretches_of(tracks: list[RouteTrack]) -> list[Stretch]:
    """Return the incomplete parts of the lines, in their order."""
    stretches = []
    for number, track in enumerate(tracks):
        changes = np.flatnonzero(np.diff(track.state)) + 1
        bounds = [0, *changes.tolist(), len(track.state)]
        for first, after in zip(bounds[:-1], bounds[1:]):
            last = min(after, len(track.state) - 1)  # it reaches to where the next one begins
            if track.state[first] != FULL:
                stretches.append(Stretch(
                    STATES[track.state[first]], number, float(track.distance_m[first]),
                    float(track.distance_m[last]), tuple(track.places[first].tolist()),
                    tuple(track.places[last].tolist())))
    return stretches


def area_tiles(route: Route, holdings: MbtilesIndex, resolution_m: float,
               zoom: int | None = None) -> tuple[int, int]:
    """
    Return how many tiles of the areas of a route are there, and of how many.

    :raises ValueError: if they are too many, or reach where there are no tiles.
    """
    if not route.areas:
        return 0, 0
    inside = Route(areas=route.areas)
    if zoom is not None:
        areas: tuple[TileArea, ...] = (tiles_within(inside, 0.0, zoom),)
    else:
        areas = areas_for(inside, 0.0, resolution_m, holdings.layout)
    plan = make_plan(areas, holdings, holdings.tile_px)
    return plan.held_in(holdings), plan.tiles


def _zooms(latitudes: np.ndarray, holdings: MbtilesIndex, resolution_m: float,
           zoom: int | None) -> np.ndarray:
    """Return the zoom that a patch takes at each latitude."""
    if zoom is not None:
        return np.full(len(latitudes), zoom)
    coarsest_m = mercator.ground_resolution_m(0.0, 0, holdings.tile_px)
    exact = np.log2(coarsest_m * np.cos(np.radians(latitudes)) / resolution_m)
    layout = holdings.layout
    return np.clip(np.ceil(exact - 1e-9), layout.min_zoom, layout.max_zoom).astype(int)


def _states(places: np.ndarray, zooms: np.ndarray, holdings: MbtilesIndex,
            size_m: float) -> np.ndarray:
    states = np.full(len(places), NONE)
    for zoom in np.unique(zooms).tolist():
        here = np.flatnonzero(zooms == zoom)
        share = _shares(places[here], holdings.at(zoom), size_m)
        states[here[share >= MAX_MISSING]] = PARTIAL
        states[here[share > 1 - 1e-9]] = FULL
        for coarser in range(zoom - COARSER_ZOOMS, zoom):
            without = here[states[here] == NONE]
            share = _shares(places[without], holdings.at(coarser), size_m)
            states[without[share >= MAX_MISSING]] = COARSER
    return states


def _shares(places: np.ndarray, holding: ZoomIndex, size_m: float) -> np.ndarray:
    """Return the shares of the patches around places whose tiles are there."""
    if not len(places) or not len(holding.keys):
        return np.zeros(len(places))
    latitude, longitude = places.T
    x, y = mercator.world_pixel_from_geodetic(latitude, longitude, holding.zoom, tile_px=1)
    tile_m = mercator.ground_resolution_m(0.0, holding.zoom, tile_px=1) * np.cos(
        np.radians(latitude))
    half = size_m / 2 / tile_m
    left, top = np.floor(x - half), np.floor(y - half)
    share = np.zeros(len(places))
    for down in range(int(np.ceil(2 * half.max())) + 1):
        for right in range(int(np.ceil(2 * half.max())) + 1):
            column, row = left + right, top + down
            overlap = _overlap(column, x, half) * _overlap(row, y, half)
            there = holding.has(column.astype(np.int64) % 2 ** holding.zoom, row.astype(np.int64))
            share += there * overlap / (2 * half) ** 2
    return share


def _overlap(cell: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the lengths that cells [c, c + 1] share with intervals around a middle."""
    return np.maximum(0.0, np.minimum(cell + 1, middle + half) - np.maximum(cell, middle - half))
