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

"""Where a vehicle will drive: the lines and areas of a GPX, GeoJSON or bag file, or of a box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
import json
import logging
from pathlib import Path
from xml.etree import ElementTree

from fg2_ros.bags.bag import Bag
from fg2_ros.geometry.frames import is_nowhere, require_geodetic
import numpy as np
from pyproj import Geod

WGS84 = Geod(ellps='WGS84')
_FASTEST_MPS = 100.0  # fixes further apart than this speed explains are not joined
_JITTER_M = 50.0
_FIX = 'sensor_msgs/msg/NavSatFix'
_WIDEST_EDGE_DEG = 90.0  # a longer edge of a box would be taken the other way round

_log = logging.getLogger(__name__)


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
    Return the route in a .gpx or .geojson file, or in a bag of ROS 1 or ROS 2.

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
        return read(path)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f'the route {path} cannot be used: {error or "it is damaged"}') from error


def _read_gpx(path: Path) -> Route:
    """Return the tracks, routes and waypoints; GPX 1.0 and 1.1."""
    try:  # it loads nothing from elsewhere, and expat bounds what entities may grow to
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f'it is not well-formed XML ({error})') from None
    if _tag(root) != 'gpx':
        raise ValueError(f'it is no GPX: its outermost element is {_tag(root)!r}')
    lines = [
        [(float(point.attrib['lat']), float(point.attrib['lon']))
         for point in parent if _tag(point) in ('trkpt', 'rtept')]
        for parent in root.iter() if _tag(parent) in ('trkseg', 'rte')]
    lines += [
        [(float(point.attrib['lat']), float(point.attrib['lon']))]
        for point in root if _tag(point) == 'wpt']
    return Route(tuple(np.array(line) for line in lines if line))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition('}')[2]


def _read_geojson(path: Path) -> Route:
    """Return all geometries, whatever features and collections they lie in."""
    try:
        geometries = list(_geometries(json.loads(path.read_text('utf-8'))))
    except RecursionError:
        raise ValueError('its collections are nested too deeply') from None
    lines = tuple(_places(line) for kind, lines in geometries if kind != 'Polygon'
                  for line in lines)
    areas = tuple(
        tuple(_places(ring) for ring in rings) for kind, rings in geometries if kind == 'Polygon')
    return Route(tuple(line for line in lines if len(line)),
                 tuple(area for area in areas if len(area) and len(area[0])))


def _geometries(item: dict) -> Iterator[tuple[str, list]]:
    """Yield (kind, list of lines) with 'Polygon' for areas and 'LineString' for all others."""
    kind = item['type'] if isinstance(item, dict) else None
    if kind == 'Feature':
        yield from _geometries(item['geometry']) if item['geometry'] else ()
    elif kind in ('FeatureCollection', 'GeometryCollection'):
        for part in item['features' if kind == 'FeatureCollection' else 'geometries']:
            yield from _geometries(part)
    elif kind in _AS_LINES:
        yield 'LineString', _AS_LINES[kind](item['coordinates'])
    elif kind in ('Polygon', 'MultiPolygon'):
        polygons = item['coordinates'] if kind == 'MultiPolygon' else [item['coordinates']]
        yield from (('Polygon', rings) for rings in polygons)
    else:
        raise ValueError(f'{kind!r} is no GeoJSON type')


_AS_LINES: dict[str, Callable[[list], list]] = {
    'Point': lambda position: [[position]],
    'MultiPoint': lambda positions: [[position] for position in positions],
    'LineString': lambda positions: [positions],
    'MultiLineString': lambda lines: lines}


def _places(positions: list) -> np.ndarray:
    """Return (N, 2) latitude and longitude of GeoJSON positions, which begin with longitude."""
    return np.array([(float(position[1]), float(position[0])) for position in positions])


def _read_bag(path: Path) -> Route:
    """Return the tracks of all NavSatFix topics of a ROS 1 or ROS 2 bag."""
    with Bag(path) as bag:
        tracks = _tracks(bag)
        for sentence in (*bag.notes, bag.damage):
            if sentence:
                _log.warning('%s', sentence)
    lines = [line for track in tracks.values() for line in _joined(track)]
    if not lines:
        raise ValueError('it holds no position (sensor_msgs/NavSatFix with a fix)')
    return Route(tuple(lines))


def _tracks(bag: Bag) -> dict[str, list[tuple[float, float, float, int]]]:
    """Return (time s, latitude, longitude, status) of all fixes, by topic."""
    tracks: dict[str, list] = {topic: [] for topic, kind in bag.types.items() if kind == _FIX}
    for message in bag.messages(tracks):
        fix = message.decoded()
        stamp = fix.header.stamp
        if not is_nowhere(fix.latitude, fix.longitude):
            tracks[message.channel.topic].append((
                stamp.sec + stamp.nanosec * 1e-9, fix.latitude, fix.longitude, fix.status.status))
    return tracks


def _joined(track: Iterable[tuple[float, float, float, int]]) -> Iterator[np.ndarray]:
    """Yield the lines along (time s, latitude, longitude, status), cut where a fix jumps."""
    fixes = np.array([
        fix[:3] for fix in track if fix[3] >= 0 and np.isfinite(fix).all()]).reshape(-1, 3)
    if not len(fixes):
        return
    time_s, latitude, longitude = fixes.T
    _, _, step_m = WGS84.inv(longitude[:-1], latitude[:-1], longitude[1:], latitude[1:])
    jumps = step_m > _JITTER_M + _FASTEST_MPS * np.abs(np.diff(time_s))
    yield from np.split(fixes[:, 1:], np.flatnonzero(jumps) + 1)


_READERS: dict[str, Callable[[Path], Route]] = {
    '.gpx': _read_gpx, '.geojson': _read_geojson, '.json': _read_geojson, '.bag': _read_bag,
    '.mcap': _read_bag, '.db3': _read_bag,
    '.zstd': _read_bag, '.active': _read_bag}
