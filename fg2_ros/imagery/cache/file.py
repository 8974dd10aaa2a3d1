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

"""The SQLite file of a tile cache: ownership, opening, and recovery from damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
import fcntl
import os
from pathlib import Path
import sqlite3
import time

from fg2_ros.imagery.tiles import mbtiles
from fg2_ros.imagery.tiles.mbtiles import connect, error_kind, is_busy

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
               sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
_COMPANIONS = ('-journal', '-wal', '-shm')  # of SQLite, beside the file


class CacheError(Exception):
    """A cache file cannot be used; the message says which and why."""


@contextmanager
def legible_errors() -> Iterator[None]:
    """Raise SQLite's error of damage where Python stumbles over text that is none."""
    try:
        yield
    except (sqlite3.OperationalError, UnicodeDecodeError) as error:
        if hasattr(error, 'sqlite_errorcode'):
            raise  # SQLite itself knows what is wrong
        damage = sqlite3.DatabaseError('text in it is damaged')
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from error


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is damaged."""
    return error_kind(error) in _DAMAGED


def is_unwritable(error: sqlite3.Error) -> bool:
    """Return whether an error may mean a full disk, a failing one, or no right to write."""
    return error_kind(error) in _UNWRITABLE


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another that takes its place; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect_to_write(path: Path) -> sqlite3.Connection:
    """Open a file, or make it, to be written in write-ahead mode."""
    if not path.exists():
        for suffix in _COMPANIONS:  # of a file that somebody removed: they would mix with the new
            Path(f'{path}{suffix}').unlink(missing_ok=True)
    return connect(path, 'mode=rwc')


def use_write_ahead_log(database: sqlite3.Connection) -> None:
    """Turn write-ahead mode on; where the file system cannot do it, another one stays."""
    deadline = time.monotonic() + mbtiles.BUSY_S
    while True:
        try:
            database.execute('PRAGMA journal_mode = WAL')
            return
        except sqlite3.OperationalError as error:  # SQLite does not wait for others here
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def close(database: sqlite3.Connection) -> None:
    """Close a file; the last one leaves it complete in itself, as a read-only medium needs it."""
    try:
        database.execute('PRAGMA busy_timeout = 0')
        database.execute('PRAGMA journal_mode = DELETE')
    except sqlite3.Error:
        pass  # others still use it, or it cannot be written
    database.close()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Make all changes or none."""
    database.execute('BEGIN IMMEDIATE')
    try:
        yield
        database.execute('COMMIT')
    except BaseException:
        if database.in_transaction:
            database.execute('ROLLBACK')
        raise


def refuse_foreign(path: Path) -> None:
    """
    Look at a file without leaving a trace, and refuse one that others made.

    :raises CacheError: if it holds a database that is not a tile cache of this package.
    """
    if identity(path) is None:
        return
    try:
        with legible_errors(), closing(connect(path, 'mode=ro&immutable=1')) as database:
            names = {name for name, in database.execute('SELECT name FROM sqlite_master')}
    except sqlite3.Error:
        return  # damaged, or just being written: opening it in earnest will tell
    if names and 'fg2_tiles' not in names:
        raise CacheError(f'{path} is not a tile cache of this package: it is left as it is')


def set_aside(path: Path) -> Path:
    """
    Rename a damaged cache, with what SQLite keeps beside it, and return its new path.

    :raises CacheError: if it may not be a cache of ours, or cannot be renamed.
    """
    try:
        if not _looks_like_ours(path):
            raise CacheError(f'{path} is damaged, and may be something else than a tile cache of '
                             'this package: it is left as it is')
        aside = _free_name(path.with_name(f'{path.name}.corrupt-{time.strftime("%Y%m%dT%H%M%S")}'))
        for suffix in (*_COMPANIONS, ''):
            if os.path.lexists(f'{path}{suffix}'):
                os.rename(f'{path}{suffix}', f'{aside}{suffix}')
    except OSError as error:
        raise CacheError(f'the damaged tile cache {path} cannot be set aside: {error}') from None
    return aside


@contextmanager
def opening_alone(folder: Path) -> Iterator[None]:
    """Keep other processes from opening or setting aside a cache in a folder meanwhile."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + mbtiles.BUSY_S
        while not _locked(descriptor) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _looks_like_ours(path: Path) -> bool:
    """Return whether a damaged file shows our schema; without any schema its name decides."""
    with open(path, 'rb') as file:
        start = file.read(1 << 16)
    return b'fg2_tiles' in start or (path.suffix == '.mbtiles' and b'CREATE TABLE' not in start)


def _free_name(path: Path) -> Path:
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f'{path.name}-{number}')
    return free


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: then as well as can be
    return True
