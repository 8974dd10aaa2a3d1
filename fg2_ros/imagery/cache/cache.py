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

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import logging
from pathlib import Path
import sqlite3
import threading
import time
from typing import TypeVar
import zlib

from fg2_ros.imagery.cache import file
from fg2_ros.imagery.cache.file import CacheError
from fg2_ros.imagery.cache.schema import describe, identify, prepare, row_of, SELECT_TILE
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.tiles.address import TileId

__all__ = ['CachedAbsence', 'CachedTile', 'CacheError', 'TileCache']

_WRITE_PAUSE_S = 60.0  # after the disk was full
_SET_ASIDE_AT_MOST = 3  # a disk that damages one file after the other is not to be filled
_USES_KEPT_IN_MEMORY = 256
_ABSENCES_KEPT = 20_000
_LOG_PAGES = 1000  # at which SQLite moves its log into the file, where the bound allows it
_SHRINKING_S = 2.0  # longest time that opening a file takes to get it below its bound
# Shares of the bound: SQLite's log may take what the file leaves, however it is written to.
_FILE_SHARE, _LOG_SHARE, _LARGEST_TILE = 7 / 8, 1 / 32, 1 / 8
_EVICTED_AT_ONCE, _SHRUNK_AT_ONCE = 1 / 64, 1 / 4
_IS_TILE = 'zoom_level = ? AND tile_column = ? AND tile_row = ?'
_logger = logging.getLogger(__name__)
_T = TypeVar('_T')


@dataclass(frozen=True)
class CachedTile:
    """
    A tile as it lies in the cache.

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
    The server's word that it has nothing there.

    :param what: how it said so: 'answered 404'.
    :param expires: Unix time until which that is believed.
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
        """Open or make the file."""
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._metadata = {'fg2_source': source, 'attribution': attribution}
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
    def state(self) -> str:
        """Return the path, with what is wrong with it; it begins with 'off' if all is."""
        if self._database is None:
            return f'off: {self._obstacle or "closed"}'
        return f'{self.path} (not written: {self._obstacle})' if self._obstacle else str(self.path)

    def get(self, tile: TileId) -> CachedTile | None:
        """Return a tile, expired or not, or None if it is not there."""
        row = self._attempt(
            'read', lambda: self._database.execute(SELECT_TILE, row_of(tile)).fetchone())
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
        """Return the server's word that it has nothing there, if it is still to be believed."""
        row = self._attempt('read', lambda: self._database.execute(
            f'SELECT what, expires FROM fg2_absent WHERE {_IS_TILE} AND expires > ?',
            (*row_of(tile), time.time())).fetchone())
        return CachedAbsence(str(row[0]), float(row[1])) if row else None

    def put(self, tile: TileId, data: bytes, etag: str, expires: float,
            modified: str = '') -> None:
        """Keep a tile that was seen to decode, and make room for it."""
        if len(data) > _LARGEST_TILE * self._max_bytes:
            self._notices.warn(f'the tile cache {self.path} is too small for tiles of this size')
            return

        def write() -> None:
            self._write_uses()
            self._make_room(len(data))
            self._execute('INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)', *row_of(tile), data)
            self._execute('INSERT OR REPLACE INTO fg2_tiles (zoom_level, tile_column, tile_row,'
                          ' etag, expires, last_used, bytes, modified, checksum)'
                          ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', *row_of(tile), etag, expires,
                          self._use_time(), len(data), modified, zlib.crc32(data))
            self._execute(f'DELETE FROM fg2_absent WHERE {_IS_TILE}', *row_of(tile))
            describe(self._database, tile, data)

        self._write(write)

    def put_absence(self, tile: TileId, absence: CachedAbsence) -> None:
        """Remember that the server has nothing there; a tile from before stays."""
        def write() -> None:
            self._make_room(0)
            self._execute('INSERT OR REPLACE INTO fg2_absent VALUES (?, ?, ?, ?, ?)',
                          *row_of(tile), absence.what, absence.expires)
            self._execute('DELETE FROM fg2_absent WHERE expires <= ? OR rowid IN (SELECT rowid'
                          ' FROM fg2_absent ORDER BY expires DESC LIMIT -1 OFFSET ?)',
                          time.time(), _ABSENCES_KEPT)

        self._write(write)

    def refresh(self, tile: TileId, expires: float) -> None:
        """Note that the server says a tile is still current."""
        self._write(lambda: self._execute(
            f'UPDATE fg2_tiles SET expires = ? WHERE {_IS_TILE}', expires, *row_of(tile)))

    def touch(self, tiles: Iterable[TileId]) -> None:
        """Count tiles as used now, without reading them: they are not the next to go."""
        for tile in tiles:
            self._note_use(tile)

    def remove(self, tile: TileId) -> None:
        """Drop a tile, for instance one that turned out to be damaged."""
        self._write(lambda: self._delete(row_of(tile)))

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
        elif (file.is_unwritable(error) or file.is_busy(error)) and (
                self.path.is_file() and self.path.stat().st_size):
            self._adopt(file.connect_read_only(self.path), self._identify)
            self._read_only = True
            self._pause_writing(error)
        else:
            raise error

    def _open_to_write(self) -> None:
        self._adopt(file.connect(self.path), self._prepare)
        self._read_only = False
        self._obstacle = ''

    def _adopt(self, database: sqlite3.Connection, check: Callable[[], None]) -> None:
        """Use a database from now on if it passes a check."""
        self._database = database
        try:
            check()
            newest, = database.execute('SELECT max(last_used) FROM fg2_tiles').fetchone()
        except BaseException:
            self._database = None
            database.close()
            raise
        self._identity = file.identity(self.path)
        self._last_use = newest or 0.0

    def _identify(self) -> None:
        identify(self._database, self.path, self._metadata)

    def _prepare(self) -> None:
        prepare(self._database, self.path, self._metadata)
        page_bytes = self._pragma('page_size')
        log_pages = min(_LOG_PAGES, max(1, int(_LOG_SHARE * self._max_bytes) // page_bytes))
        self._database.execute(f'PRAGMA wal_autocheckpoint = {log_pages}')
        self._database.execute(f'PRAGMA journal_size_limit = {log_pages * page_bytes}')
        self._shrink()

    def _shrink(self) -> None:
        """Bring a file below a bound that is lower than it was, for some time at most."""
        give_up_s = time.monotonic() + _SHRINKING_S
        while self._excess() > 0 and time.monotonic() < give_up_s:
            with self._transaction():
                self._make_room(0, _SHRUNK_AT_ONCE)
        self._bound_log()

    def _rename_damaged(self, error: sqlite3.Error) -> None:
        self._set_aside += 1
        if self._set_aside > _SET_ASIDE_AT_MOST:
            raise CacheError(f'the tile cache {self.path} is damaged again and again: {error}')
        aside = file.set_aside(self.path)
        _logger.warning('the tile cache %s is damaged (%s): it is now %s, and a new one begins',
                        self.path, error, aside)

    def _attempt(self, doing: str, work: Callable[[], _T]) -> _T | None:
        """Do something with the file; what goes wrong is dealt with and gives None."""
        with self._lock:
            try:
                with file.legible_errors():
                    self._follow_path()
                    return work() if self._database is not None else None
            except sqlite3.Error as error:
                self._handle(error, doing)
            except CacheError as error:
                self._give_up(error)
        return None

    def _write(self, work: Callable[[], None]) -> None:
        """Change the file in one transaction, unless it is known that it cannot be written."""
        def change() -> None:
            if self._obstacle and time.monotonic() < self._write_again_s:
                return
            if self._read_only:
                self._release()
                self._open()
            if not self._read_only:
                with self._transaction():
                    work()
                self._written()

        self._attempt('written', change)

    def _written(self) -> None:
        if self._obstacle:
            _logger.info('the tile cache %s is written again', self.path)
            self._obstacle = ''
        self._bound_log()

    def _bound_log(self) -> None:
        if file.log_bytes(self.path) > 2 * _LOG_SHARE * self._max_bytes:
            self._database.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()  # awaits readers

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

    def _write_uses(self) -> None:
        self._database.executemany(
            f'UPDATE fg2_tiles SET last_used = max(last_used, ?) WHERE {_IS_TILE}',
            [(at, *row_of(tile)) for tile, at in self._used.items()])
        self._used = {}

    def _excess(self) -> int:
        """Return by how many bytes the file is larger than it may be, negative if it is not."""
        file_bytes = self._pragma('page_count') * self._pragma('page_size')
        return file_bytes - int(_FILE_SHARE * self._max_bytes)

    def _make_room(self, size: int, share: float = _EVICTED_AT_ONCE) -> None:
        """
        Drop what was not used for longest so that so many bytes more fit.

        A file that is far above its bound gets there in steps: SQLite's log has to hold each.
        """
        page_bytes = self._pragma('page_size')
        step = int(share * self._max_bytes)
        needed = size + 16 * page_bytes  # the trees around the tiles grow, too
        if self._excess() + needed > self._pragma('freelist_count') * page_bytes:
            self._drop_oldest(size + step)
        if self._excess() > 0:
            self._database.execute(
                f'PRAGMA incremental_vacuum({step // page_bytes + 1})').fetchall()

    def _drop_oldest(self, size: int) -> None:
        oldest = self._database.execute(
            'SELECT zoom_level, tile_column, tile_row, bytes FROM fg2_tiles ORDER BY last_used'
            ' LIMIT 1000').fetchall()
        for *row, tile_bytes in oldest:
            if size <= 0:
                break
            self._delete(row)
            size -= tile_bytes

    def _delete(self, row) -> None:
        for table in ('tiles', 'fg2_tiles'):
            self._execute(f'DELETE FROM {table} WHERE {_IS_TILE}', *row)

    def _execute(self, statement: str, *values) -> None:
        self._database.execute(statement, values)

    def _pragma(self, name: str) -> int:
        return self._database.execute(f'PRAGMA {name}').fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute('BEGIN IMMEDIATE')
        try:
            yield
            self._database.execute('COMMIT')
        except BaseException:
            if self._database.in_transaction:
                self._database.execute('ROLLBACK')
            raise
