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
from collections.abc import Hashable
import html
import io
from pathlib import Path
import re

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.store import TileLayout
from PIL import Image

MAX_ZOOM = 24
_TILE_SIDES = (256, 512)


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
    text = html.unescape(re.sub(r'<[^<>]*>', '', str(markup or '')))
    return ' '.join(text.split())
