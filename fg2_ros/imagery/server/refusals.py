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

"""Telling a tile that a server lacks from a refusal of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
import threading
import time

from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.decoding import TileProblem

_UNDOUBTED = 8  # refusals in a row ...
_UNDOUBTED_S = 5.0  # ... and how long none is doubted after a tile came
_BELIEVED_S = 30.0  # how long it stands that everything is refused, unless a tile comes
_OTHERS = 24  # that are asked for at most to find out


class Refusals:
    """
    What a refusal of a server means: that it has no such tile, or that it lets us have none.

    Storage services answer 403 to both. As long as other tiles come it is the former. Where that
    is in doubt others are asked for: the last one that came, then some that are wanted, and those
    above the one refused.

    :param ask: whether a tile comes; raises `TileProblem` if the server fails.
    :param wanted: returns tiles that are likely to be there.
    :param min_zoom: coarsest zoom that there is.
    """

    def __init__(self, ask: Callable[[TileId], bool], wanted: Callable[[], Iterable[TileId]],
                 min_zoom: int):
        self._ask = ask
        self._wanted = wanted
        self._min_zoom = min_zoom
        self._judging = threading.Lock()
        self._in_row = 0
        self._came: TileId | None = None  # the last one
        self._came_s = self._all_refused_s = -_BELIEVED_S  # monotonic

    def note_tile(self, tile: TileId) -> None:
        """Note that a tile came."""
        self._came, self._came_s, self._in_row = tile, time.monotonic(), 0
        self._all_refused_s = -_BELIEVED_S

    def mean_absence(self, tile: TileId) -> bool:
        """Return whether a refused tile is only not there; others are asked for if in doubt."""
        with self._judging:  # those that are refused together hear one judgement
            now_s = time.monotonic()
            self._in_row += 1
            if now_s - self._all_refused_s < _BELIEVED_S:
                return False
            if self._came and (self._in_row <= _UNDOUBTED or now_s - self._came_s < _UNDOUBTED_S):
                return True
            if self._another_comes(tile):
                return True
            self._came, self._all_refused_s = None, time.monotonic()
            return False

    def settle(self) -> None:
        """Ask for the last tile that came once more, so that refusals since then are certain."""
        if self._came and self._in_row:
            try:
                self._ask(self._came)
            except TileProblem:
                pass  # then they stay uncertain

    def _another_comes(self, tile: TileId) -> bool:
        last = (self._came,) if self._came else ()
        others = dict.fromkeys(chain(last, self._wanted(), _above(tile, self._min_zoom)))
        others.pop(tile, None)
        try:
            return any(map(self._ask, islice(others, _OTHERS)))
        except TileProblem:
            return False


def _above(tile: TileId, min_zoom: int) -> Iterable[TileId]:
    """Yield the tiles of some coarser zooms that hold a tile."""
    zooms = sorted({max(min_zoom, tile.zoom - less) for less in (2, 4, 7)} | {min_zoom})
    for zoom in reversed(zooms):
        if zoom < tile.zoom:
            yield TileId(zoom, tile.x >> tile.zoom - zoom, tile.y >> tile.zoom - zoom)
