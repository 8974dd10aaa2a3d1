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

"""What local files of imagery have in common: they may be replaced while in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import threading
from typing import Generic, Protocol, TypeVar

from fg2_ros.imagery.patch import FileProblem, ImageryError
from fg2_ros.imagery.status import ImageryStatus


class _Closable(Protocol):

    def close(self) -> None:
        """Close it."""


_Handle = TypeVar('_Handle', bound=_Closable)


class WatchedFile(Generic[_Handle]):
    """
    An open file, opened anew when it was replaced or could not be read.

    :param path: the file.
    :param open_file: opens it; what it returns has a ``close`` method.
    """

    def __init__(self, path: Path, open_file: Callable[[Path], _Handle]):
        self.path = path
        self._open_file = open_file
        self._handle: _Handle | None = None
        self._identity: tuple | None = None

    def get(self) -> _Handle:
        """
        Return the handle of the file as it is now.

        :raises FileProblem: if the file is not there or cannot be used.
        """
        try:
            state = os.stat(self.path)
        except OSError as error:
            self.drop()
            raise FileProblem(f'{self.path} cannot be read: {error.strerror}') from None
        identity = state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size
        if self._handle is None or identity != self._identity:
            self.drop()
            self._handle, self._identity = self._open_file(self.path), identity
        return self._handle

    def drop(self) -> None:
        """Close the handle, if there is one; the next `get` opens the file anew."""
        if self._handle is not None:
            self._handle.close()
        self._handle = None


class LocalReads:
    """
    The reads of a local source, one at a time, and what is counted of them.

    :param name: what messages call the source.
    """

    def __init__(self, name: str):
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._failing = False
        self._errors = 0
        self._last_error = ''
        self.hits = self.misses = 0  # counted by who reads

    @contextmanager
    def one(self) -> Iterator[None]:
        """
        Keep other threads from reading meanwhile, and record failures.

        :raises ImageryError: if the source is closed.
        """
        with self._lock:
            if self._closed:
                raise ImageryError(f'{self._name} is closed')
            try:
                yield
            except FileProblem as problem:
                self._failing = True
                self.note_error(str(problem))
                raise

    @contextmanager
    def last(self) -> Iterator[None]:
        """Close the source, which must not be read any more."""
        with self._lock:
            self._closed = True
            yield

    def works(self) -> None:
        """Note that the file can be read."""
        self._failing = False

    def note_error(self, sentence: str) -> None:
        """Count an error."""
        self._errors += 1
        self._last_error = sentence

    def status(self, memory_tiles: int = 0) -> ImageryStatus:
        """Return the status, without waiting for reads in progress."""
        return ImageryStatus(
            self._name, hits=self.hits, misses=self.misses, errors=self._errors,
            memory_tiles=memory_tiles, offline=self._failing, last_error=self._last_error)
