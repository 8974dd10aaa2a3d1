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

"""The index of an MBTiles file, of a cache or of any other, without reading tile data."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
import math
from pathlib import Path
import sqlite3
import time

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import MAX_ZOOM
from fg2_ros.imagery.stores.mbtiles_contents import contents_of, MbtilesContents
from fg2_ros.imagery.tiles.address import flipped_row, TileId, TileLayout
from fg2_ros.imagery.tiles.mbtiles import (
    connect_read_only, encoded_tile, metadata_of, tables_of, within)
import numpy as np

_USUAL_TILE_PX = 256
_FOR_EVER = math.inf
_LONGEST_S, _SLOWEST_BYTES_PER_S = 5.0, 10e6  # of reading it: views may never end
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class ZoomIndex:
    """
    The N tiles of one zoom.

    :param zoom: of the tiles.
    :param keys: (N,) int64, rising: row from the north times 2 ** zoom, plus column.
    :param sizes: (N,) bytes of the encoded tiles.
    :param expires: (N,) Unix time until which they are current; infinite if nothing is known.
    """

    zoom: int
    keys: np.ndarray
    sizes: np.ndarray
    expires: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Return the columns of the tiles."""
        return self.keys % 2 ** self.zoom

    @property
    def rows(self) -> np.ndarray:
        """Return the rows of the tiles, counted from the north."""
        return self.keys // 2 ** self.zoom

    @property
    def fresh(self) -> np.ndarray:
        """Return which tiles need not be asked for again now."""
        return self.expires > time.time()

    def has(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return which of some tiles are there."""
        return np.isin(np.asarray(rows) * 2 ** self.zoom + columns, self.keys)


@dataclass(frozen=True)
class MbtilesIndex:
    """
    The tiles of a file.

    :param path: of the file.
    :param metadata: what the file says of itself, as MBTiles names it.
    :param zooms: those with tiles, coarsest first.
    :param absent: tiles that the source is known to lack, to be believed now.
    :param tile_px: side of a tile in pixels.
    :param rows_from_north: whether rows count from the north, unlike the specification's.
    """

    path: Path
    metadata: dict[str, str] = field(default_factory=dict)
    zooms: dict[int, ZoomIndex] = field(default_factory=dict)
    absent: frozenset[TileId] = frozenset()
    tile_px: int = _USUAL_TILE_PX
    rows_from_north: bool = False

    @property
    def layout(self) -> TileLayout:
        """Return what it holds, without bounds: what is not there is missing."""
        return TileLayout(str(self.path), self.tile_px, min_zoom=min(self.zooms, default=0),
                          max_zoom=max(self.zooms, default=0))

    def at(self, zoom: int) -> ZoomIndex:
        """Return the tiles of a zoom, none if there is no such zoom."""
        nothing = ZoomIndex(zoom, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return self.zooms.get(zoom, nothing)


def read_mbtiles_index(path: str | Path) -> MbtilesIndex:
    """
    Return what an MBTiles file holds; other processes may be writing it meanwhile.

    :raises ValueError: if there is no such file, or it is none.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'there is no tile file {path}')
    longest_s = _LONGEST_S + path.stat().st_size / _SLOWEST_BYTES_PER_S
    try:
        with closing(connect_read_only(path)) as database, within(database, longest_s):
            return _read(database, path)
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f'{path} is not a usable MBTiles file: {error}') from None


def tiles_of(index: MbtilesIndex, tiles: list[TileId]) -> dict[TileId, bytes]:
    """Return those of some tiles that are in a file, encoded."""
    with closing(connect_read_only(index.path)) as database, within(database, _LONGEST_S):
        found = {tile: encoded_tile(database, tile, index.rows_from_north) for tile in tiles}
    return {tile: data for tile, data in found.items() if data is not None}


def _read(database: sqlite3.Connection, path: Path) -> MbtilesIndex:
    tables = tables_of(database)
    if 'tiles' not in tables:
        raise ValueError('it has no table of tiles')
    contents = _contents(database, path)
    return MbtilesIndex(
        path, metadata_of(database),
        _by_zoom(_cells(database, 'fg2_tiles' in tables), contents.rows_from_north),
        _absent(database) if 'fg2_absent' in tables else frozenset(), contents.tile_px,
        contents.rows_from_north)


def _contents(database: sqlite3.Connection, path: Path) -> MbtilesContents:
    try:
        return contents_of(database, path)
    except FileProblem:  # nothing yet, or vector tiles for instance: they lie somewhere as well
        return MbtilesContents((), _USUAL_TILE_PX, False, None, '')


def _cells(database: sqlite3.Connection, ours: bool) -> np.ndarray:
    """Return the holdings in (N, 5): zoom, column, row, bytes, expiry or NaN."""
    beside = 'LEFT JOIN fg2_tiles USING (zoom_level, tile_column, tile_row)' if ours else ''
    cursor = database.execute(
        f'SELECT zoom_level, tile_column, tile_row, length(tile_data), '
        f'{"coalesce(expires, 0)" if ours else "NULL"} FROM tiles {beside} '
        'WHERE length(tile_data) > 0')
    parts = [np.zeros((0, 5))]
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        parts.append(np.array(rows, float))
    return np.concatenate(parts)


def _by_zoom(cells: np.ndarray, rows_from_north: bool) -> dict[int, ZoomIndex]:
    """Return the holdings of `_cells` zoom by zoom."""
    usual = np.isin(cells[:, 0], np.arange(MAX_ZOOM + 1))
    world = 2 ** np.where(usual, cells[:, 0], 0)
    on_earth = usual & np.all((cells[:, 1:3] >= 0) & (cells[:, 1:3] < world[:, None]), axis=1)
    holdings = {}
    for zoom in np.unique(cells[on_earth, 0]).astype(int).tolist():
        _, column, row, size, expires = cells[on_earth & (cells[:, 0] == zoom)].T
        from_north = row if rows_from_north else flipped_row(zoom, row)
        keys = (from_north * 2 ** zoom + column).astype(np.int64)
        order = np.argsort(keys)
        holdings[zoom] = ZoomIndex(
            zoom, keys[order], size[order].astype(np.int64),
            np.nan_to_num(expires[order], nan=_FOR_EVER))
    return holdings


def _absent(database: sqlite3.Connection) -> frozenset[TileId]:
    rows = database.execute(
        'SELECT zoom_level, tile_column, tile_row FROM fg2_absent WHERE expires > ?',
        (time.time(),))
    return frozenset(TileId(zoom, x, flipped_row(zoom, row)) for zoom, x, row in rows)
