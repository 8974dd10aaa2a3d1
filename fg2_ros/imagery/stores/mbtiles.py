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

"""MBTiles files as tile pyramids, read only."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import sqlite3

from fg2_ros.imagery.stores.base import (
    _require_mercator, MAX_ZOOM, plain_text, tile_side, TileLayout, TileStore)
from fg2_ros.imagery.stores.files import FileProblem, WatchedFile
from fg2_ros.imagery.tiles.address import TileId

_BUSY_S = 1.0


class MbtilesStore(TileStore):
    """An MBTiles file, which other processes may write at the same time."""

    def __init__(self, path: Path):
        """Open nothing yet."""
        super().__init__(path)
        self._file = WatchedFile(path, _open_database)
        self._generation: tuple | None = None
        self._layout: TileLayout | None = None

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileStore.layout`."""
        with self._reading() as database:
            version, = database.execute('PRAGMA data_version').fetchone()  # of other connections
            if (database, version) != self._generation:
                self._layout = _database_layout(self.path, database)
                self._generation = database, version
        return self._layout

    def stamp(self, tile: TileId) -> Hashable:
        """Return the file's generation."""
        return self._generation

    def read(self, tile: TileId) -> bytes | None:
        """Return an encoded tile; see `TileStore.read`."""
        with self._reading() as database:
            row = database.execute(
                'SELECT tile_data FROM tiles'
                ' WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?',
                (tile.zoom, tile.x, _south_up(tile))).fetchone()
        return bytes(row[0]) if row and isinstance(row[0], bytes) else None

    def close(self) -> None:
        """Close the database."""
        self._file.drop()
        self._generation = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._file.get()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message quotes damaged names
            self.close()
            raise FileProblem(f'{self.path} cannot be read as MBTiles: {error}') from None


def _open_database(path: Path) -> sqlite3.Connection:
    try:
        return _connected(path, 'mode=ro')
    except sqlite3.OperationalError as error:
        # In write-ahead mode SQLite makes files beside it, even to read; not in a folder that
        # cannot be written. There nobody writes this one either, unless such a file is there.
        cause = error.sqlite_errorcode & 0xFF
        refused = cause in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
        if not refused or Path(f'{path}-wal').exists():
            raise
        return _connected(path, 'immutable=1')


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f'{path.absolute().as_uri()}?{mode}', uri=True, timeout=_BUSY_S,
                               isolation_level=None, check_same_thread=False)
    try:
        database.execute('SELECT 1 FROM tiles LIMIT 1').fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        database.close()
        raise
    return database


def _database_layout(path: Path, database: sqlite3.Connection) -> TileLayout:
    sample = database.execute('SELECT tile_data FROM tiles LIMIT 1').fetchone()
    if sample is None:
        raise FileProblem(f'{path} holds no tiles')
    metadata = _metadata(database)
    if metadata.get('format') in ('pbf', 'mvt'):
        raise FileProblem(f'{path} holds vector tiles, not pictures')
    zooms = _stated_zooms(metadata) or database.execute(
        'SELECT (SELECT min(zoom_level) FROM tiles), (SELECT max(zoom_level) FROM tiles)'
    ).fetchone()
    if not all(isinstance(zoom, int) and 0 <= zoom <= MAX_ZOOM for zoom in zooms):
        raise FileProblem(f'{path} has tiles of no usual zoom: {zooms[0]} to {zooms[1]}')
    tile = sample[0] if isinstance(sample[0], bytes) else b''
    return TileLayout(path.name, tile_side(tile, path), *zooms,
                      plain_text(metadata.get('attribution')), _stated_bounds(metadata))


def _metadata(database: sqlite3.Connection) -> dict[str, str]:
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'metadata'").fetchone():
        return {}
    return dict(database.execute('SELECT name, value FROM metadata').fetchall())


def _stated_zooms(metadata: dict[str, str]) -> tuple[int, int] | None:
    try:
        zooms = int(metadata['minzoom']), int(metadata['maxzoom'])
    except (KeyError, TypeError, ValueError):
        return None
    return zooms if 0 <= zooms[0] <= zooms[1] <= MAX_ZOOM else None


def _stated_bounds(metadata: dict[str, str]) -> tuple[float, ...]:
    try:
        bounds = tuple(map(float, metadata['bounds'].split(',')))
    except (AttributeError, KeyError, ValueError):
        return ()
    return bounds if len(bounds) == 4 else ()


def _south_up(tile: TileId) -> int:
    """Return the row of a tile, counted from the south."""
    return 2 ** tile.zoom - 1 - tile.y


def _numbers(folder: Path) -> Iterator[int]:
    """Yield the folders inside a folder whose names are numbers."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.isdecimal() and entry.is_dir():
                yield int(entry.name)


def _counts_from_south(folder: Path) -> bool:
    """
    Return whether the files beside the tiles say that rows count from the south.

    gdal2tiles writes a tilemapresource.xml for these only; metadata.json and tiles.json have a
    ``scheme``.

    :raises FileProblem: if the tiles are not in Web Mercator.
    """
    if (folder / 'tilemapresource.xml').exists():
        _require_mercator(folder / 'tilemapresource.xml')
        return True
    for name in ('metadata.json', 'tiles.json'):
        try:
            description = json.loads((folder / name).read_bytes())
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(description, dict) and 'scheme' in description:
            return description['scheme'] == 'tms'
    return False
