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

"""The size limit of a cache file, SQLite's log included, and eviction."""

from __future__ import annotations

from pathlib import Path
import sqlite3
import time

from fg2_ros.imagery.cache import file
from fg2_ros.imagery.tiles.mbtiles import IS_TILE, log_bytes

_LOG_PAGES = 1000  # at which SQLite moves its log into the file, where the bound allows it
_SHRINKING_S = 2.0  # longest time that opening a file takes to get it below its bound
# Shares of the bound: SQLite's log may take what the file leaves, however it is written to.
_FILE_SHARE, _LOG_SHARE, _LARGEST_TILE = 7 / 8, 1 / 32, 1 / 8
_EVICTED_AT_ONCE, _SHRUNK_AT_ONCE = 1 / 64, 1 / 4


class Room:
    """
    The size limit of a file.

    :param path: the file.
    :param max_bytes: bound of what it takes on the disk.
    """

    def __init__(self, path: Path, max_bytes: int):
        self._path = path
        self._max_bytes = max_bytes

    def holds(self, tile_bytes: int) -> bool:
        """Return whether there is room for a tile of a size at all."""
        return tile_bytes <= _LARGEST_TILE * self._max_bytes

    def bound(self, database: sqlite3.Connection) -> None:
        """Bound the log, and bring the file below a bound that is lower than it was."""
        page_bytes = _pragma(database, 'page_size')
        log_pages = min(_LOG_PAGES, max(1, int(_LOG_SHARE * self._max_bytes) // page_bytes))
        database.execute(f'PRAGMA wal_autocheckpoint = {log_pages}')
        database.execute(f'PRAGMA journal_size_limit = {log_pages * page_bytes}')
        give_up_s = time.monotonic() + _SHRINKING_S
        while self._excess(database) > 0 and time.monotonic() < give_up_s:
            with file.transaction(database):
                self.make(database, 0, _SHRUNK_AT_ONCE)
        self.bound_log(database)

    def bound_log(self, database: sqlite3.Connection) -> None:
        """Move the log into the file if it is too long; this waits for readers."""
        if log_bytes(self._path) > 2 * _LOG_SHARE * self._max_bytes:
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()

    def make(self, database: sqlite3.Connection, size: int,
             share: float = _EVICTED_AT_ONCE) -> None:
        """
        Evict the least recently used tiles so that this many more bytes fit.

        A file that is far above its bound gets there in steps: SQLite's log has to hold each.

        :param share: of the bound, in a step.
        """
        page_bytes = _pragma(database, 'page_size')
        step = int(share * self._max_bytes)
        needed = size + 16 * page_bytes  # the trees around the tiles grow, too
        if self._excess(database) + needed > _pragma(database, 'freelist_count') * page_bytes:
            _drop_oldest(database, size + step)
        if self._excess(database) > 0:
            database.execute(f'PRAGMA incremental_vacuum({step // page_bytes + 1})').fetchall()

    def _excess(self, database: sqlite3.Connection) -> int:
        """Return by how many bytes the file is larger than it may be, negative if it is not."""
        file_bytes = _pragma(database, 'page_count') * _pragma(database, 'page_size')
        return file_bytes - int(_FILE_SHARE * self._max_bytes)


def delete_tile(database: sqlite3.Connection, row: tuple[int, int, int]) -> None:
    """Delete a tile and what is known of it."""
    for table in ('tiles', 'fg2_tiles'):
        database.execute(f'DELETE FROM {table} WHERE {IS_TILE}', row)


def _drop_oldest(database: sqlite3.Connection, size: int) -> None:
    oldest = database.execute(
        'SELECT zoom_level, tile_column, tile_row, bytes FROM fg2_tiles ORDER BY last_used'
        ' LIMIT 1000').fetchall()
    for *row, tile_bytes in oldest:
        if size <= 0:
            break
        delete_tile(database, tuple(row))
        size -= tile_bytes


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return database.execute(f'PRAGMA {name}').fetchone()[0]
