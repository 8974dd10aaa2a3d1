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
from fg2_ros.imagery.stores.base import TileFile
from fg2_ros.imagery.stores.files import WatchedFile
from fg2_ros.imagery.stores.mbtiles_contents import contents_of, say_what_is_odd
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.mbtiles import connect_read_only, encoded_tile, within
from fg2_ros.imagery.tiles.store import TileLayout

_LONGEST_S = 5.0  # that the file is looked into at once


class MbtilesFile(TileFile):
    """An MBTiles file, which other processes may write at the same time."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._file = WatchedFile(path, connect_read_only)
        self._generation: tuple[sqlite3.Connection, int] | None = None
        self._layout: TileLayout | None = None
        self._rows_from_north = False

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileFile.layout`."""
        with self._reading() as database:
            version, = database.execute('PRAGMA data_version').fetchone()  # of other connections
            if self._layout is None or (database, version) != self._generation:
                contents = contents_of(database, self.path)
                if contents.rows_from_north != self._rows_from_north:
                    say_what_is_odd(contents, self.path)
                self._rows_from_north = contents.rows_from_north
                self._layout = TileLayout(
                    self.path.name, contents.tile_px, contents.zooms[0], contents.zooms[-1],
                    contents.attribution, contents.bounds, zooms=contents.zooms)
                self._generation = database, version
            return self._layout

    def stamp(self, tile: TileId) -> Hashable:
        """Return the file's generation."""
        return self._generation

    def read(self, tile: TileId) -> bytes | None:
        """Return an encoded tile; see `TileFile.read`."""
        with self._reading() as database:
            return encoded_tile(database, tile, self._rows_from_north)

    def close(self) -> None:
        """Close the database."""
        self._file.drop()
        self._generation = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            database = self._file.get()
            with within(database, _LONGEST_S):
                yield database
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            # The last where a message quotes damaged names.
            self.close()
            raise FileProblem(f'{self.path} cannot be read as MBTiles: {error}') from None
