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

"""PMTiles archives of version 3 as tile pyramids; needs the package ``pmtiles``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
import json
import os
from pathlib import Path
import zlib

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import MAX_ZOOM, plain_text, tile_side, TileFile
from fg2_ros.imagery.stores.files import WatchedFile
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.store import TileLayout
from pmtiles.tile import (
    Compression, deserialize_directory, deserialize_header, find_tile, MagicNumberNotFound,
    SpecVersionUnsupported, TileType, zxy_to_tileid)

_DEPTH = 4  # of directories, as the specification allows
_DIRECTORIES_KEPT = 64
_LARGEST, _LARGEST_DIRECTORY = 1 << 24, 1 << 20  # bytes that are read at once, still packed
_LARGEST_UNPACKED = 1 << 24
_DAMAGE = (EOFError, IndexError, OSError, UnicodeDecodeError, ValueError, zlib.error)
_PICTURES = {TileType.UNKNOWN, TileType.JPEG, TileType.PNG, TileType.WEBP}


class PmtilesFile(TileFile):
    """A PMTiles archive."""

    def __init__(self, path: Path):
        super().__init__(path)
        self._file = WatchedFile(path, _Archive)

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileFile.layout`."""
        return self._file.get().layout

    def stamp(self, tile: TileId) -> Hashable:
        """Return the archive as it is open now."""
        return self._file.get()

    def read(self, tile: TileId) -> bytes | None:
        """Return an encoded tile; see `TileFile.read`."""
        try:
            return self._file.get().tile(tile)
        except FileProblem:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.drop()


class _Archive:
    """An open archive; read with system calls: a mapped file that shrinks kills the process."""

    def __init__(self, path: Path):
        """Read header and metadata."""
        self._path = path
        self._file = path.open('rb', buffering=0)
        self._directory = lru_cache(_DIRECTORIES_KEPT)(self._read_directory)
        try:
            with self._explained():
                self._header = deserialize_header(self._bytes(0, 127))
                self._require_pictures()
                self.layout = self._described()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tile(self, tile: TileId) -> bytes | None:
        """Return an encoded tile, None if it is not there."""
        with self._explained():
            return self._find(zxy_to_tileid(*tile))

    def _find(self, tile_id: int) -> bytes | None:
        place = self._header['root_offset'], self._header['root_length']
        for _ in range(_DEPTH):
            entry = find_tile(self._directory(*place), tile_id)
            if entry is None:
                return None
            if entry.run_length > 0:
                return self._bytes(self._header['tile_data_offset'] + entry.offset, entry.length)
            place = self._header['leaf_directory_offset'] + entry.offset, entry.length
        raise ValueError('its directories go round in circles')

    def _read_directory(self, offset: int, length: int) -> list:
        packed = self._bytes(offset, length, _LARGEST_DIRECTORY)
        _unpacked(packed)  # the library would unpack a bomb
        return deserialize_directory(packed)

    def _bytes(self, offset: int, length: int, most: int = _LARGEST) -> bytes:
        if not 0 < length <= most:
            raise ValueError(f'it wants {length} bytes read')
        data = os.pread(self._file.fileno(), length, offset)
        if len(data) < length:
            raise ValueError('it ends too early')
        return data

    def _require_pictures(self) -> None:
        kind = self._header['tile_type']
        if kind not in _PICTURES:
            raise FileProblem(f'{self._path} holds {kind.name} tiles: only JPEG, PNG and WebP'
                              ' can be used')
        for packing, known in (
                (self._header['internal_compression'], (Compression.GZIP,)),
                (self._header['tile_compression'], (Compression.NONE, Compression.UNKNOWN))):
            if packing not in known:
                raise FileProblem(f'{self._path} is packed with {packing.name}: only archives with'
                                  ' gzip directories and tiles as they are can be used')

    def _described(self) -> TileLayout:
        zooms = self._header['min_zoom'], self._header['max_zoom']
        if not 0 <= zooms[0] <= zooms[1] <= MAX_ZOOM:
            raise ValueError(f'it has tiles of the zooms {zooms[0]} to {zooms[1]}')
        first = self._first_tile(self._header['root_offset'], self._header['root_length'])
        metadata = {}
        if self._header['metadata_length']:
            packed = self._bytes(self._header['metadata_offset'], self._header['metadata_length'])
            metadata = json.loads(_unpacked(packed))
        attribution = metadata.get('attribution') if isinstance(metadata, dict) else ''
        bounds = (self._header[edge] / 1e7
                  for edge in ('min_lon_e7', 'min_lat_e7', 'max_lon_e7', 'max_lat_e7'))
        return TileLayout(self._path.name, tile_side(first, self._path), *zooms,
                          plain_text(attribution), tuple(bounds))

    def _first_tile(self, offset: int, length: int) -> bytes:
        for _ in range(_DEPTH):
            directory = self._directory(offset, length)
            if not directory:
                raise FileProblem(f'{self._path} holds no tiles')
            offset, length = directory[0].offset, directory[0].length
            if directory[0].run_length > 0:
                return self._bytes(self._header['tile_data_offset'] + offset, length)
            offset += self._header['leaf_directory_offset']
        raise ValueError('its directories go round in circles')

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SpecVersionUnsupported:
            raise FileProblem(f'{self._path} is not of PMTiles version 3') from None
        except MagicNumberNotFound:
            raise FileProblem(f'{self._path} is no PMTiles archive') from None
        except _DAMAGE as error:
            raise FileProblem(f'{self._path} is damaged or cannot be read: {error}') from None


def _unpacked(packed: bytes) -> bytes:
    """Return what gzip packed, unless it is too much to be kept in memory."""
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    data = unpacking.decompress(packed, _LARGEST_UNPACKED)
    if not unpacking.eof:
        raise ValueError('a part of it is cut off, or too large when unpacked')
    return data
