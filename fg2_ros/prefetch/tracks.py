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

"""Cleaning tracks of devices and programs: impossible places are removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fg2_ros.geometry.frames import require_geodetic
from fg2_ros.prefetch.route_files import FilePlaces
import numpy as np
from pyproj import Geod

WGS84 = Geod(ellps='WGS84')
_FASTEST_MPS = 100.0  # places further apart than this speed explains are not joined
_JITTER_M = 50.0
_LONGEST_EDGE_M = 200_000.0  # of places without time, and it must stand out as well:
_STANDING_OUT = 50.0  # times what is usual in its track
_ZERO_DEG = 1e-4  # receivers without a fix say 0, 0
_NEAR_ZERO_DEG = 1.0  # a vehicle that really is there has been here, too
_MOST_TIMES_WRONG = 0.5  # share of edges; with more, a planner made them up
_MOST_JUMPS_SHARE, _FEW_JUMPS = 0.25, 20  # of edges; more is no drive

Jump = tuple[float, np.ndarray, np.ndarray]  # how many metres, from where to where


@dataclass
class _Clean:
    """What is left of tracks, and what was found in them."""

    lines: list[np.ndarray] = field(default_factory=list)
    outliers: int = 0
    edges: int = 0
    jumps: list[Jump] = field(default_factory=list)
    jumps_to_zero: list[Jump] = field(default_factory=list)


def cleaned(places: FilePlaces) -> tuple[
        tuple[np.ndarray, ...], tuple[tuple[np.ndarray, ...], ...], list[str]]:
    """
    Return the lines and areas that can be meant, and a sentence for whatever was left out.

    Left out are places that are none, those at 0, 0 unless others are near, and single places far
    from both those before and after them. Lines are cut where they jump: where a vehicle would
    have to be faster than 100 m/s or, without times, over 200 km in a track of short edges.

    :raises ValueError: if no place is left, or there are more jumps than a drive can have.
    """
    outlines = places.tracks + [ring for area in places.areas for ring in area]
    everything = np.concatenate(outlines) if outlines else np.empty((0, 3))
    remarks = list(places.problems)
    is_zero = _zeros_are_wrong(everything)
    remarks += _remarks_on_places(everything, is_zero)
    clean = _Clean()
    for track in places.tracks:
        _clean_track(track, is_zero, clean)
    areas = tuple(tuple(ring[_usable(ring, is_zero), :2] for ring in area)
                  for area in places.areas)
    areas = tuple(
        tuple(ring for ring in area if len(ring)) for area in areas if area and len(area[0]))
    _require_few_jumps(clean)
    if not clean.lines and not areas:
        raise ValueError(_nothing(everything, remarks))
    return tuple(clean.lines), areas, remarks + _remarks_on_jumps(clean)


def _is_place(places: np.ndarray) -> np.ndarray:
    return (np.abs(places[:, 0]) <= 90) & (np.abs(places[:, 1]) <= 180)  # NaN is not


def _at_zero(places: np.ndarray) -> np.ndarray:
    return (np.abs(places[:, :2]) < _ZERO_DEG).all(axis=1)


def _zeros_are_wrong(places: np.ndarray) -> bool:
    """Return whether places at 0, 0 are those of a receiver without a fix."""
    others = places[_is_place(places) & ~_at_zero(places)]
    near = (np.abs(others[:, :2]) < _NEAR_ZERO_DEG).all(axis=1)
    return not near.any()


def _usable(places: np.ndarray, zeros_are_wrong: bool) -> np.ndarray:
    usable = _is_place(places)
    return usable & ~_at_zero(places) if zeros_are_wrong else usable


def _clean_track(track: np.ndarray, zeros_are_wrong: bool, clean: _Clean) -> None:
    usable = _usable(track, zeros_are_wrong)
    clean.edges += max(len(track) - 1, 0)
    is_zero = ~usable & _at_zero(track)
    clean.jumps_to_zero += _jumps_at(
        track, (is_zero[:-1] & usable[1:]) | (usable[:-1] & is_zero[1:]))
    track = _with_likely_times(track[usable])
    jumps = _jumps(track)
    clean.jumps += _jumps_at(track, jumps)
    middle = np.arange(1, len(track) - 1)
    lonely = middle[jumps[:-1] & jumps[1:]] if len(middle) else middle
    lonely = lonely[~_jumps(track, lonely - 1, lonely + 1)]
    kept = np.delete(track, lonely, axis=0)
    pieces = np.split(kept[:, :2], np.flatnonzero(_jumps(kept)) + 1)
    longer = [piece for piece in pieces if len(piece) > 1]
    clean.outliers += len(lonely) + (len(pieces) - len(longer) if longer else 0)
    clean.lines += [piece for piece in longer or pieces if len(piece)]


def _with_likely_times(track: np.ndarray) -> np.ndarray:
    """Return a track without its times if they are all the same, or no vehicle kept most."""
    times, edges = track[:, 2], len(track) - 1
    if edges > 0 and ((times == times[0]).all() or edges >= _FEW_JUMPS
                      and _jumps(track).sum() > _MOST_TIMES_WRONG * edges):
        return np.column_stack([track[:, :2], np.full(len(track), np.nan)])
    return track


def _jumps_at(track: np.ndarray, chosen: np.ndarray) -> list[Jump]:
    """Return the edges of a track that a mask says."""
    return [(float(_apart_m(track, index, index + 1)), track[index], track[index + 1])
            for index in np.flatnonzero(chosen)]


def _apart_m(track: np.ndarray, first, second):
    """Return the distance of places of a track by their indices."""
    return WGS84.inv(track[first, 1], track[first, 0], track[second, 1], track[second, 0])[2]


def _jumps(track: np.ndarray, first: np.ndarray | None = None,
           second: np.ndarray | None = None) -> np.ndarray:
    """Return whether no vehicle drives from some places of a track to others; to the next."""
    if first is None or second is None:
        first, second = np.arange(len(track) - 1), np.arange(1, len(track))
    if not len(first):
        return np.zeros(0, bool)
    apart_m = _apart_m(track, first, second)
    time_s = np.abs(track[second, 2] - track[first, 2])
    without_time = (apart_m > _LONGEST_EDGE_M) & (apart_m > _STANDING_OUT * _usual_m(track))
    return np.where(np.isnan(time_s), without_time, apart_m > _JITTER_M + _FASTEST_MPS * time_s)


def _usual_m(track: np.ndarray) -> float:
    """Return a length that most edges of a track exceed, those past a single place included."""
    if len(track) < 3:
        return np.inf
    at = np.arange(len(track))
    apart_m = np.concatenate([_apart_m(track, at[:-1], at[1:]), _apart_m(track, at[:-2], at[2:])])
    return float(np.quantile(apart_m, 0.25, method='lower'))


def _require_few_jumps(clean: _Clean) -> None:
    jumps = clean.jumps + clean.jumps_to_zero
    if len(jumps) > max(_FEW_JUMPS, _MOST_JUMPS_SHARE * clean.edges):
        raise ValueError(f'it jumps {len(jumps):,} times, {_farthest(jumps)}: no vehicle drove '
                         'that')


def _farthest(jumps: Sequence[Jump]) -> str:
    apart_m, start, end = max(jumps, key=lambda jump: jump[0])
    return (f'by up to {apart_m / 1000:,.1f} km, from {start[0]:.5f}, {start[1]:.5f} to '
            f'{end[0]:.5f}, {end[1]:.5f}')


def _remarks_on_places(places: np.ndarray, zeros_are_wrong: bool) -> list[str]:
    remarks, wrong = [], places[~_is_place(places)]
    if len(wrong):
        remarks.append(
            f'{_counted(len(wrong), "place")} left out: {_fault(wrong[0])}')
    zeros = int(_at_zero(places).sum()) if zeros_are_wrong else 0
    if zeros:
        remarks.append(f'{_counted(zeros, "place")} left out: latitude 0, longitude 0 is what '
                       'receivers say that have no fix')
    return remarks


def _fault(place: np.ndarray) -> str:
    if np.isnan(place[:2]).any():
        return 'without a latitude and a longitude that are numbers'
    try:
        require_geodetic(float(place[0]), float(place[1]))
    except ValueError as error:
        return str(error)
    return 'no place'


def _remarks_on_jumps(clean: _Clean) -> list[str]:
    remarks = []
    if clean.outliers:
        remarks.append(f'{_counted(clean.outliers, "place")} left out: no vehicle gets there from '
                       'those before and after')
    if clean.jumps:
        remarks.append(f'it jumps {_farthest(clean.jumps)}: what lies between was not joined')
    return remarks


def _counted(count: int, noun: str) -> str:
    return f'1 {noun} was' if count == 1 else f'{count:,} {noun}s were'


def _nothing(places: np.ndarray, remarks: Sequence[str]) -> str:
    return f'it holds no place{" that can be used" if len(places) else ""}' + (
        f': {remarks[0]}' if remarks else '')
