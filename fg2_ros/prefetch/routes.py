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

"""Routes: lines and areas of a GPX, GeoJSON, KML or bag file, or of a bounding box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Any

from fg2_ros.bags.bag import Bag
from fg2_ros.geometry.frames import is_nowhere, require_geodetic
from fg2_ros.prefetch.route_files import FilePlaces, read_geojson, read_gpx, read_kml, track
from fg2_ros.prefetch.tracks import cleaned, WGS84
import numpy as np

_logger = logging.getLogger(__name__)
_FIX = 'sensor_msgs/msg/NavSatFix'
_MOST_REMARKS = 5  # on a file
_WIDEST_EDGE_DEG = 90.0  # a longer edge of a box would be taken the other way round


@dataclass(frozen=True)
class Route:
    """
    Lines and areas on the ground; their edges are straight in degrees (RFC 7946, 3.1.1).

    An edge goes the short way round: 179 to -179 degrees crosses the antimeridian.

    :param lines: (N, 2) arrays of latitude and longitude in degrees; a single point is a line.
    :param areas: polygons, each a tuple of rings like lines: first the outline, then its holes.
    :raises ValueError: if there is nothing in it, or a place is not on Earth.
    """

    lines: tuple[np.ndarray, ...] = ()
    areas: tuple[tuple[np.ndarray, ...], ...] = ()

    def __post_init__(self):
        """Check the places and close the rings."""
        object.__setattr__(self, 'areas', tuple(tuple(map(_closed, area)) for area in self.areas))
        if not self.outlines:
            raise ValueError('it holds no place')
        places = np.concatenate(self.outlines)
        # The extremes stand for all: they are not finite unless all are.
        for extreme in (places.min(axis=0), places.max(axis=0)):
            require_geodetic(*extreme)

    @property
    def outlines(self) -> tuple[np.ndarray, ...]:
        """Return all lines, with the rings of the areas."""
        return *self.lines, *(ring for area in self.areas for ring in area)

    @property
    def latitudes_deg(self) -> tuple[float, float]:
        """Return the southernmost and the northernmost."""
        latitudes = np.concatenate(self.outlines)[:, 0]
        return float(latitudes.min()), float(latitudes.max())

    @property
    def length_m(self) -> float:
        """Metres along the lines."""
        return float(sum(WGS84.line_length(line[:, 1], line[:, 0]) for line in self.lines))


def steps_deg(line: np.ndarray) -> np.ndarray:
    """Return (N - 1, 2) degrees from each place to the next, the short way round."""
    steps = np.diff(line, axis=0)
    steps[:, 1] = (steps[:, 1] + 180) % 360 - 180
    return steps


def edge_lengths_m(line: np.ndarray) -> np.ndarray:
    """Return the lengths of a line's edges, rounded up."""
    north, east = np.radians(steps_deg(line)).T
    nearest_equator = np.minimum(np.abs(line[:-1, 0]), np.abs(line[1:, 0]))
    nearest_equator[line[:-1, 0] * line[1:, 0] < 0] = 0.0
    return 1.004 * WGS84.a * np.hypot(north, east * np.cos(np.radians(nearest_equator)))


def sampled(line: np.ndarray, step_m: float) -> np.ndarray:
    """Return places along a line, at most ``step_m`` apart; longitudes may exceed 180 degrees."""
    pieces = np.maximum(1, np.ceil(edge_lengths_m(line) / step_m)).astype(int)
    edge = np.repeat(np.arange(len(pieces)), pieces)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[edge]
    return np.concatenate([line[edge] + share[:, None] * steps_deg(line)[edge], line[-1:]])


def _closed(ring: np.ndarray) -> np.ndarray:
    return ring if np.array_equal(ring[0], ring[-1]) else np.concatenate([ring, ring[:1]])


def box(west_deg: float, south_deg: float, east_deg: float, north_deg: float) -> Route:
    """
    Return the area between two meridians and two parallels; ``west > east`` crosses +-180.

    :raises ValueError: if it is none.
    """
    for latitude_deg, longitude_deg in ((south_deg, west_deg), (north_deg, east_deg)):
        require_geodetic(latitude_deg, longitude_deg)
    width_deg = east_deg - west_deg + 360 * (east_deg < west_deg)
    if not (south_deg < north_deg and width_deg > 0):
        raise ValueError(f'west {west_deg:g}, south {south_deg:g}, east {east_deg:g}, north '
                         f'{north_deg:g} is no box: south lies below north')
    pieces = int(np.ceil(width_deg / _WIDEST_EDGE_DEG))
    longitudes = west_deg + width_deg * np.arange(pieces + 1) / pieces
    longitudes = (longitudes + 180) % 360 - 180
    south = np.column_stack([np.full(pieces + 1, south_deg), longitudes])
    north = np.column_stack([np.full(pieces + 1, north_deg), longitudes])
    return Route(areas=((np.concatenate([south, north[::-1], south[:1]]),),))


def read_route(path: str | Path) -> Route:
    """
    Return the route in a .gpx, .geojson, .kml, .bag, .mcap or .db3 file or a rosbag2 folder.

    Places that cannot be meant are left out, and lines are cut where they jump (see `cleaned`);
    the log says so.

    :raises ValueError: with a sentence naming the file, if it cannot be used.
    :raises OSError: if it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f'there is no route {path}')
    read = _read_bag if path.is_dir() else _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(f'the route {path} is none of {", ".join(_READERS)} or a rosbag2 folder')
    try:
        lines, areas, remarks = cleaned(read(path))
        route = Route(lines, areas)
    except ValueError as error:
        raise ValueError(f'the route {path} cannot be used: {error or "it is damaged"}') from error
    for remark in remarks[:_MOST_REMARKS]:
        _logger.warning('the route %s: %s', path, remark)
    return route


def _read_bag(path: Path) -> FilePlaces:
    """Return the tracks of all NavSatFix topics of a ROS 1 or ROS 2 bag, as far as it is whole."""
    with Bag(path) as bag:
        tracks = _tracks(bag)
        for sentence in (*bag.notes, bag.damage):
            if sentence:
                _logger.warning('%s', sentence)
    if not any(map(len, tracks)):
        raise ValueError('it holds no position (sensor_msgs/NavSatFix with a fix)')
    return FilePlaces(tracks)


def _tracks(bag: Bag) -> list[np.ndarray]:
    """Return the fixes of each topic, without those that say themselves that they are none."""
    tracks: dict[str, list] = {topic: [] for topic, kind in bag.types.items() if kind == _FIX}
    problems: list[str] = []
    for message in bag.messages(tracks):
        try:
            place = _place(message.decoded())
        except (ValueError, TypeError, AttributeError) as error:  # a bag brings its own types
            problems.append(str(error))
            continue
        if place and not is_nowhere(*place[:2]):
            tracks[message.channel.topic].append(place)
    if problems:
        _logger.warning('%d fixes were left out: %s', len(problems), problems[0])
    return [track(fixes) for fixes in tracks.values()]


def _place(fix: Any) -> tuple[float, float, float] | None:
    """Return latitude, longitude and time in s of a NavSatFix, None if it says that it is none."""
    stamp = fix.header.stamp
    time_s = stamp.sec + stamp.nanosec * 1e-9
    return (float(fix.latitude), float(fix.longitude), time_s) if fix.status.status >= 0 else None


_READERS: dict[str, Callable[[Path], FilePlaces]] = {
    '.gpx': read_gpx, **dict.fromkeys(
        ('.geojson', '.json', '.geojsonl', '.geojsonseq', '.geojsons', '.ndjson'), read_geojson),
    '.kml': read_kml, '.kmz': read_kml,
    **dict.fromkeys(('.bag', '.active', '.mcap', '.db3', '.zstd'), _read_bag)}
