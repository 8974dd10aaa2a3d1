"""Background threads that work through tiles, the newest wish first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import logging
import threading
import time

from fg2_ros.imagery.sources import TileId

_LONGEST = 2048
_logger = logging.getLogger(__name__)


class Lane:
    """
    A stack of tiles and the threads that take from it.

    What was asked for last is done first: the vehicle has left the places it asked for before.

    :param name: of the threads.
    :param threads: how many.
    :param handle: what is done with each tile.
    """

    def __init__(self, name: str, threads: int, handle: Callable[[TileId], None]):
        """Start the threads."""
        self._handle = handle
        self._stack: list[TileId] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f'{name} {i}', daemon=True)
            for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def push(self, tiles: Iterable[TileId]) -> list[TileId]:
        """Add tiles to be done in this order; return those given up because it is too many."""
        with self._changed:
            self._stack.extend(reversed(list(tiles)))
            surplus = len(self._stack) - _LONGEST
            dropped, self._stack = self._stack[:max(0, surplus)], self._stack[max(0, surplus):]
            self._changed.notify_all()
            return dropped

    def clear(self) -> list[TileId]:
        """Give up and return all tiles that no thread has begun."""
        with self._changed:
            dropped, self._stack = self._stack, []
            return dropped

    def stop(self) -> None:
        """Tell the threads to end after what they are at."""
        with self._changed:
            self._closed = True
            self._stack = []
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
                self._changed.wait_for(lambda: self._stack or self._closed)
                if self._closed:
                    return
                tile = self._stack.pop()
            try:
                self._handle(tile)
            except Exception:  # a thread that dies would silently end all fetching
                _logger.exception('a tile could not be handled')
