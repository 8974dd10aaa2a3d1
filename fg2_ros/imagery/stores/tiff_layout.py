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

"""The layout of a TIFF file: where its tiles lie, so that they can be fetched alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import struct

import numpy as np

_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _COUNTS = 256, 257, 322, 323, 324, 325
_TYPES = {1: 'B', 2: 'S1', 3: 'u2', 4: 'u4', 5: 'u8', 6: 'i1', 7: 'B', 8: 'i2', 9: 'i4', 10: 'i8',
          11: 'f4', 12: 'f8', 13: 'u4', 16: 'u8', 17: 'i8', 18: 'u8'}  # what a field is made of
_MOST_PICTURES, _MOST_FIELDS, _MOST_BYTES = 64, 200, 1 << 25
_AROUND_BYTES = 8  # GDAL writes the size of a tile before it, and a check behind it


@dataclass(frozen=True)
class TiffPicture:
    """
    A picture of a TIFF file: the whole, an overview or a mask.

    :param size: width and height in pixels.
    :param tile_size: width and height of its tiles.
    :param offsets: (N,) of the tiles in the file, row by row, plane by plane.
    :param counts: (N,) bytes of them.
    """

    size: tuple[int, int]
    tile_size: tuple[int, int]
    offsets: np.ndarray
    counts: np.ndarray

    def places(self, left: int, top: int, right: int, bottom: int) -> list[tuple[int, int]]:
        """Return offset and length in the file of the tiles that a window of pixels needs."""
        (width, height), (across, down) = self.tile_size, self._tiles
        columns = np.arange(left // width, -(-right // width))
        rows = np.arange(top // height, -(-bottom // height))
        first = (rows[:, None] * across + columns).ravel()
        every = first + np.arange(0, len(self.offsets), across * down)[:, None]
        return [(max(0, offset - _AROUND_BYTES), count + 2 * _AROUND_BYTES)
                for offset, count in zip(self.offsets[every].ravel().tolist(),
                                         self.counts[every].ravel().tolist()) if count]

    @property
    def _tiles(self) -> tuple[int, int]:
        return (-(-self.size[0] // self.tile_size[0]), -(-self.size[1] // self.tile_size[1]))


def pictures_of(read: Callable[[int, int], bytes]) -> list[TiffPicture]:
    """
    Return the pictures of a TIFF file.

    :param read: returns the bytes at an offset, as many as are asked for.
    :raises ValueError: if it is damaged, or not made of tiles.
    """
    start = read(0, 16)
    order = {b'II': '<', b'MM': '>'}.get(start[:2], '')
    kind, = struct.unpack(f'{order}H', start[2:4]) if order else (0,)
    if kind not in (42, 43):
        raise ValueError('it is no TIFF')
    place = struct.unpack(f'{order}I', start[4:8]) if kind == 42 else struct.unpack(
        f'{order}Q', start[8:16])
    pictures: list[TiffPicture] = []
    seen: set[int] = set()
    offset = place[0]
    while offset:
        if offset in seen or len(seen) >= _MOST_PICTURES:
            raise ValueError('its pictures go round in circles')
        seen.add(offset)
        fields, offset = _fields(read, offset, order, is_big=kind == 43)
        pictures.append(_picture(fields))
    return pictures


def _fields(read: Callable[[int, int], bytes], offset: int, order: str,
            is_big: bool) -> tuple[dict[int, np.ndarray], int]:
    """Return the fields of an image directory by their tags, and the offset of the next one."""
    count_format, entry_format = ('Q', 'HHQ8s') if is_big else ('H', 'HHI4s')
    width = struct.calcsize(f'{order}{count_format}')
    count, = struct.unpack(f'{order}{count_format}', read(offset, width))
    if count > _MOST_FIELDS:
        raise ValueError(f'a picture has {count} fields')
    step = struct.calcsize(f'{order}{entry_format}')
    table = read(offset + width, count * step)
    pointer = 'Q' if is_big else 'I'
    fields = {}
    for number in range(count):
        tag, kind, length, inline = struct.unpack_from(
            f'{order}{entry_format}', table, number * step)
        if kind not in _TYPES:
            continue
        dtype = np.dtype(order + _TYPES[kind])
        if length * dtype.itemsize > _MOST_BYTES:
            raise ValueError(f'a field has {length} values')
        if length * dtype.itemsize <= len(inline):
            data = inline[:length * dtype.itemsize]
        else:
            data = read(struct.unpack(f'{order}{pointer}', inline)[0], length * dtype.itemsize)
        fields[tag] = np.frombuffer(data, dtype)
    behind = offset + width + count * step
    return fields, struct.unpack(
        f'{order}{pointer}', read(behind, struct.calcsize(pointer)))[0]


def _picture(fields: dict[int, np.ndarray]) -> TiffPicture:
    try:
        size = int(fields[_WIDTH][0]), int(fields[_HEIGHT][0])
        tile_size = int(fields[_TILE_WIDTH][0]), int(fields[_TILE_HEIGHT][0])
        picture = TiffPicture(size, tile_size, fields[_OFFSETS].astype(np.int64),
                              fields[_COUNTS].astype(np.int64))
    except (KeyError, IndexError):
        raise ValueError('it is not made of tiles: "gdal_translate -of COG" makes a file that'
                         ' is') from None
    if min(*size, *tile_size) <= 0:
        raise ValueError('it has pictures without pixels')
    tiles = np.prod(-(-np.array(size) // tile_size))
    if not tiles or len(picture.offsets) % tiles or len(picture.counts) != len(picture.offsets):
        raise ValueError(f'it has {len(picture.offsets)} tiles where {tiles} are needed')
    return picture
