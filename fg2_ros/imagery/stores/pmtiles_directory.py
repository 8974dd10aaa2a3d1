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

"""Directories of PMTiles archives of version 3: which tile lies where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LONGEST_NUMBER = 10  # bytes that 64 bits take


@dataclass(frozen=True)
class Entry:
    """
    Where some tiles, or a directory of more of them, lie.

    :param first_id: of the tiles.
    :param run: how many tiles in a row are this one; 0 if it is a directory.
    :param offset: in bytes, from where tiles, or directories, begin.
    :param length: in bytes.
    """

    first_id: int
    run: int
    offset: int
    length: int


class Directory:
    """
    Entries in the order of their tiles.

    :param data: the directory, unpacked.
    :raises ValueError: if it is none.
    """

    def __init__(self, data: bytes):
        numbers = _numbers(data)
        count = int(numbers[0])
        if len(numbers) - 1 != 4 * count:
            raise ValueError(f'a directory of {count} entries has {len(numbers) - 1} numbers')
        steps, self._runs, self._lengths, places = numbers[1:].reshape(4, count)
        self._ids = np.cumsum(steps)
        self._offsets = _offsets(places, self._lengths)
        if np.any(self._ids[1:] <= self._ids[:-1]):
            raise ValueError('the tiles of a directory are out of order')

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._ids)

    def __getitem__(self, index: int) -> Entry:
        """Return an entry."""
        columns = self._ids, self._runs, self._offsets, self._lengths
        return Entry(*(int(column[index]) for column in columns))

    def last_up_to(self, tile_id: int) -> int:
        """Return the index of the last entry that begins at a tile or before it; -1 for none."""
        return int(np.searchsorted(self._ids, np.uint64(tile_id), side='right')) - 1


def _numbers(data: bytes) -> np.ndarray:
    """Return the uint64 numbers that are written as 7 bits a byte, the lowest first."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise ValueError('a directory is cut off')
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(len(raw)) - np.repeat(starts, ends + 1 - starts)
    if place.max() >= _LONGEST_NUMBER:
        raise ValueError('a directory has numbers of more than 64 bits')
    parts = (raw & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(parts, starts)


def _offsets(places: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return where entries lie: 0 means behind the one before, others are one more than that."""
    if not len(places) or not places[0]:
        return places
    before = np.cumsum(lengths) - lengths
    anchors = np.maximum.accumulate(np.where(places > 0, np.arange(len(places)), 0))
    return places[anchors] - np.uint64(1) + before - before[anchors]
