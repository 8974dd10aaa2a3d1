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

"""Folders of tiles as tile pyramids, read only."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
import itertools
import json
import os
from pathlib import Path
from xml.etree import ElementTree

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import (
    first_usual_side, LARGEST_TILE_BYTES, MAX_ZOOM, TileFile)
from fg2_ros.imagery.tiles.address import flipped_row, TileId
from fg2_ros.imagery.tiles.store import TileLayout

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
_SAMPLES = 200  # tiles that are looked at until one is a usual picture


class FolderOfTiles(TileFile):
    """A folder of tiles ``{z}/{x}/{y}``, in the XYZ or the TMS direction."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._zooms: list[int] = []
        self._layout: TileLayout | None = None
        self._suffixes = list(_SUFFIXES)  # the most probable first
        self._is_tms = False

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileFile.layout`."""
        try:
            zooms = sorted(zoom for zoom in _numbers(self.path) if zoom <= MAX_ZOOM)
            if zooms != self._zooms or self._layout is None:
                self._layout = None
                self._is_tms = _counts_from_south(self.path)
                self._layout = self._look_around(zooms)
                self._zooms = zooms
            return self._layout
        except OSError as error:
            self.close()
            raise FileProblem(f'{self.path} cannot be read: {error.strerror}') from None

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
        """Return an encoded tile; see `TileFile.read`."""
        for path in self._paths(tile):
            try:
                return _start_of(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileProblem(f'{path} cannot be read: {error.strerror}') from None
        return None

    def close(self) -> None:
        """Look at everything anew next time."""
        self._layout = None

    def _paths(self, tile: TileId) -> Iterator[Path]:
        row = flipped_row(tile.zoom, tile.y) if self._is_tms else tile.y
        folder = self.path / str(tile.zoom) / str(tile.x)
        for suffix in self._suffixes:
            yield folder / f'{row}{suffix}'

    def _look_around(self, zooms: list[int]) -> TileLayout:
        """Find out what the tiles are like from the first usual one that is found."""
        files = list(itertools.islice(self._files(zooms), _SAMPLES))
        if not files:
            raise FileProblem(f'{self.path} holds no tiles named {{z}}/{{x}}/{{y}} with one of the'
                              f' endings {", ".join(_SUFFIXES)}')
        self._suffixes = sorted(_SUFFIXES, key=files[0].suffix.__ne__)
        side = first_usual_side(map(_start_of, files), files[0])
        return TileLayout(self.path.name, side, zooms[0], zooms[-1], zooms=tuple(zooms))

    def _files(self, zooms: list[int]) -> Iterator[Path]:
        """Yield the files of tiles, those of the finest zoom first."""
        for zoom in reversed(zooms):
            for column in _numbers(self.path / str(zoom)):
                for file in os.scandir(self.path / str(zoom) / str(column)):
                    name, suffix = os.path.splitext(file.name)
                    if name.isdecimal() and suffix in _SUFFIXES:
                        yield Path(file.path)


def holds_tiles(folder: Path) -> bool:
    """
    Return whether a folder is one of tiles: it has folders named by zooms, or says that it is.

    :raises FileProblem: if it cannot be read.
    """
    try:
        zooms = [zoom for zoom in _numbers(folder) if zoom <= MAX_ZOOM]
        return (folder / 'tilemapresource.xml').exists() or any(
            next(_numbers(folder / str(zoom)), None) is not None for zoom in zooms)
    except OSError as error:
        raise FileProblem(f'{folder} cannot be read: {error.strerror}') from None


def _start_of(path: Path) -> bytes:
    """Return a file, of one too large to be a tile only the beginning."""
    with path.open('rb') as file:
        return file.read(LARGEST_TILE_BYTES)


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
