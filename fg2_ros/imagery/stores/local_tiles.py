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

"""The tiles of a pyramid in a local file or folder, decoded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import logging
import os

from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import Label
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.stores.base import TileFile, unwrapped
from fg2_ros.imagery.stores.files import LocalReads
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.decoding import decode_tile, TileProblem
from fg2_ros.imagery.tiles.memory import TileMemory
from fg2_ros.imagery.tiles.store import Lookup, TileLayout
import numpy as np

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """A tile as the file had it; the image is None if it was missing, blank or damaged."""

    stamp: Hashable
    image: np.ndarray | None
    damaged: bool = False


class LocalTiles:
    """
    Tiles of a file or folder in memory; a `TileStore`.

    :param file: the encoded tiles; closed with the store.
    :param label: shown to the user.
    :param memory_bytes: bound of the decoded tiles in memory.
    """

    def __init__(self, file: TileFile, label: Label, memory_bytes: int = 96_000_000):
        self.label = label
        self.patch_bytes = memory_bytes
        self._file = file
        self._reads = LocalReads(label.name)
        self._memory: TileMemory[_Known] = TileMemory(memory_bytes)
        self._decoders = ThreadPoolExecutor(
            min(4, os.cpu_count() or 1), thread_name_prefix='fg2 tile decoder')
        self._notices = LogThrottle(_logger)

    def layout(self) -> TileLayout:
        """Return what there is now; see `TileStore.layout`."""
        with self._reads.one():
            return self._file.layout()

    def get(self, tiles: Sequence[TileId], tile_px: int, wait_s: float = 0.0) -> Lookup:
        """Return what there is of some tiles; there is never anything to wait for."""
        with self._reads.one():
            known = self._known(tiles, tile_px)
            self._reads.works()
        images = {tile: entry.image for tile, entry in known.items() if entry.image is not None}
        missing = len(images) < len(tiles)
        return Lookup(images, problem=(
            f'{self.label.name} has no tiles there at zoom {tiles[0].zoom}' if missing else ''))

    def request(self, tiles: Sequence[TileId]) -> None:
        """Do nothing: files are read when a patch is asked for."""

    def lacks(self, tiles: Sequence[TileId]) -> int:
        """Return that nothing is ever waited for."""
        return 0

    @property
    def tile_s(self) -> float:
        """Return that it takes no time worth waiting for."""
        return 0.0

    def status(self) -> ImageryStatus:
        """Return how it does, at once, also while tiles are read."""
        return self._reads.status(memory_tiles=len(self._memory))

    def close(self) -> None:
        """Close the file."""
        with self._reads.last():
            self._decoders.shutdown()
            self._file.close()

    def _known(self, tiles: Sequence[TileId], tile_px: int) -> dict[TileId, _Known]:
        """Return what is known of tiles, from memory or the file."""
        stamps = {tile: (self._file.stamp(tile), tile_px) for tile in tiles}
        entries = {tile: self._memory.get(tile) for tile in stamps}
        known = {tile: entry for tile, entry in entries.items()
                 if entry is not None and entry.stamp == stamps[tile]}
        missing = [tile for tile in stamps if tile not in known]
        fresh = self._decoders.map(
            _decoded, [stamps[tile] for tile in missing],
            [self._file.read(tile) for tile in missing], [tile_px] * len(missing))
        known |= dict(zip(missing, fresh))
        self._reads.hits += len(stamps) - len(missing)
        self._reads.misses += len(missing)
        self._complain([tile for tile in missing if known[tile].damaged])
        for tile, entry in known.items():
            self._memory.put(tile, entry)
        return known

    def _complain(self, damaged: list[TileId]) -> None:
        for tile in damaged:
            sentence = f'{self._file.path} has a damaged tile at {tile.zoom}/{tile.x}/{tile.y}'
            self._reads.note_error(sentence)
            self._notices.warn(sentence)


def _decoded(stamp: Hashable, data: bytes | None, tile_px: int) -> _Known:
    if data is None:
        return _Known(stamp, None)
    try:
        return _Known(stamp, decode_tile(unwrapped(data), tile_px))
    except TileProblem as problem:
        return _Known(stamp, None, damaged=not problem.absent)
    except ValueError:
        return _Known(stamp, None, damaged=True)
