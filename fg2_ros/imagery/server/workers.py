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

"""Background threads that process tiles, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import logging
import threading
import time
from typing import Any

from fg2_ros.imagery.tiles.address import TileId

_LONGEST = 2048
_logger = logging.getLogger(__name__)


class TileWorkers:
    """
    Tiles that wait, and the threads that take from them.

    :param name: of the threads.
    :param threads: how many.
    :param handle: what is done with each tile.
    :param rank: the waiting tile with the smallest is next; it may change while tiles wait.
    """

    def __init__(self, name: str, threads: int, handle: Callable[[TileId], None],
                 rank: Callable[[TileId], Any]):
        """Start the threads."""
        self._handle = handle
        self._rank = rank
        self._waiting: set[TileId] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f'{name} {i}', daemon=True)
            for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def push(self, tiles: Iterable[TileId]) -> list[TileId]:
        """Add tiles; return the least urgent ones, given up because it is too many."""
        with self._changed:
            self._waiting.update(tiles)
            dropped = []
            if len(self._waiting) > _LONGEST:
                dropped = sorted(self._waiting, key=self._rank)[_LONGEST:]
                self._waiting.difference_update(dropped)
            self._changed.notify_all()
            return dropped

    def drop(self, tiles: Iterable[TileId]) -> list[TileId]:
        """Give up those of some tiles that no thread has begun, and return them."""
        with self._changed:
            dropped = self._waiting.intersection(tiles)
            self._waiting -= dropped
            return list(dropped)

    def clear(self) -> list[TileId]:
        """Give up and return all tiles that no thread has begun."""
        with self._changed:
            dropped, self._waiting = list(self._waiting), set()
            return dropped

    def stop(self) -> None:
        """Tell the threads to end after what they are at."""
        with self._changed:
            self._closed = True
            self._waiting = set()
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads; return whether all have ended."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                tile = min(self._waiting, key=self._rank)
                self._waiting.remove(tile)
            try:
                self._handle(tile)
            except Exception:  # a thread that dies would silently end all fetching
                _logger.exception('a tile could not be handled')
