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

"""The MBTiles format: opening files, tile coordinates, metadata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import sqlite3
import time

from fg2_ros.imagery.tiles.address import flipped_row, TileId

BUSY_S = 2.0  # longest wait for another process that writes
LARGEST_TILE_BYTES = 1 << 24  # that is read
IS_TILE = 'zoom_level = ? AND tile_column = ? AND tile_row = ?'
_LARGEST_VALUE_BYTES = 1 << 26  # that a query may make
_MOST_METADATA, _LONGEST_METADATA = 1000, 100_000


def row_of(tile: TileId) -> tuple[int, int, int]:
    """Return (zoom_level, tile_column, tile_row): MBTiles counts rows from the south."""
    return tile.zoom, tile.x, flipped_row(tile.zoom, tile.y)


def connect(path: Path, options: str) -> sqlite3.Connection:
    """Return a connection for one thread at a time, whichever; options as in SQLite's URIs."""
    return sqlite3.connect(f'{path.absolute().as_uri()}?{options}', uri=True, timeout=BUSY_S,
                           isolation_level=None, check_same_thread=False)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """
    Open a file to be read, also where nothing can be written and while others write it.

    :raises sqlite3.Error: if it cannot be read.
    """
    try:
        return _readable(path, 'mode=ro')
    except sqlite3.OperationalError as error:
        # In write-ahead mode SQLite wants to make files beside it. Without a log that is pending
        # the file itself is complete, and unless it is in use nobody changes it.
        if log_bytes(path) or is_busy(error):
            raise
        return _readable(path, 'mode=ro&immutable=1')


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether an error says that another process would not let go of the file."""
    return error_kind(error) == sqlite3.SQLITE_BUSY


def error_kind(error: sqlite3.Error) -> int:
    """Return SQLite's code of an error, without the details."""
    return getattr(error, 'sqlite_errorcode', 0) & 0xff


def log_bytes(path: Path) -> int:
    """Return the size of a file's write-ahead log."""
    try:
        return Path(f'{path}-wal').stat().st_size
    except OSError:
        return 0


def tables_of(database: sqlite3.Connection, views: bool = True) -> set[str]:
    """Return the names of tables, and of views, which take as long as they like."""
    return {name for name, kind in database.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
        if views or kind == 'table'}


def metadata_of(database: sqlite3.Connection) -> dict[str, str]:
    """Return what a file says of itself, nothing if it does not."""
    if 'metadata' not in tables_of(database):
        return {}
    return {str(name): str(value) for name, value in database.execute(
        f'SELECT name, substr(value, 1, {_LONGEST_METADATA}) FROM metadata'
        f' LIMIT {_MOST_METADATA}')}


def encoded_tile(database: sqlite3.Connection, tile: TileId,
                 rows_from_north: bool = False) -> bytes | None:
    """
    Return a tile, None if it is not there.

    :param rows_from_north: whether the file counts rows as XYZ addresses do.
    """
    row = database.execute(
        f'SELECT tile_data FROM tiles WHERE {IS_TILE} AND length(tile_data) <= ?',
        (*(tile if rows_from_north else row_of(tile)), LARGEST_TILE_BYTES)).fetchone()
    return row[0] if row and isinstance(row[0], bytes) and row[0] else None


@contextmanager
def within(database: sqlite3.Connection, longest_s: float) -> Iterator[None]:
    """
    Break off what a database is asked meanwhile when it takes too long: a view may never end.

    :raises sqlite3.OperationalError: if it does.
    """
    end_s = time.monotonic() + longest_s
    database.set_progress_handler(lambda: time.monotonic() > end_s, 10_000)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error_kind(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        raise sqlite3.OperationalError(
            f'to look into it takes longer than {longest_s:.0f} s; an index of tiles on '
            'zoom_level, tile_column and tile_row makes it fast') from None
    finally:
        database.set_progress_handler(None, 0)


def _readable(path: Path, options: str) -> sqlite3.Connection:
    database = connect(path, options)
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE_BYTES)
        database.execute('SELECT count(*) FROM sqlite_master').fetchone()
    except BaseException:
        database.close()
        raise
    return database
