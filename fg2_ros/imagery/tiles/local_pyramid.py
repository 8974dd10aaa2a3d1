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

"""Aerial patches from a local tile pyramid."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import logging
import os

from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import ImageryError, MAX_MISSING
from fg2_ros.imagery.resample import PatchView, source_resolution_m
from fg2_ros.imagery.stores.base import TileLayout, TileStore
from fg2_ros.imagery.stores.files import Cutout, Label, LocalImagery
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.decoding import decode_tile, TileProblem
from fg2_ros.imagery.tiles.mosaic import Footprint, footprint, patch_from_tiles, zooms_to_try
import numpy as np

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """A tile as the store had it; the image is None if it was missing, blank or damaged."""

    stamp: Hashable
    image: np.ndarray | None
    damaged: bool = False


class LocalTiles(LocalImagery):
    """
    Patches of a tile pyramid in a file or folder; see `LocalImagery`.

    Where a place has less than half of the tiles at the zoom wanted, coarser ones serve.

    :param store: the tiles; closed with the source.
    :param label: what people are told of it.
    :param memory_bytes: bound of the decoded tiles in memory.
    """

    def __init__(self, store: TileStore, label: Label, memory_bytes: int = 96_000_000):
        """Read no tile yet."""
        super().__init__(label)
        self._store = store
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[TileId, _Known] = OrderedDict()
        self._decoders = ThreadPoolExecutor(
            min(4, os.cpu_count() or 1), thread_name_prefix='fg2 tile decoder')
        self._notices = LogThrottle(_logger)

    def _cut(self, view: PatchView) -> Cutout:
        layout = self._store.layout()
        self._bounds = layout.bounds
        first = None
        for zoom in zooms_to_try(view, layout):
            cutout = self._cut_at(view, layout, zoom)
            if cutout.valid is None or cutout.valid.mean() >= 1 - MAX_MISSING:
                return cutout
            first = first or cutout
        return first

    def _cut_at(self, view: PatchView, layout: TileLayout, zoom: int) -> Cutout:
        needed = footprint(view, layout, zoom)
        images = self._images(needed, layout)
        image, valid = patch_from_tiles(needed, images, layout.tile_px, view.size_px)
        resolution_m = source_resolution_m(view.size_m, needed.x_nodes, needed.y_nodes)
        return Cutout(image, valid, resolution_m, f'it has no tiles there at zoom {zoom}')

    def _images(self, needed: Footprint, layout: TileLayout) -> dict[TileId, np.ndarray]:
        """Return the tiles that there are, from memory or the store."""
        most = self._memory_bytes // (3 * layout.tile_px ** 2)
        if len(needed.addresses) > most:
            raise ImageryError(f'{self.name} has no coarser tiles: the patch would need'
                               f' {len(needed.addresses)} of them, more than {most}')
        stamps = {tile: self._store.stamp(tile) for tile in needed.addresses}
        known = {tile: self._memory[tile] for tile, stamp in stamps.items()
                 if tile in self._memory and self._memory[tile].stamp == stamp}
        missing = [tile for tile in stamps if tile not in known]
        fresh = self._decoders.map(
            _known, [stamps[tile] for tile in missing],
            [self._store.read(tile) for tile in missing], [layout.tile_px] * len(missing))
        known |= dict(zip(missing, fresh))
        self._hits += len(stamps) - len(missing)
        self._misses += len(missing)
        self._complain([tile for tile in missing if known[tile].damaged])
        self._keep(known, most)
        return {tile: entry.image for tile, entry in known.items() if entry.image is not None}

    def _complain(self, damaged: list[TileId]) -> None:
        for tile in damaged:
            sentence = f'{self._store.path} has a damaged tile at {tile.zoom}/{tile.x}/{tile.y}'
            self._note_error(sentence)
            self._notices.warn(sentence)

    def _keep(self, tiles: dict[TileId, _Known], most: int) -> None:
        for tile, known in tiles.items():
            self._memory[tile] = known
            self._memory.move_to_end(tile)
        while len(self._memory) > most:
            self._memory.popitem(last=False)

    def _close(self) -> None:
        self._decoders.shutdown()
        self._store.close()
        self._memory.clear()


def _known(stamp: Hashable, data: bytes | None, tile_px: int) -> _Known:
    if data is None:
        return _Known(stamp, None)
    try:
        return _Known(stamp, decode_tile(data, tile_px))
    except TileProblem as problem:
        return _Known(stamp, None, damaged=not problem.absent)
