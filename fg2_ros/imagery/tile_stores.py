"""Tile pyramids in local files: MBTiles, PMTiles and folders of tiles, read only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import html
import io
import json
import os
from pathlib import Path
import re
import sqlite3
from xml.etree import ElementTree

from fg2_ros.imagery.files import FileProblem, WatchedFile
from fg2_ros.imagery.sources import TileId
from PIL import Image

_BUSY_S = 1.0
MAX_ZOOM = 24
_TILE_SIDES = (256, 512)
_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')


@dataclass(frozen=True)
class TileLayout:
    """
    What a tile pyramid holds.

    :param name: what messages call it.
    :param tile_px: side of a tile in pixels.
    :param min_zoom: coarsest zoom.
    :param max_zoom: finest zoom.
    :param attribution: whom it says it belongs to.
    :param bounds: west, south, east, north in degrees, as it says; empty if it does not.
    """

    name: str
    tile_px: int
    min_zoom: int
    max_zoom: int
    attribution: str = ''
    bounds: tuple[float, ...] = ()


class TileStore(ABC):
    """
    Encoded tiles in a file or folder that may change at any time.

    :param path: the file or folder.
    """

    def __init__(self, path: Path):
        """Open nothing yet."""
        self.path = path

    @abstractmethod
    def layout(self) -> TileLayout:
        """
        Return what there is now; called before each patch.

        :raises FileProblem: if the store cannot be read or holds something else.
        """

    @abstractmethod
    def stamp(self, tile: TileId) -> Hashable:
        """Return a value that changes when the tile may have; None if the tile is not there."""

    @abstractmethod
    def read(self, tile: TileId) -> bytes | None:
        """
        Return the encoded tile, None if it is not there.

        :raises FileProblem: if the store cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""


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


class FolderStore(TileStore):
    """A folder of tiles ``{z}/{x}/{y}``, in the XYZ or the TMS direction."""

    def __init__(self, path: Path):
        """Look at nothing yet."""
        super().__init__(path)
        self._zooms: list[int] = []
        self._layout: TileLayout | None = None
        self._suffixes = _SUFFIXES
        self._is_tms = False

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileStore.layout`."""
        try:
            zooms = sorted(zoom for zoom in _numbers(self.path) if zoom <= MAX_ZOOM)
            if zooms != self._zooms or self._layout is None:
                self._layout = None
                self._is_tms = _counts_from_south(self.path)
                self._layout = self._look_around(zooms)
                self._zooms = zooms
        except OSError as error:
            self.close()
            raise FileProblem(f'{self.path} cannot be read: {error.strerror}') from None
        return self._layout

    def stamp(self, tile: TileId) -> Hashable:
        """Return the file's time and size."""
        for path in self._paths(tile):
            try:
                state = os.stat(path)
            except OSError:
                continue
            return path, state.st_mtime_ns, state.st_size
        return None

    def read(self, tile: TileId) -> bytes | None:
        """Return an encoded tile; see `TileStore.read`."""
        for path in self._paths(tile):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileProblem(f'{path} cannot be read: {error.strerror}') from None
        return None

    def close(self) -> None:
        """Look at everything anew next time."""
        self._layout = None

    def _paths(self, tile: TileId) -> Iterator[Path]:
        row = _south_up(tile) if self._is_tms else tile.y
        folder = self.path / str(tile.zoom) / str(tile.x)
        for suffix in self._suffixes:
            yield folder / f'{row}{suffix}'

    def _look_around(self, zooms: list[int]) -> TileLayout:
        """Find out what the tiles are like from the first one that is found."""
        for zoom in reversed(zooms):
            for column in _numbers(self.path / str(zoom)):
                for file in os.scandir(self.path / str(zoom) / str(column)):
                    name, suffix = os.path.splitext(file.name)
                    if name.isdecimal() and suffix in _SUFFIXES:
                        self._suffixes = tuple(sorted(_SUFFIXES, key=suffix.__ne__))
                        side = tile_side(Path(file.path).read_bytes(), Path(file.path))
                        return TileLayout(self.path.name, side, zooms[0], zooms[-1])
        raise FileProblem(f'{self.path} holds no tiles named {{z}}/{{x}}/{{y}} with one of the'
                          f' endings {", ".join(_SUFFIXES)}')


def tile_side(data: bytes, path: Path) -> int:
    """
    Return the side in pixels of an encoded tile.

    :param path: where it was found.
    :raises FileProblem: if it is no picture of a usual size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=('JPEG', 'PNG', 'WEBP')) as image:
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        raise FileProblem(f'{path} holds tiles that are no JPEG, PNG or WebP images') from None
    if size[0] != size[1] or size[0] not in _TILE_SIDES:
        raise FileProblem(f'{path} holds tiles of {size[0]} x {size[1]} pixels: only those of'
                          ' 256 or 512 can be used')
    return size[0]


def plain_text(markup) -> str:
    """Return an attribution without the links that metadata have in it."""
    text = html.unescape(re.sub(r'<[^>]*>', '', str(markup or '')))
    return ' '.join(text.split())


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


def _require_mercator(path: Path) -> None:
    try:
        tile_sets = ElementTree.parse(path).getroot().find('TileSets')
    except ElementTree.ParseError as error:
        raise FileProblem(f'{path} is damaged: {error}') from None
    profile = '' if tile_sets is None else tile_sets.get('profile', '')
    if 'mercator' not in profile:
        raise FileProblem(f'{path} describes tiles of the profile {profile!r}: only Web Mercator'
                          ' can be used')
