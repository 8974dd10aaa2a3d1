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

"""A bounded memory of decoded tiles."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

from fg2_ros.imagery.tiles.address import TileId

_NO_IMAGE_BYTES = 500  # what it takes to know that there is no tile
_T = TypeVar('_T')  # has an ``image``: the decoded tile, or None if there is none


class TileMemory(Generic[_T]):
    """
    What is known of tiles; what was not used for longest makes room. Threads take turns.

    :param max_bytes: bound of the images.
    """

    def __init__(self, max_bytes: int):
        self._left = max_bytes
        self._entries: OrderedDict[TileId, _T] = OrderedDict()

    def __len__(self) -> int:
        """Return how many tiles there are."""
        return len(self._entries)

    def __contains__(self, tile: TileId) -> bool:
        """Return whether a tile is there; that is no use of it."""
        return tile in self._entries

    def get(self, tile: TileId) -> _T | None:
        """Return what is known of a tile, without using it."""
        return self._entries.get(tile)

    def use(self, tile: TileId) -> _T:
        """Return what is known of a tile that is there, and keep it for longer."""
        self._entries.move_to_end(tile)
        return self._entries[tile]

    def put(self, tile: TileId, entry: _T) -> None:
        """Keep what is known of a tile as what was used last."""
        previous = self._entries.pop(tile, None)
        self._entries[tile] = entry
        self._left += (_bytes(previous) if previous else 0) - _bytes(entry)
        while self._left < 0:
            _, oldest = self._entries.popitem(last=False)
            self._left += _bytes(oldest)


def _bytes(entry: Any) -> int:
    return _NO_IMAGE_BYTES if entry.image is None else entry.image.nbytes
