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
from dataclasses import replace
from functools import lru_cache
from itertools import islice
import json
import os
from pathlib import Path

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.base import (
    believable, first_usual_side, gunzipped, LARGEST_TILE_BYTES, MAX_ZOOM, plain_text, TileFile)
from fg2_ros.imagery.stores.files import WatchedFile
from fg2_ros.imagery.stores.pmtiles_directory import Directory, Entry
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.store import TileLayout
import numpy as np
from pmtiles.tile import (
    Compression, deserialize_header, MagicNumberNotFound, SpecVersionUnsupported, tileid_to_zxy,
    TileType, zxy_to_tileid)

_DEPTH = 4  # of directories, as the specification allows
_DIRECTORIES_KEPT = 32
_HEADER_BYTES = 127
_LARGEST_DIRECTORY, _LARGEST_UNPACKED_DIRECTORY, _LARGEST_METADATA = 1 << 20, 1 << 21, 1 << 24
_SAMPLES = 64  # tiles of a zoom that are looked at until one is a usual picture
_DAMAGE = (EOFError, IndexError, OSError, OverflowError, RecursionError, ValueError)
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
                self._header = deserialize_header(self._bytes(0, _HEADER_BYTES))
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
            wanted = zxy_to_tileid(*tile)
            found = self._next(wanted)
            return self._data(found[1]) if found and found[0] == wanted else None

    def _next(self, tile_id: int) -> tuple[int, Entry] | None:
        """Return the first tile with this number or a greater one, and where it lies."""
        root = Entry(0, 0, self._header['root_offset'], self._header['root_length'])
        return self._next_in(root, tile_id, _DEPTH)

    def _next_in(self, place: Entry, tile_id: int, depth: int) -> tuple[int, Entry] | None:
        if not depth:
            raise ValueError('its directories go round in circles')
        directory = self._directory(place.offset, place.length)
        first = max(0, directory.last_up_to(tile_id))
        for index in range(first, min(first + 2, len(directory))):
            entry = directory[index]
            if not entry.run:
                leaf = replace(
                    entry, offset=self._header['leaf_directory_offset'] + entry.offset)
                if found := self._next_in(leaf, tile_id, depth - 1):
                    return found
            elif entry.first_id + entry.run > tile_id:
                return max(entry.first_id, tile_id), entry
        return None

    def _tiles_of(self, zoom: int) -> Iterator[tuple[int, Entry]]:
        """Yield different tiles of a zoom with their numbers."""
        tile_id, end = zxy_to_tileid(zoom, 0, 0), zxy_to_tileid(zoom + 1, 0, 0)
        while (found := self._next(tile_id)) and found[0] < end:
            yield found
            tile_id = found[1].first_id + found[1].run

    def _data(self, entry: Entry) -> bytes:
        data = self._bytes(self._header['tile_data_offset'] + entry.offset, entry.length)
        if self._header['tile_compression'] == Compression.GZIP:
            return gunzipped(data, LARGEST_TILE_BYTES)
        return data

    def _read_directory(self, offset: int, length: int) -> Directory:
        packed = self._bytes(offset, length, _LARGEST_DIRECTORY)
        return Directory(self._unpacked(packed, _LARGEST_UNPACKED_DIRECTORY))

    def _unpacked(self, data: bytes, most_bytes: int) -> bytes:
        """Return directories and metadata as they were before they were packed."""
        if self._header['internal_compression'] == Compression.NONE:
            return data
        return gunzipped(data, most_bytes)

    def _bytes(self, offset: int, length: int, most: int = LARGEST_TILE_BYTES) -> bytes:
        if not 0 < length <= most:
            raise ValueError(f'it wants {length} bytes read')
        if offset + length > os.fstat(self._file.fileno()).st_size:
            raise ValueError(f'it ends before {length} bytes at {offset}')
        data = os.pread(self._file.fileno(), length, offset)
        if len(data) < length:
            raise ValueError('it ends too early')
        return data

    def _require_pictures(self) -> None:
        kind = self._header['tile_type']
        if kind not in _PICTURES:
            raise FileProblem(f'{self._path} holds {kind.name} tiles: only JPEG, PNG and WebP'
                              ' can be used')
        for what, packing in (('directories', self._header['internal_compression']),
                              ('tiles', self._header['tile_compression'])):
            if packing in (Compression.BROTLI, Compression.ZSTD):
                raise FileProblem(f'the {what} of {self._path} are packed with {packing.name}:'
                                  ' only gzip can be read')

    def _described(self) -> TileLayout:
        zooms = tuple(zoom for zoom in range(MAX_ZOOM + 1) if next(self._tiles_of(zoom), None))
        if not zooms:
            raise FileProblem(f'{self._path} holds no tiles')
        samples = [list(islice(self._tiles_of(zoom), _SAMPLES)) for zoom in reversed(zooms)]
        side = first_usual_side(
            (self._data(entry) for tiles in samples for _, entry in tiles), self._path)
        return TileLayout(
            self._path.name, side, zooms[0], zooms[-1], plain_text(self._attribution()),
            self._bounds(zooms[-1], samples[0]), zooms=zooms)

    def _bounds(self, zoom: int, sample: list[tuple[int, Entry]]) -> tuple[float, ...] | None:
        """Return the stated bounds if some tiles of a zoom show that they are true."""
        header = self._header
        bounds = tuple(edge / 1e7 for edge in (
            header['min_lon_e7'], header['min_lat_e7'], header['max_lon_e7'],
            header['max_lat_e7']))
        ids = [tile_id + step for tile_id, entry in sample
               for step in range(min(entry.first_id + entry.run - tile_id, _SAMPLES))]
        _, columns, rows = np.transpose([tileid_to_zxy(tile_id) for tile_id in ids])
        return bounds if believable(bounds, zoom, columns, rows) else None

    def _attribution(self) -> str:
        if not self._header['metadata_length']:
            return ''
        packed = self._bytes(self._header['metadata_offset'], self._header['metadata_length'])
        metadata = json.loads(self._unpacked(packed, _LARGEST_METADATA))
        return metadata.get('attribution') or '' if isinstance(metadata, dict) else ''

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
