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

"""The contents of an MBTiles file by its tiles, as its metadata is often wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import logging
from pathlib import Path
import sqlite3

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import believable, first_usual_side, MAX_ZOOM, plain_text
from fg2_ros.imagery.tiles.address import flipped_row
from fg2_ros.imagery.tiles.mbtiles import LARGEST_TILE_BYTES, metadata_of
import numpy as np

_SAMPLES = 200  # tiles of a zoom that are looked at until one is a usual picture
_CORNER = 16  # tiles from each end of a zoom that show whether stated bounds are true
_HAS_DATA = f'length(tile_data) BETWEEN 1 AND {LARGEST_TILE_BYTES}'
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MbtilesContents:
    """
    What is in an MBTiles file.

    :param zooms: that have tiles, rising.
    :param tile_px: side of a tile in pixels.
    :param rows_from_north: whether rows count from the north, unlike the specification's.
    :param bounds: west, south, east, north in degrees; None if it states none that are true.
    :param attribution: whom it says it belongs to.
    """

    zooms: tuple[int, ...]
    tile_px: int
    rows_from_north: bool
    bounds: tuple[float, ...] | None
    attribution: str


def contents_of(database: sqlite3.Connection, path: Path) -> MbtilesContents:
    """
    Return what is in an MBTiles file.

    :param database: the file.
    :param path: what messages call it.
    :raises FileProblem: if there are no pictures in it.
    :raises sqlite3.Error: if it cannot be read.
    """
    metadata = metadata_of(database)
    zooms = _zooms(database)
    if not zooms:
        raise FileProblem(_without_zooms(database, path))
    try:
        tile_px = first_usual_side(_sample(database, zooms), path)
    except FileProblem:
        if metadata.get('format') in ('pbf', 'mvt'):
            raise FileProblem(f'{path} holds vector tiles, not pictures') from None
        raise
    bounds = _stated_bounds(metadata)
    columns, rows = _corners(database, zooms[-1])
    from_north = _rows_from_north(
        metadata.get('scheme') == 'xyz', bounds, zooms[-1], columns, rows)
    if not believable(bounds, zooms[-1], columns,
                      rows if from_north else flipped_row(zooms[-1], rows)):
        bounds = None
    return MbtilesContents(
        zooms, tile_px, from_north, bounds, plain_text(metadata.get('attribution')))


def say_what_is_odd(contents: MbtilesContents, path: Path) -> None:
    """Log in what a file differs from the specification."""
    if contents.rows_from_north:
        _logger.warning('%s counts its rows from the north, unlike MBTiles: it is read so', path)


def _zooms(database: sqlite3.Connection) -> tuple[int, ...]:
    there = 'SELECT 1 FROM tiles WHERE zoom_level = ? LIMIT 1'
    return tuple(zoom for zoom in range(MAX_ZOOM + 1)
                 if database.execute(there, (zoom,)).fetchone())


def _without_zooms(database: sqlite3.Connection, path: Path) -> str:
    row = database.execute('SELECT zoom_level FROM tiles LIMIT 1').fetchone()
    if row is None:
        return f'{path} holds no tiles'
    return f'{path} has tiles of no usual zoom: {row[0]!s:.20}'


def _sample(database: sqlite3.Connection, zooms: tuple[int, ...]) -> Iterator[bytes]:
    """Yield encoded tiles, those of the finest zoom first."""
    for zoom in reversed(zooms):
        for data, in database.execute(
                f'SELECT tile_data FROM tiles WHERE zoom_level = ? AND {_HAS_DATA}'
                f' LIMIT {_SAMPLES}', (zoom,)):
            yield data if isinstance(data, bytes) else b''


def _corners(database: sqlite3.Connection, zoom: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns and rows of some tiles in the west and in the east of a zoom."""
    cells = [cell for order in ('ASC', 'DESC') for cell in database.execute(
        'SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ?1 AND tile_column BETWEEN 0'
        f' AND ?2 AND tile_row BETWEEN 0 AND ?2 ORDER BY tile_column {order} LIMIT {_CORNER}',
        (zoom, 2 ** zoom - 1))]
    columns, rows = np.array(cells, np.int64).reshape(-1, 2).T
    return columns, rows


def _rows_from_north(stated: bool, bounds: tuple[float, ...] | None, zoom: int, columns,
                     rows) -> bool:
    """Return whether rows are counted from the north: bounds that fit only so decide."""
    from_south = believable(bounds, zoom, columns, flipped_row(zoom, rows))
    from_north = believable(bounds, zoom, columns, rows)
    return from_north if from_north != from_south else stated


def _stated_bounds(metadata: dict[str, str]) -> tuple[float, ...] | None:
    try:
        bounds = tuple(map(float, metadata['bounds'].split(',')))
    except (KeyError, ValueError):
        return None
    return bounds if len(bounds) == 4 else None
