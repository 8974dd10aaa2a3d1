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

"""GeoTIFFs on a web server, read by HTTP range requests."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
import os
from pathlib import Path
import re
import struct
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.server.http_client import BodyLimit, HttpClient, HttpSettings
from fg2_ros.imagery.stores.formats import driver_of
from fg2_ros.imagery.stores.tiff_layout import pictures_of, TiffPicture
from fg2_ros.imagery.tiles.decoding import TileProblem
import numpy as np

_BLOCK_BYTES = 1 << 16
_BLOCKS_AT_ONCE = 64
_MOST_BLOCKS = 1 << 14  # on disk: a gigabyte
_MOST_PIXELS_ALONE = 4_000_000  # without overviews
_SHORTEST_SECRET = 8


class RangedFile:
    """
    A GeoTIFF on a server, and a file on disk into which the parts of it that are needed come.

    :param url: its address; never shown, as it may hold a key.
    :param shown: what messages call it.
    :param settings: time-outs and who we say we are.
    """

    def __init__(self, url: str, shown: str, settings: HttpSettings):
        secrets = _secrets(url)
        self.shown = shown
        self._url = url
        self._client = HttpClient(
            settings, secrets, lambda other: any(secret in unquote(other) for secret in secrets))
        self._folder: TemporaryDirectory | None = None
        self._file: BinaryIO | None = None
        self._there: set[int] = set()  # blocks
        self._version = ''
        self._size = 0
        self._pictures: list[TiffPicture] = []

    def begin(self) -> Path:
        """
        Return the file on disk, with all in it but pixels.

        :raises FileProblem: if the server does not send it, or it is no GeoTIFF made of tiles.
        """
        self.drop()
        try:
            self._folder = TemporaryDirectory(prefix='fg2_ros_')
            path = Path(self._folder.name) / 'remote.tif'
            self._file = path.open('w+b', buffering=0)
            if driver_of(self._read(0, 4)) != 'GTiff':
                raise FileProblem(f'{self.shown} is no GeoTIFF')
            self._pictures = pictures_of(self._read)
            self._file.truncate(self._size)
            largest = max(self._pictures, key=lambda picture: picture.size)
            if len(self._pictures) == 1 and np.prod(largest.size) > _MOST_PIXELS_ALONE:
                raise FileProblem(f'{self.shown} has no overviews: "gdal_translate -of COG" makes'
                                  ' a file that has')
        except (OSError, ValueError, struct.error) as error:
            self.drop()
            raise FileProblem(
                f'{self.shown} is damaged or cannot be kept on disk: {error}') from None
        except BaseException:
            self.drop()
            raise
        return path

    def fetch(self, size: tuple[int, int], window: tuple[int, int, int, int]) -> bool:
        """
        Fetch what a window of pixels needs, and return whether anything had to be fetched.

        :param size: width and height of the picture that the window is of: the whole or an
            overview; that of its mask comes along.
        :param window: left, top, right and bottom in its pixels.
        :raises FileProblem: if the server does not send it.
        """
        before = len(self._there)
        for picture in self._pictures:
            if picture.size == size:
                blocks = {block for offset, length in picture.places(*window)
                          for block in self._blocks(offset, length)}
                if len(blocks | self._there) > _MOST_BLOCKS:
                    raise FileProblem(f'of {self.shown} there is more on disk than'
                                      f' {_MOST_BLOCKS * _BLOCK_BYTES / 1e6:.0f} MB: it is left')
                self._require(blocks)
        return len(self._there) > before

    def drop(self) -> None:
        """Forget what was fetched."""
        if self._file is not None:
            self._file.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._file = self._folder = None
        self._there.clear()
        self._version, self._size, self._pictures = '', 0, []

    def close(self) -> None:
        """Break off what is under way; nothing can be fetched any more."""
        self._client.close()

    def _blocks(self, offset: int, length: int) -> range:
        end = min(offset + length, self._size) if self._size else offset + length
        if offset < 0 or offset + length - end > 2 * _BLOCK_BYTES:
            raise FileProblem(f'{self.shown} is damaged: it ends before {length} bytes at'
                              f' {offset}')
        return range(offset // _BLOCK_BYTES, -(-end // _BLOCK_BYTES))

    def _read(self, offset: int, length: int) -> bytes:
        """Return bytes of it, fewer at its end."""
        self._require(set(self._blocks(offset, length)))
        assert self._file is not None
        data = os.pread(self._file.fileno(), length, offset)
        if len(data) < length:
            raise ValueError('it ends too early')
        return data

    def _require(self, blocks: set[int]) -> None:
        """Fetch the blocks that are not there, those in a row together."""
        missing = sorted(blocks - self._there)
        for _, group in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
            run = [block for _, block in group]
            for start in range(0, len(run), _BLOCKS_AT_ONCE):
                some = run[start:start + _BLOCKS_AT_ONCE]
                try:
                    data = self._fetched(some[0] * _BLOCK_BYTES, len(some) * _BLOCK_BYTES)
                except TileProblem as problem:
                    raise FileProblem(f'{self.shown} {problem}') from None
                assert self._file is not None
                os.pwrite(self._file.fileno(), data, some[0] * _BLOCK_BYTES)
                self._there.update(some)

    def _fetched(self, first: int, length: int) -> bytes:
        asked = {'Range': f'bytes={first}-{first + length - 1}'}
        answer = self._client.get(self._url, asked, _limit)
        version = answer.headers.get('ETag', '') or answer.headers.get('Last-Modified', '')
        match = re.fullmatch(r'bytes (\d{1,15})-(\d{1,15})/(\d{1,15})',
                             answer.headers.get('Content-Range', '').strip())
        if match is None or int(match[1]) != first:
            raise TileProblem('sent another part of the file than it was asked for')
        size = int(match[3])
        if self._size and (size, version) != (self._size, self._version):
            raise TileProblem('has another file there than a moment ago')
        if len(answer.body) != min(length, size - first):
            raise TileProblem('broke off its answer')
        self._size, self._version = size, version
        return answer.body


def _limit(status: int, headers: Mapping[str, str]) -> BodyLimit:
    if status == 200:
        raise TileProblem('sends whole files only, and no parts of them')
    if status != 206:
        raise TileProblem(f'answered {status}')
    return BodyLimit(_BLOCKS_AT_ONCE * _BLOCK_BYTES)


def _secrets(url: str) -> tuple[str, ...]:
    """Return what in an address may be a key or a login."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query) if len(value) >= _SHORTEST_SECRET]
    return tuple(value for value in (*values, parts.username, parts.password) if value)
