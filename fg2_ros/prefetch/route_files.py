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

"""Parsing GPX, GeoJSON and KML files, without a check of the values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
import zipfile
import zlib

import numpy as np

_BOM = b'\xef\xbb\xbf'
_RECORD_SEPARATOR = '\x1e'  # of GeoJSON text sequences (RFC 8142)
_LARGEST_KML = 200_000_000  # bytes, unpacked
_COLLECTIONS = {'FeatureCollection': 'features', 'GeometryCollection': 'geometries'}


@dataclass
class FilePlaces:
    """
    Places in the order of a file; what is not a number is NaN.

    :param tracks: (N, 3) arrays of latitude and longitude in degrees, and time in s.
    :param areas: polygons, each a list of rings, which are like tracks.
    :param problems: a sentence for each part that could not be understood.
    """

    tracks: list[np.ndarray] = field(default_factory=list)
    areas: list[list[np.ndarray]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def track(places: list[tuple[Any, Any, Any]]) -> np.ndarray:
    """Return (latitude, longitude, time) as they are written as an (N, 3) array."""
    return np.array([[_number(value) for value in place] for place in places],
                    float).reshape(-1, 3)


def _number(value: Any) -> float:
    """Return a number, NaN if it is none; some devices write 47,5."""
    try:
        return float(value.replace(',', '.') if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def read_gpx(path: Path) -> FilePlaces:
    """
    Return the tracks, routes and waypoints of GPX 1.0 or 1.1.

    Garmin's programs write the road between two points of a route into an extension of the first.

    :raises ValueError: if it is no GPX.
    """
    root = _xml(path.read_bytes())
    if _tag(root) != 'gpx':
        raise ValueError(f'it is no GPX: its outermost element is {_tag(root)!r}')
    lines = []
    for element in root.iter():
        if _tag(element) == 'rte':
            lines.append([point for point in element.iter() if _tag(point) in ('rtept', 'rpt')])
        elif _tag(element) == 'wpt':
            lines.append([element])
        else:  # a trkseg, or whatever else a program put them into
            lines.append([point for point in element if _tag(point) == 'trkpt'])
    return FilePlaces([track([
        (point.get('lat'), point.get('lon'), _time_s(point)) for point in line])
        for line in lines if line])


def _xml(data: bytes) -> ElementTree.Element:
    try:  # it loads nothing from elsewhere, and expat bounds what entities may grow to
        return ElementTree.fromstring(data.removeprefix(_BOM).lstrip())
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f'it is not well-formed XML ({str(error)[:200]})') from None


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition('}')[2]


def _time_s(point: ElementTree.Element) -> float:
    text = next((part.text for part in point if _tag(part) == 'time'), None)
    try:
        time = datetime.fromisoformat((text or '').strip())
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def read_geojson(path: Path) -> FilePlaces:
    """
    Return all geometries, whatever features, collections and text sequences they lie in.

    :raises ValueError: if it is no GeoJSON.
    """
    found = FilePlaces()
    try:
        for document in _documents(path, found.problems):
            _add_geometry(document, found)
    except RecursionError:
        raise ValueError('its collections are nested too deeply') from None
    return found


def _documents(path: Path, problems: list[str]) -> Iterator[Any]:
    """Yield the JSON document in a file, or those one a line or after record separators."""
    data = path.read_bytes()
    text = data.decode(json.detect_encoding(data))
    try:
        yield json.loads(text)
        return
    except json.JSONDecodeError as error:
        whole = error
    separator = _RECORD_SEPARATOR if _RECORD_SEPARATOR in text else '\n'
    records = [record for record in text.split(separator) if record.strip()]
    count = 0
    for number, record in enumerate(records, 1):
        try:
            document = json.loads(record)
        except json.JSONDecodeError as error:
            problems.append(f'record {number} is no JSON ({error})')
            continue
        if isinstance(document, dict):
            count += 1
            yield document
    if not count:
        raise ValueError(f'it is no JSON ({whole})')


def _add_geometry(item: Any, found: FilePlaces) -> None:
    kind = item.get('type') if isinstance(item, dict) else None
    kind = kind if isinstance(kind, str) else None
    if kind == 'Feature':
        if item.get('geometry') is not None:
            _add_geometry(item['geometry'], found)
    elif kind in _COLLECTIONS:
        for part in _list(item.get(_COLLECTIONS[kind])):
            _add_geometry(part, found)
    elif kind == 'Point':
        found.tracks.append(_positions([item.get('coordinates')]))
    elif kind == 'MultiPoint':
        found.tracks += [_positions([position]) for position in _list(item.get('coordinates'))]
    elif kind == 'LineString':
        found.tracks.append(_positions(item.get('coordinates')))
    elif kind == 'MultiLineString':
        found.tracks += map(_positions, _list(item.get('coordinates')))
    elif kind == 'Polygon':
        found.areas.append(list(map(_positions, _list(item.get('coordinates')))))
    elif kind == 'MultiPolygon':
        found.areas += [list(map(_positions, _list(rings)))
                        for rings in _list(item.get('coordinates'))]
    else:
        found.problems.append(f'{str(kind)[:40]!r} is no GeoJSON type')


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _positions(positions: Any) -> np.ndarray:
    """Return a track of GeoJSON positions, which begin with the longitude."""
    return track([
        (position[1], position[0], None) if isinstance(position, list) and len(position) > 1
        else (None, None, None) for position in _list(positions)])


def read_kml(path: Path) -> FilePlaces:
    """
    Return the points, lines, tracks and polygons of a KML, or of the one in a KMZ.

    :raises ValueError: if it is none.
    """
    root = _xml(_unpacked(path) if zipfile.is_zipfile(path) else path.read_bytes())
    if _tag(root) != 'kml':
        raise ValueError(f'it is no KML: its outermost element is {_tag(root)!r}')
    found = FilePlaces()
    for element in root.iter():
        kind = _tag(element)
        if kind == 'Polygon':
            found.areas.append([_tuples(ring) for ring in element.iter()
                                if _tag(ring) == 'LinearRing'])
        elif kind in ('Point', 'LineString'):
            found.tracks.append(_tuples(element))
        elif kind == 'Track':
            found.tracks.append(_gx_track(element))
    return found


def _unpacked(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((each for each in archive.namelist() if each.lower().endswith('.kml')), '')
            if not name:
                raise ValueError('there is no KML in it')
            if archive.getinfo(name).file_size > _LARGEST_KML:
                raise ValueError(f'{name} in it is larger than {_LARGEST_KML / 1e6:.0f} MB')
            return archive.read(name)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f'it is damaged ({error})') from None


def _tuples(element: ElementTree.Element) -> np.ndarray:
    """Return what stands in the coordinates of a KML geometry: longitude,latitude[,height] ..."""
    text = next((part.text for part in element.iter() if _tag(part) == 'coordinates'), None)
    places = [word.split(',') for word in (text or '').split()]
    return track([(each[1], each[0], None) if len(each) > 1 else (None, None, None)
                  for each in places])


def _gx_track(element: ElementTree.Element) -> np.ndarray:
    places = [(part.text or '').split() for part in element if _tag(part) == 'coord']
    return track([(each[1], each[0], None) if len(each) > 1 else (None, None, None)
                  for each in places])
