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

"""A mailbox for the newest item, the worker thread that empties it, and its memory."""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import Any, Callable

# Of glibc's malloc.h: what `mallopt` sets, and to what.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
NAME = 'fg2_worker'
KEPT_BYTES, LARGEST_KEPT_BYTES = 2 ** 28, 2 ** 25  # in all, and as one block: glibc's limit


def keep_memory() -> None:
    """
    Reuse the memory of one image for the next; call it before threads are started.

    By default glibc gives the large blocks of a thread back to the system at once, which then
    clears page after page anew. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)  # the other threads' arenas have no room for large blocks
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def exclude_from_garbage_collection() -> None:
    """
    Exclude all current objects from garbage collection, until `gc.unfreeze`.

    The libraries of a network are some hundred thousand objects; collecting takes a fifth of a
    second, in which no other thread runs: no transform is broadcast, no message is received.
    """
    gc.collect()
    gc.freeze()


def is_busy() -> bool:
    """Return whether a worker has not ended."""
    return any(thread.name == NAME for thread in threading.enumerate())


class Mailbox:
    """Hand the newest item from the executor's thread to a worker; older ones are dropped."""

    def __init__(self):
        """Start empty and open."""
        self._changed = threading.Condition()
        self._item = None
        self._open = True
        self.dropped = 0

    def put(self, item: Any) -> None:
        """Leave an item, in the place of one that nobody took; returns at once."""
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self) -> Any:
        """Wait for an item and return it; None once the box is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or not self._open)
            item, self._item = self._item, None
            return item if self._open else None

    def clear(self) -> None:
        """Throw away what was not taken, uncounted."""
        with self._changed:
            self._item = None

    def close(self) -> None:
        """Wake the worker up for its end: from now on `take` returns None."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


class Worker:
    """
    A thread that processes the newest item, one at a time.

    :param process: called with each item; must not raise.
    """

    def __init__(self, process: Callable[[Any], None]):
        """Start the thread."""
        self.mailbox = Mailbox()
        self._process = process
        self._thread = threading.Thread(target=self._run, name=NAME)
        self._thread.start()

    def stop(self, patience_s: float | None = None) -> bool:
        """
        Finish the item at hand and end; return whether the thread is gone.

        :param patience_s: how long to wait for that; None for as long as it takes.
        """
        self.mailbox.close()
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self.mailbox.take()) is not None:
            self._process(item)
