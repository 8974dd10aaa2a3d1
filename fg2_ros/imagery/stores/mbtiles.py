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
from pathlib import Path
import sqlite3

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import MAX_ZOOM, plain_text, tile_side, TileFile
from fg2_ros.imagery.stores.files import WatchedFile
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.mbtiles import connect_read_only, encoded_tile, metadata_of
from fg2_ros.imagery.tiles.store import TileLayout


class MbtilesFile(TileFile):
    """An MBTiles file, which other processes may write at the same time."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._file = WatchedFile(path, connect_read_only)
        self._generation: tuple[sqlite3.Connection, int] | None = None
        self._layout: TileLayout | None = None

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileFile.layout`."""
        with self._reading() as database:
            version, = database.execute('PRAGMA data_version').fetchone()  # of other connections
            if self._layout is None or (database, version) != self._generation:
                self._layout = _layout(self.path, database)
                self._generation = database, version
            return self._layout

    def stamp(self, tile: TileId) -> Hashable:
        """Return the file's generation."""
        return self._generation

    def read(self, tile: TileId) -> bytes | None:
        """Return an encoded tile; see `TileFile.read`."""
        with self._reading() as database:
            return encoded_tile(database, tile)

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


def _layout(path: Path, database: sqlite3.Connection) -> TileLayout:
    sample = database.execute('SELECT tile_data FROM tiles LIMIT 1').fetchone()
    if sample is None:
        raise FileProblem(f'{path} holds no tiles')
    metadata = metadata_of(database)
    if metadata.get('format') in ('pbf', 'mvt'):
        raise FileProblem(f'{path} holds vector tiles, not pictures')
    min_zoom, max_zoom = _stated_zooms(metadata) or database.execute(
        'SELECT (SELECT min(zoom_level) FROM tiles), (SELECT max(zoom_level) FROM tiles)'
    ).fetchone()
    if not all(isinstance(zoom, int) and 0 <= zoom <= MAX_ZOOM for zoom in (min_zoom, max_zoom)):
        raise FileProblem(f'{path} has tiles of no usual zoom: {min_zoom} to {max_zoom}')
    tile = sample[0] if isinstance(sample[0], bytes) else b''
    return TileLayout(
        path.name, tile_side(tile, path), min_zoom, max_zoom,
        plain_text(metadata.get('attribution')), _stated_bounds(metadata))


def _stated_zooms(metadata: dict[str, str]) -> tuple[int, int] | None:
    try:
        zooms = int(metadata['minzoom']), int(metadata['maxzoom'])
    except (KeyError, ValueError):
        return None
    return zooms if 0 <= zooms[0] <= zooms[1] <= MAX_ZOOM else None


def _stated_bounds(metadata: dict[str, str]) -> tuple[float, ...] | None:
    try:
        bounds = tuple(map(float, metadata['bounds'].split(',')))
    except (KeyError, ValueError):
        return None
    return bounds if len(bounds) == 4 else None
