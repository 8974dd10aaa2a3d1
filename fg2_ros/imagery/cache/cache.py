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

"""A bounded tile cache on disk: an MBTiles 1.3 file with expiry, ETag and last use beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
import logging
from pathlib import Path
import sqlite3
import threading
import time
from typing import TypeVar
import zlib

from fg2_ros.imagery.cache import file, leases
from fg2_ros.imagery.cache.file import CacheError
from fg2_ros.imagery.cache.schema import describe, identify, prepare, SELECT_TILE
from fg2_ros.imagery.cache.size_limit import delete_tile, Room
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.status import CacheStatus
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.mbtiles import connect_read_only, is_busy, IS_TILE, row_of

__all__ = ['CachedAbsence', 'CachedTile', 'CacheError', 'TileCache']

_WRITE_PAUSE_S = 60.0  # after the disk was full
_SET_ASIDE_AT_MOST = 3  # a disk that damages one file after the other is not to be filled
_USES_KEPT_IN_MEMORY = 256
_ABSENCES_KEPT = 20_000
_logger = logging.getLogger(__name__)
_T = TypeVar('_T')


@dataclass(frozen=True)
class CachedTile:
    """
    A tile in the cache.

    :param data: the encoded image.
    :param etag: the server's ETag, or ''.
    :param expires: Unix time from which the server should be asked whether it changed.
    :param modified: the server's Last-Modified, or ''.
    """

    data: bytes
    etag: str
    expires: float
    modified: str = ''


@dataclass(frozen=True)
class CachedAbsence:
    """
    The answer of a server that it has no tile there.

    :param what: the answer, such as 'answered 404'.
    :param expires: Unix time until which that holds.
    """

    what: str
    expires: float


class TileCache:
    """
    A tile cache file; any number of threads, and several processes, may share it.

    Every change is one SQLite transaction in write-ahead mode, so a process may be killed at any
    moment. Problems while in use are logged and otherwise look like tiles that are not there: on a
    full disk nothing more is written, a file that turns out to be damaged is renamed and a new
    one begun. A file that cannot be written is used to read from.

    :param path: the MBTiles file; made, with its folder, if it does not exist.
    :param max_bytes: bound of what it takes on the disk; what was not used for longest goes first.
    :param source: the address that the tiles are from; a file with tiles from elsewhere is not
        touched.
    :param attribution: whom the file names as the tiles' owner.
    :raises CacheError: if the file cannot be used.
    """

    def __init__(self, path: str | Path, max_bytes: int, source: str, attribution: str = ''):
        self.path = Path(path)
        self._room = Room(self.path, max_bytes)
        self._metadata = {'fg2_source': source, 'attribution': attribution}
        self._owner = leases.new_owner()
        self._lock = threading.Lock()
        self._used: dict[TileId, float] = {}
        self._last_use = 0.0  # Unix time, of any tile
        self._notices = LogThrottle(_logger)
        self._database: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._obstacle = ''  # why nothing can be written
        self._read_only = False
        self._write_again_s = 0.0  # monotonic
        self._set_aside = 0
        self._open()

    @property
    def status(self) -> CacheStatus:
        """Return whether it is read and written."""
        return CacheStatus(self.path, self._database is not None, self._obstacle)

    def get(self, tile: TileId) -> CachedTile | None:
        """Return a tile, expired or not, or None if it is not there."""
        row = self._attempt(
            'read', lambda database: database.execute(SELECT_TILE, row_of(tile)).fetchone())
        if row is None:
            return None
        data, etag, expires, modified, checksum = row
        if not isinstance(data, bytes) or checksum not in (None, zlib.crc32(data)):
            self._notices.warn(f'the tile cache {self.path} had damaged tiles')
            self.remove(tile)
            return None
        self._note_use(tile)
        return CachedTile(data, etag or '', expires or 0.0, modified or '')

    def get_absence(self, tile: TileId) -> CachedAbsence | None:
        """Return the answer that the server has no tile there, unless it has expired."""
        row = self._attempt('read', lambda database: database.execute(
            f'SELECT what, expires FROM fg2_absent WHERE {IS_TILE} AND expires > ?',
            (*row_of(tile), time.time())).fetchone())
        return CachedAbsence(str(row[0]), float(row[1])) if row else None

    def put(self, tile: TileId, data: bytes, etag: str, expires: float,
            modified: str = '') -> None:
        """Store a tile that is known to decode, and evict others if there is no room."""
        if not self._room.holds(len(data)):
            self._notices.warn(f'the tile cache {self.path} is too small for tiles of this size')
            return

        def write(database: sqlite3.Connection) -> None:
            row = row_of(tile)
            self._write_uses(database)
            self._room.make(database, len(data))
            database.execute('INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)', (*row, data))
            database.execute(
                'INSERT OR REPLACE INTO fg2_tiles (zoom_level, tile_column, tile_row, etag,'
                ' expires, last_used, bytes, modified, checksum)'
                ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                (*row, etag, expires, self._use_time(), len(data), modified, zlib.crc32(data)))
            database.execute(f'DELETE FROM fg2_absent WHERE {IS_TILE}', row)
            describe(database, tile, data)

        self._write(write)

    def put_absence(self, tile: TileId, absence: CachedAbsence) -> None:
        """Record that the server has no tile there; an earlier tile is kept."""
        def write(database: sqlite3.Connection) -> None:
            self._room.make(database, 0)
            database.execute('INSERT OR REPLACE INTO fg2_absent VALUES (?, ?, ?, ?, ?)',
                             (*row_of(tile), absence.what, absence.expires))
            database.execute('DELETE FROM fg2_absent WHERE expires <= ? OR rowid IN (SELECT rowid'
                             ' FROM fg2_absent ORDER BY expires DESC LIMIT -1 OFFSET ?)',
                             (time.time(), _ABSENCES_KEPT))

        self._write(write)

    def lease(self, tile: TileId, lasts_s: float) -> bool:
        """
        Lease a tile and return whether it is ours to fetch: no other process is fetching it.

        It is until it is given back or so much time has passed. Where the file cannot be written,
        everything is ours.
        """
        taken: list[bool] = []
        self._write(lambda database: taken.append(
            leases.take(database, row_of(tile), self._owner, lasts_s)))
        return all(taken)

    def give_back(self, tile: TileId) -> None:
        """Release the lease of a tile."""
        self._write(lambda database: leases.give_back(database, row_of(tile)))

    def refresh(self, tile: TileId, expires: float) -> None:
        """Record that a tile is still current."""
        self._write(lambda database: database.execute(
            f'UPDATE fg2_tiles SET expires = ? WHERE {IS_TILE}', (expires, *row_of(tile))))

    def touch(self, tiles: Iterable[TileId]) -> None:
        """Mark tiles as used now, without reading them, so that they are not evicted next."""
        for tile in tiles:
            self._note_use(tile)

    def remove(self, tile: TileId) -> None:
        """Drop a tile, for instance one that turned out to be damaged."""
        self._write(lambda database: delete_tile(database, row_of(tile)))

    def close(self) -> None:
        """Write what is still in memory and close the file; it must not be used any more."""
        if self._used:
            self._write(self._write_uses)
        with self._lock:
            self._release()

    def _open(self, damage: sqlite3.Error | None = None) -> None:
        """
        Open the file, or one in the place of a damaged one.

        :param damage: what was found in the file that was open until now.
        :raises CacheError: if it cannot be used.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with file.opening_alone(self.path.parent):
                if damage and file.identity(self.path) == self._identity:
                    self._rename_damaged(damage)  # unless another process has done so
                file.refuse_foreign(self.path)
                try:
                    with file.legible_errors():
                        self._open_to_write()
                except sqlite3.Error as error:
                    self._open_otherwise(error)
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f'the tile cache {self.path} cannot be used: {error}') from None

    def _open_otherwise(self, error: sqlite3.Error) -> None:
        if file.is_damage(error):
            self._rename_damaged(error)
            self._open_to_write()
        elif (file.is_unwritable(error) or is_busy(error)) and (
                self.path.is_file() and self.path.stat().st_size):
            self._adopt(connect_read_only(self.path), self._identify)
            self._read_only = True
            self._pause_writing(error)
        else:
            raise error

    def _open_to_write(self) -> None:
        self._adopt(file.connect_to_write(self.path), self._prepare)
        self._read_only = False
        self._obstacle = ''

    def _adopt(self, database: sqlite3.Connection,
               check: Callable[[sqlite3.Connection], None]) -> None:
        """Use a database from now on if it passes a check."""
        try:
            check(database)
            newest, = database.execute('SELECT max(last_used) FROM fg2_tiles').fetchone()
        except BaseException:
            database.close()
            raise
        self._database = database
        self._identity = file.identity(self.path)
        self._last_use = newest or 0.0

    def _identify(self, database: sqlite3.Connection) -> None:
        identify(database, self.path, self._metadata)

    def _prepare(self, database: sqlite3.Connection) -> None:
        prepare(database, self.path, self._metadata)
        self._room.bound(database)

    def _rename_damaged(self, error: sqlite3.Error) -> None:
        self._set_aside += 1
        if self._set_aside > _SET_ASIDE_AT_MOST:
            raise CacheError(f'the tile cache {self.path} is damaged again and again: {error}')
        aside = file.set_aside(self.path)
        _logger.warning('the tile cache %s is damaged (%s): it is now %s, and a new one begins',
                        self.path, error, aside)

    def _attempt(self, doing: str, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Do something with the file; what goes wrong is dealt with and gives None."""
        with self._lock:
            try:
                with file.legible_errors():
                    self._follow_path()
                    return None if self._database is None else work(self._database)
            except sqlite3.Error as error:
                self._handle(error, doing)
            except CacheError as error:
                self._give_up(error)
        return None

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Change the file in one transaction, unless it is known that it cannot be written."""
        def change(database: sqlite3.Connection | None) -> None:
            if self._obstacle and time.monotonic() < self._write_again_s:
                return
            if self._read_only:
                self._release()
                self._open()
                database = self._database
            if database is not None and not self._read_only:
                with file.transaction(database):
                    work(database)
                self._note_written(database)

        self._attempt('written', change)

    def _note_written(self, database: sqlite3.Connection) -> None:
        if self._obstacle:
            _logger.info('the tile cache %s is written again', self.path)
            self._obstacle = ''
        self._room.bound_log(database)

    def _follow_path(self) -> None:
        """Open the path anew if another file has taken the place of ours, or it is gone."""
        if self._database is not None and file.identity(self.path) != self._identity:
            self._release()
            self._open()

    def _handle(self, error: sqlite3.Error, doing: str) -> None:
        if file.is_damage(error) and not self._read_only:
            self._release()
            try:
                self._open(error)
            except CacheError as trouble:
                self._give_up(trouble)
        elif file.is_unwritable(error) and doing == 'written':
            self._pause_writing(error)
        else:
            self._notices.warn(f'the tile cache {self.path} could not be {doing}: {error}')

    def _pause_writing(self, error: sqlite3.Error) -> None:
        self._write_again_s = time.monotonic() + _WRITE_PAUSE_S
        if not self._obstacle:
            _logger.warning('the tile cache %s cannot be written (%s): what it holds is used, '
                            'other tiles are kept in memory only', self.path, error)
        self._obstacle = str(error)

    def _give_up(self, error: CacheError) -> None:
        self._release()
        self._obstacle = str(error)
        _logger.warning('%s; tiles are kept in memory only', error)

    def _release(self) -> None:
        database, self._database = self._database, None
        if database is None:
            return
        if file.identity(self.path) == self._identity and not self._read_only:
            with file.opening_alone(self.path.parent):
                file.close(database)
        else:
            database.close()

    def _note_use(self, tile: TileId) -> None:
        with self._lock:
            self._used[tile] = self._use_time()
            many = len(self._used) > _USES_KEPT_IN_MEMORY
        if many:
            self._write(self._write_uses)

    def _use_time(self) -> float:
        """Return the time, but later than any use before: a clock that is wrong may go back."""
        self._last_use = max(time.time(), self._last_use + 1e-3)
        return self._last_use

    def _write_uses(self, database: sqlite3.Connection) -> None:
        database.executemany(
            f'UPDATE fg2_tiles SET last_used = max(last_used, ?) WHERE {IS_TILE}',
            [(at, *row_of(tile)) for tile, at in self._used.items()])
        self._used = {}
