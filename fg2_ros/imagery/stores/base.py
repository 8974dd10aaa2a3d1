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

"""Tile pyramids in local files: MBTiles, PMTiles and folders of tiles, read only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
import html
import io
from pathlib import Path
import re
import zlib

from fg2_ros.geometry import mercator
from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.tiles.address import reach_into, TileId
from fg2_ros.imagery.tiles.store import TileLayout
import numpy as np
from PIL import Image

MAX_ZOOM = 24
LARGEST_TILE_BYTES = 1 << 24  # encoded; a packed one unpacks to no more
_TILE_SIDES = (256, 512, 1024)
_LONGEST_ATTRIBUTION = 2000
_GZIP = b'\x1f\x8b'


class TileFile(ABC):
    """
    Encoded tiles in a file or folder that may change at any time.

    :param path: the file or folder.
    """

    def __init__(self, path: Path):
        self.path = path

    @abstractmethod
    def layout(self) -> TileLayout:
        """
        Return what there is now; called before each patch.

        :raises FileProblem: if it cannot be read or holds something else.
        """

    @abstractmethod
    def stamp(self, tile: TileId) -> Hashable:
        """Return a value that changes when the tile may have; None if the tile is not there."""

    @abstractmethod
    def read(self, tile: TileId) -> bytes | None:
        """
        Return the encoded tile, None if it is not there.

        :raises FileProblem: if it cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""


def tile_side(data: bytes, path: Path) -> int:
    """
    Return the side in pixels of an encoded tile.

    :param path: where it was found.
    :raises FileProblem: if it is no picture of a usual size.
    """
    try:
        with Image.open(io.BytesIO(unwrapped(data)), formats=('JPEG', 'PNG', 'WEBP')) as image:
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise FileProblem(f'{path} holds tiles that are no JPEG, PNG or WebP images') from None
    if size[0] != size[1] or size[0] not in _TILE_SIDES:
        raise FileProblem(f'{path} holds tiles of {size[0]} x {size[1]} pixels: only those of'
                          f' {", ".join(map(str, _TILE_SIDES))} can be used')
    return size[0]


def first_usual_side(tiles: Iterable[bytes], path: Path) -> int:
    """
    Return the side in pixels of the first of some tiles that is a picture of a usual size.

    The world in one pixel, an empty tile or a damaged one says nothing about the others.

    :param path: where they were found.
    :raises FileProblem: if none is; says what the first was.
    """
    problem = FileProblem(f'{path} holds tiles that are no JPEG, PNG or WebP images')
    for number, data in enumerate(tiles):
        try:
            return tile_side(data, path)
        except FileProblem as other:
            problem = other if number == 0 else problem
    raise problem


def unwrapped(data: bytes) -> bytes:
    """
    Return an encoded tile without the gzip that some programs wrap it in.

    :raises ValueError: if it is cut off, or too large when unpacked.
    """
    return gunzipped(data, LARGEST_TILE_BYTES) if data.startswith(_GZIP) else data


def gunzipped(packed: bytes, most_bytes: int) -> bytes:
    """
    Return what gzip packed.

    :raises ValueError: if it is cut off or damaged, or more than that many bytes.
    """
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = unpacking.decompress(packed, most_bytes)
    except zlib.error as error:
        raise ValueError(f'a part of it cannot be unpacked: {error}') from None
    if not unpacking.eof:
        raise ValueError('a part of it is cut off, or too large when unpacked')
    return data


def believable(bounds: tuple[float, ...] | None, zoom: int, columns, rows) -> bool:
    """
    Return whether stated bounds are those of a file: one of some of its tiles lies within.

    :param bounds: west, south, east, north in degrees; None if nothing is stated.
    :param columns: (N,) of the tiles.
    :param rows: (N,), counted from the north.
    """
    if bounds is None or len(bounds) != 4 or not np.all(np.isfinite(bounds)):
        return False
    west, south, east, north = bounds
    limit = mercator.MAX_LATITUDE_DEG
    if not (abs(west) <= 360 and abs(east) <= 360 and -90 <= south <= north <= 90):
        return False
    west, east = ((edge + 180) % 360 - 180 if abs(edge) > 180 else edge for edge in (west, east))
    on_map = west, max(south, -limit), east, min(north, limit)
    return bool(np.any(reach_into(on_map, zoom, np.asarray(columns), np.asarray(rows))))


def plain_text(markup) -> str:
    """Return an attribution without the links that metadata have in it."""
    text = html.unescape(re.sub(r'<[^<>]*>', '', str(markup or '')[:_LONGEST_ATTRIBUTION]))
    return ' '.join(text.split())
