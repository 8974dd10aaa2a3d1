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

"""The schema of a tile cache: MBTiles 1.3, with own tables beside it."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
from pathlib import Path
import sqlite3

from fg2_ros.geometry import mercator
from fg2_ros.imagery.cache import file, leases
from fg2_ros.imagery.cache.file import CacheError
from fg2_ros.imagery.tiles.address import host_of, TileId
from fg2_ros.imagery.tiles.decoding import tile_format
from fg2_ros.imagery.tiles.mbtiles import IS_TILE, tables_of

_MBTILES_ID = 0x4D504258  # 'MPBX', registered for MBTiles in SQLite's magic file
_TABLES = """
    CREATE TABLE IF NOT EXISTS metadata (name TEXT NOT NULL PRIMARY KEY, value TEXT);
    CREATE TABLE IF NOT EXISTS tiles (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
    CREATE TABLE IF NOT EXISTS fg2_tiles (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER,
        etag TEXT, expires REAL, last_used REAL, bytes INTEGER, modified TEXT, checksum INTEGER,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
    CREATE INDEX IF NOT EXISTS fg2_last_used ON fg2_tiles (last_used);
    CREATE TABLE IF NOT EXISTS fg2_absent (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, what TEXT, expires REAL,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
""" + leases.TABLE
_LATER_COLUMNS = {'modified': 'TEXT', 'checksum': 'INTEGER'}  # files of version 0.1 lack them

SELECT_TILE = (
    'SELECT tile_data, etag, expires, modified, checksum FROM tiles LEFT JOIN fg2_tiles'
    ' USING (zoom_level, tile_column, tile_row)'
    f' WHERE {IS_TILE}')


def owner_of(source: str) -> str:
    """
    Return how a file names the source whose tiles it holds: host and SHA-256 of the template.

    An API key may stand anywhere in a template. Older files name the template itself.
    """
    return f'{host_of(source)} {hashlib.sha256(source.encode()).hexdigest()}'


def prepare(database: sqlite3.Connection, path: Path, metadata: Mapping[str, str]) -> None:
    """
    Make a file a tile cache, or see that it is the one of a source.

    :param metadata: what it says of itself; 'fg2_source' is whose tiles it holds, see `owner_of`.
    :raises CacheError: if it is something else.
    """
    tables = tables_of(database)
    if not tables:
        database.execute('PRAGMA auto_vacuum = INCREMENTAL')  # so that eviction can shrink it
        database.execute(f'PRAGMA application_id = {_MBTILES_ID}')
    elif 'fg2_tiles' not in tables:
        raise CacheError(f'{path} is not a tile cache of this package: it is left as it is')
    file.use_write_ahead_log(database)
    database.execute('PRAGMA synchronous = NORMAL')
    database.execute('PRAGMA secure_delete = ON')  # the name of an older file may hold a key
    with file.transaction(database):  # so that of several that begin, one makes it
        for statement in _TABLES.split(';'):
            database.execute(statement)
        _add_later_columns(database)
        _describe_source(database, path, metadata)
        identify(database, path, metadata)
        database.execute("UPDATE metadata SET value = ? WHERE name = 'fg2_source' AND value = ?",
                         (owner_of(metadata['fg2_source']), metadata['fg2_source']))
    database.execute('PRAGMA secure_delete = OFF')


def identify(database: sqlite3.Connection, path: Path, metadata: Mapping[str, str]) -> None:
    """
    See that a file is the tile cache of a source and can be read.

    :raises CacheError: if it is not.
    """
    if not {'metadata', 'fg2_tiles', 'fg2_absent'} <= tables_of(database):
        raise CacheError(f'{path} is not a tile cache of this version: it is left as it is')
    row = database.execute("SELECT value FROM metadata WHERE name = 'fg2_source'").fetchone()
    owner = str(row[0]) if row else '?'
    if owner not in (owner_of(metadata['fg2_source']), metadata['fg2_source']):
        raise CacheError(f'the tile cache {path} holds the tiles of another source'
                         f' ({_host(owner)}): give each source a file of its own')
    database.execute(SELECT_TILE, (0, 0, 0)).fetchone()


def describe(database: sqlite3.Connection, tile: TileId, data: bytes) -> None:
    """Let the metadata cover a new tile: format, zooms and bounds, as MBTiles wants them."""
    known = dict(database.execute('SELECT name, value FROM metadata'))
    try:
        described = _covering(tile, known)
    except ValueError:  # edited by somebody: begin anew
        described = _covering(tile, {})
    if 'minzoom' not in known:
        described['format'] = tile_format(data)
    database.executemany('INSERT OR REPLACE INTO metadata VALUES (?, ?)',
                         described.items() - known.items())


def _covering(tile: TileId, known: Mapping[str, str]) -> dict[str, str]:
    zooms = tile.zoom, int(known.get('minzoom', tile.zoom)), int(known.get('maxzoom', tile.zoom))
    west, south, east, north = _united(known.get('bounds'), _bounds(tile))
    return {
        'minzoom': str(min(zooms)), 'maxzoom': str(max(zooms)),
        'bounds': f'{west:.7f},{south:.7f},{east:.7f},{north:.7f}',
        'center': f'{(west + east) / 2:.7f},{(south + north) / 2:.7f},{max(zooms)}'}


def _host(owner: str) -> str:
    """Return the host of how a file names a source, see `owner_of`."""
    return host_of(owner) if '://' in owner else owner.partition(' ')[0]


def _add_later_columns(database: sqlite3.Connection) -> None:
    present = {row[1] for row in database.execute('PRAGMA table_info(fg2_tiles)')}
    for name in _LATER_COLUMNS.keys() - present:
        database.execute(f'ALTER TABLE fg2_tiles ADD COLUMN {name} {_LATER_COLUMNS[name]}')


def _describe_source(database: sqlite3.Connection, path: Path,
                     metadata: Mapping[str, str]) -> None:
    described = {'name': path.stem, 'type': 'baselayer', 'version': '1.0', 'format': 'png',
                 'description': 'Aerial tiles cached by fg2_ros', **metadata,
                 'fg2_source': owner_of(metadata['fg2_source'])}
    database.executemany('INSERT OR IGNORE INTO metadata VALUES (?, ?)',
                         [item for item in described.items() if item[1]])


def _bounds(tile: TileId) -> tuple[float, float, float, float]:
    """Return west, south, east, north of a tile in degrees."""
    latitudes, longitudes = mercator.geodetic_from_world_pixel(
        [tile.x, tile.x + 1], [tile.y + 1, tile.y], tile.zoom, tile_px=1)
    return longitudes[0], latitudes[0], longitudes[1], latitudes[1]


def _united(bounds: str | None, added: tuple[float, ...]) -> tuple[float, ...]:
    if bounds is None:
        return added
    west, south, east, north = map(float, bounds.split(','))
    return min(added[0], west), min(added[1], south), max(added[2], east), max(added[3], north)
