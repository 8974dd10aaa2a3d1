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

"""What sources in local files have in common: a file that may be replaced while it is in use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path
import threading
from typing import Generic, TypeVar

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import AerialPatch, ImageryError, require_enough
from fg2_ros.imagery.resample import PatchView
import numpy as np

_Handle = TypeVar('_Handle')


class FileProblem(ImageryError):
    """A file or folder cannot be read; the message names it."""


@dataclass(frozen=True)
class Label:
    """
    What people are told of a source.

    :param name: what messages call it.
    :param vintage: when the pictures were taken.
    :param attribution: whom they belong to.
    """

    name: str
    vintage: str = ''
    attribution: str = ''


@dataclass(frozen=True)
class Cutout:
    """
    What a file holds of a patch.

    :param image: (H, H, 3) uint8 RGB, black where there is nothing.
    :param valid: (H, H) bool, False there; None if there is something everywhere.
    :param resolution_m: ground that a pixel of the file spans there.
    :param problem: why something is missing; a sentence that goes on after 'lacks 60% ...: '.
    """

    image: np.ndarray
    valid: np.ndarray | None
    resolution_m: float
    problem: str


class WatchedFile(Generic[_Handle]):
    """
    An open file, opened anew when it was replaced or could not be read.

    :param path: the file.
    :param open_file: opens it; what it returns has a ``close`` method.
    """

    def __init__(self, path: Path, open_file: Callable[[Path], _Handle]):
        """Open nothing yet."""
        self.path = path
        self._open_file = open_file
        self._handle: _Handle | None = None
        self._identity: tuple = ()

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


class LocalImagery(ABC):
    """
    Patches from a local file or folder; implements `fg2_ros.imagery.patch.Imagery`.

    :param label: what people are told of it.
    """

    def __init__(self, label: Label):
        """Begin with nothing counted."""
        self.label = label
        self._lock = threading.Lock()
        self._closed = False
        self._hits = self._misses = self._errors = 0
        self._failing = False
        self._last_error = ''
        self._bounds: tuple[float, ...] = ()  # west, south, east, north in degrees, once known

    @property
    def name(self) -> str:
        """Return what messages call the source."""
        return self.label.name

    def patch(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
              size_px: int, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`. There is never anything to wait for.

        :raises ImageryError: if the file cannot be read or lacks more than half of the patch.
        :raises ValueError: if the patch asked for makes no sense.
        """
        view = PatchView(frame, centre_m, size_m, size_px)
        with self._lock:
            if self._closed:
                raise ImageryError(f'{self.name} is closed')
            cutout = self._counted_cut(view)
        return require_enough(AerialPatch(
            cutout.image, frame, tuple(centre_m), size_m, cutout.valid, self.name,
            vintage=self.label.vintage, attribution=self.label.attribution,
            native_resolution_m=cutout.resolution_m), cutout.problem)

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """
        Do nothing: files are read when a patch is asked for.

        :raises ImageryError: if the place is outside the bounds that were found at the last patch,
            so that another source is asked.
        """
        view = PatchView(frame, centre_m, size_m, size_px)
        if self._bounds and not view.reaches(self._bounds):
            raise ImageryError(f'{self.name} has no imagery here: the place is outside its bounds')

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._closed = True
            self._close()

    def stats(self) -> dict:
        """Return the counters of `Imagery.stats`, at once, also while a patch is being cut."""
        return {'source': self.name, 'hits': self._hits, 'misses': self._misses,
                'errors': self._errors, 'pending': 0, 'offline': self._failing,
                'last_error': self._last_error}

    def _counted_cut(self, view: PatchView) -> Cutout:
        try:
            cutout = self._cut(view)
        except FileProblem as problem:
            self._failing = True
            self._note_error(str(problem))
            raise
        self._failing = False
        return cutout

    def _note_error(self, sentence: str) -> None:
        self._errors += 1
        self._last_error = sentence

    @abstractmethod
    def _cut(self, view: PatchView) -> Cutout:
        """
        Return what the file holds of a patch; called by one thread at a time.

        :raises FileProblem: if it cannot be read.
        :raises ImageryError: if the place is not on its map.
        """

    @abstractmethod
    def _close(self) -> None:
        """Close what is open."""
