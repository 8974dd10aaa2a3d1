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

"""The status of imagery and its caches, for diagnostics and for fallbacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class CacheStatus:
    """
    How a tile cache on disk does.

    :param path: of the file.
    :param is_open: whether tiles are read from it.
    :param obstacle: why it is not open, or else why it is not written; '' if it is.
    """

    path: Path
    is_open: bool = True
    obstacle: str = ''

    @property
    def is_sound(self) -> bool:
        """Whether tiles are read from it and written to it."""
        return self.is_open and not self.obstacle

    def __str__(self) -> str:
        """Return the path, with what is wrong."""
        if not self.is_open:
            return f'off: {self.obstacle or "closed"}'
        return f'{self.path} (not written: {self.obstacle})' if self.obstacle else str(self.path)


@dataclass(frozen=True)
class PatchOrigin:
    """
    Where the last patch of a chain of sources came from; see `AerialPatch`.

    :param resolution_m: of the patch.
    :param native_resolution_m: of the imagery that it was made of; None if it is not known.
    """

    source: str
    vintage: str
    attribution: str
    resolution_m: float
    native_resolution_m: float | None


@dataclass(frozen=True)
class ImageryStatus:
    """
    How a source of imagery does, or several together.

    :param source: its name.
    :param hits: tiles, or patches, that were found where they are at once.
    :param misses: those that had to be fetched or decoded.
    :param disk_hits: tiles that came from the cache on disk.
    :param downloads: tiles that came from a server ...
    :param downloaded_bytes: ... and their size.
    :param absent: tiles that the source does not have.
    :param errors: what failed.
    :param pending: tiles that are being fetched.
    :param memory_tiles: tiles in memory.
    :param stale: tiles of the last patch that are out of date and cannot be had anew.
    :param offline: whether its last attempt failed.
    :param last_error: the last failure, a sentence.
    :param doubts: why its places may be wrong, sentences.
    :param caches: its caches on disk.
    :param members: the sources it consists of.
    :param last_patch: where its last patch came from, if it consists of several.
    """

    source: str
    hits: int = 0
    misses: int = 0
    disk_hits: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    absent: int = 0
    errors: int = 0
    pending: int = 0
    memory_tiles: int = 0
    stale: int = 0
    offline: bool = False
    last_error: str = ''
    doubts: tuple[str, ...] = ()
    caches: tuple[CacheStatus, ...] = ()
    members: tuple[ImageryStatus, ...] = ()
    last_patch: PatchOrigin | None = None

    @property
    def counters(self) -> dict[str, int]:
        """Return all that is counted."""
        return {name: getattr(self, name) for name in _COUNTERS}


_COUNTERS = [field.name for field in fields(ImageryStatus) if field.type == 'int']


def combined(members: Sequence[ImageryStatus],
             last_patch: PatchOrigin | None = None) -> ImageryStatus:
    """Return the status of several sources: sums, and the troubles of those that fail first."""
    failing = [member for member in members if member.offline]
    errors = [member.last_error for member in (*failing, *members) if member.last_error]
    caches = dict.fromkeys(cache for member in members for cache in member.caches)
    sums = {name: sum(member.counters[name] for member in members) for name in _COUNTERS}
    return ImageryStatus(
        ', '.join(member.source for member in members), **sums, offline=bool(failing),
        last_error=errors[0] if errors else '',
        doubts=tuple(doubt for member in members for doubt in member.doubts),
        caches=tuple(sorted(caches, key=lambda cache: cache.is_open)), members=tuple(members),
        last_patch=last_patch)
