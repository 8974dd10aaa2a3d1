"""A bounded tile cache on disk: an MBTiles 1.3 file with expiry, ETag and last use beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import logging
from pathlib import Path
import sqlite3
import threading
import time

from fg2_ros.geometry import mercator
from fg2_ros.imagery.backoff import Notices
from fg2_ros.imagery.decoding import tile_format
from fg2_ros.imagery.sources import TileId

_MBTILES_ID = 0x4D504258  # 'MPBX', registered for MBTiles in SQLite's magic file
_BUSY_S = 2.0
_USES_KEPT_IN_MEMORY = 256
_EVICT_TO = 0.95  # of the bound: evicting a few tiles at each write would be slow
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS metadata (name TEXT NOT NULL PRIMARY KEY, value TEXT);
    CREATE TABLE IF NOT EXISTS tiles (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
    CREATE TABLE IF NOT EXISTS fg2_tiles (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER,
        etag TEXT, expires REAL, last_used REAL, bytes INTEGER,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
    CREATE INDEX IF NOT EXISTS fg2_last_used ON fg2_tiles (last_used);
"""
_IS_TILE = 'zoom_level = ? AND tile_column = ? AND tile_row = ?'


class CacheError(Exception):
    """A cache file cannot be used; the message says which and why."""


@dataclass(frozen=True)
class CachedTile:
    """
    A tile as it lies in the cache.

    :param data: the encoded image.
    :param etag: the server's ETag, or ''.
    :param expires: Unix time from which the server should be asked whether it changed.
    """

    data: bytes
    etag: str
    expires: float


class TileCache:
    """
    A tile cache file; any number of threads, and several processes, may share it.

    Every change is one SQLite transaction in write-ahead mode, so a process may be killed at any
    moment. Problems while in use are logged and otherwise look like tiles that are not there.

    :param path: the MBTiles file; made, with its folder, if it does not exist.
    :param max_bytes: bound of the file's size; what was not used for longest goes first.
    :param source: what the tiles are from; a file with tiles from elsewhere is not touched.
    :raises CacheError: if the file cannot be used.
    """

    def __init__(self, path: str | Path, max_bytes: int, source: str):
        """Open or make the file."""
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._used: dict[TileId, float] = {}
        self._notices = Notices(logging.getLogger(__name__))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(source)
            except BaseException:
                self._database.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f'the tile cache {self.path} cannot be used: {error}') from None

    def get(self, tile: TileId) -> CachedTile | None:
        """Return a tile, expired or not, or None if it is not there."""
        with self._guarded('read'):
            row = self._database.execute(
                'SELECT tile_data, etag, expires FROM tiles LEFT JOIN fg2_tiles'
                f' USING (zoom_level, tile_column, tile_row) WHERE {_IS_TILE}',
                _row(tile)).fetchone()
            if row is not None and row[0]:
                self._used[tile] = time.time()
                if len(self._used) > _USES_KEPT_IN_MEMORY:
                    with self._transaction():
                        self._write_uses()
                return CachedTile(bytes(row[0]), row[1] or '', row[2] or 0.0)
        return None

    def put(self, tile: TileId, data: bytes, etag: str, expires: float) -> None:
        """Keep a tile that was seen to decode, and make room for it."""
        with self._guarded('written'), self._transaction():
            self._database.execute(
                'INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)', (*_row(tile), data))
            self._database.execute(
                'INSERT OR REPLACE INTO fg2_tiles VALUES (?, ?, ?, ?, ?, ?, ?)',
                (*_row(tile), etag, expires, time.time(), len(data)))
            self._describe(tile, data)
            self._write_uses()
            self._evict()

    def refresh(self, tile: TileId, expires: float) -> None:
        """Note that the server says a tile is still current."""
        with self._guarded('written'), self._transaction():
            self._database.execute(
                f'UPDATE fg2_tiles SET expires = ? WHERE {_IS_TILE}', (expires, *_row(tile)))

    def remove(self, tile: TileId) -> None:
        """Drop a tile, for instance one that turned out to be damaged."""
        with self._guarded('written'), self._transaction():
            self._delete(_row(tile))

    def close(self) -> None:
        """Write what is still in memory and close the file."""
        with self._guarded('written'), self._transaction():
            self._write_uses()
        with self._lock:
            self._database.close()

    def _prepare(self, source: str) -> None:
        tables = {name for name, in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            self._database.execute('PRAGMA auto_vacuum = INCREMENTAL')  # eviction shrinks the file
            self._database.execute(f'PRAGMA application_id = {_MBTILES_ID}')
        elif 'fg2_tiles' not in tables:
            raise CacheError(
                f'{self.path} is not a tile cache of this package: it is left as it is')
        self._database.execute('PRAGMA journal_mode = WAL')
        self._database.execute('PRAGMA synchronous = NORMAL')
        self._database.execute(f'PRAGMA journal_size_limit = {4 << 20}')
        self._database.executescript(_SCHEMA)
        with self._transaction():
            self._claim(source)
        self._metadata = dict(self._database.execute('SELECT name, value FROM metadata'))

    def _claim(self, source: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO metadata VALUES ('fg2_source', ?)", (source,))
        owner, = self._database.execute(
            "SELECT value FROM metadata WHERE name = 'fg2_source'").fetchone()
        if owner != source:
            raise CacheError(f'the tile cache {self.path} holds the tiles of another source'
                             f' ({owner}): give each source a file of its own')
        self._database.executemany('INSERT OR IGNORE INTO metadata VALUES (?, ?)', [
            ('name', self.path.stem), ('type', 'baselayer'), ('version', '1.0'),
            ('description', 'Aerial tiles cached by fg2_ros')])

    def _describe(self, tile: TileId, data: bytes) -> None:
        """Let the metadata cover a new tile: format, zooms and bounds, as MBTiles wants them."""
        described = dict(self._metadata)
        described.setdefault('format', tile_format(data))
        described['minzoom'] = str(min(tile.zoom, int(described.get('minzoom', tile.zoom))))
        described['maxzoom'] = str(max(tile.zoom, int(described.get('maxzoom', tile.zoom))))
        described['bounds'] = _united(described.get('bounds'), _bounds(tile))
        changed = described.items() - self._metadata.items()
        self._database.executemany('INSERT OR REPLACE INTO metadata VALUES (?, ?)', changed)
        self._metadata = described

    def _write_uses(self) -> None:
        self._database.executemany(
            f'UPDATE fg2_tiles SET last_used = ? WHERE {_IS_TILE}',
            [(at, *_row(tile)) for tile, at in self._used.items()])
        self._used = {}

    def _evict(self) -> None:
        page_bytes = self._pragma('page_size')
        pages = self._pragma('page_count') - self._pragma('freelist_count')
        surplus = pages * page_bytes - self._max_bytes
        if surplus <= 0:
            return
        surplus += (1 - _EVICT_TO) * self._max_bytes
        oldest = self._database.execute(
            'SELECT zoom_level, tile_column, tile_row, bytes FROM fg2_tiles ORDER BY last_used')
        for *row, size in oldest.fetchall():
            self._delete(row)
            surplus -= size
            if surplus <= 0:
                break
        self._database.execute('PRAGMA incremental_vacuum').fetchall()

    def _delete(self, row) -> None:
        for table in ('tiles', 'fg2_tiles'):
            self._database.execute(f'DELETE FROM {table} WHERE {_IS_TILE}', row)

    def _pragma(self, name: str) -> int:
        return self._database.execute(f'PRAGMA {name}').fetchone()[0]

    @contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                self._notices.warn(f'the tile cache {self.path} could not be {doing}: {error}')

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


def _row(tile: TileId) -> tuple[int, int, int]:
    """Return (zoom_level, tile_column, tile_row): MBTiles counts rows from the south."""
    return tile.zoom, tile.x, 2 ** tile.zoom - 1 - tile.y


def _bounds(tile: TileId) -> list[float]:
    """Return west, south, east, north of a tile in degrees."""
    latitudes, longitudes = mercator.geodetic_from_world_pixel(
        [tile.x, tile.x + 1], [tile.y + 1, tile.y], tile.zoom, tile_px=1)
    return [longitudes[0], latitudes[0], longitudes[1], latitudes[1]]


def _united(bounds: str | None, added: list[float]) -> str:
    west, south, east, north = added
    if bounds is not None:
        old = [float(value) for value in bounds.split(',')]
        west, south = min(west, old[0]), min(south, old[1])
        east, north = max(east, old[2]), max(north, old[3])
    return f'{west:.7f},{south:.7f},{east:.7f},{north:.7f}'
