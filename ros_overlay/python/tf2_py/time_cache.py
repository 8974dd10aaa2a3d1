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

"""The history of one frame relative to its parent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from tf2_py.exceptions import ExtrapolationException
from tf2_py.rigid import interpolate, Rigid

LATEST = 0  # the time that asks for the newest transform there is


class Sample(NamedTuple):
    """Where a frame was in its parent at a time (nanoseconds)."""

    stamp_ns: int
    parent: str
    motion: Rigid


class StaticCache:
    """The one sample of a frame that never moves."""

    is_static = True

    def __init__(self) -> None:
        self._sample: Sample | None = None

    def insert(self, sample: Sample) -> bool:
        """Replace the sample."""
        self._sample = sample
        return True

    def clear(self) -> None:
        """Keep the sample: a static transform outlives a jump of the clock, as in tf2."""

    def latest(self) -> Sample:
        """Return the sample, valid at any time."""
        return self.at(LATEST)

    def at(self, stamp_ns: int) -> Sample:
        """Return the sample as of ``stamp_ns``."""
        assert self._sample is not None, 'a cache is made for a sample, which is inserted first'
        return self._sample._replace(stamp_ns=stamp_ns)


class TimeCache:
    """The samples of a moving frame, oldest first, no older than ``span_ns`` before the newest."""

    is_static = False

    def __init__(self, span_ns: int) -> None:
        self._span_ns = span_ns
        self._stamps: list[int] = []
        self._samples: list[Sample] = []

    def insert(self, sample: Sample) -> bool:
        """Insert a sample in order; return False if it is older than the cache reaches."""
        self._drop_old()
        if self._stamps and sample.stamp_ns < self._stamps[-1] - self._span_ns:
            return False
        if sample not in self._samples[bisect_left(self._stamps, sample.stamp_ns):]:
            index = bisect_right(self._stamps, sample.stamp_ns)
            self._stamps.insert(index, sample.stamp_ns)
            self._samples.insert(index, sample)
        return True

    def clear(self) -> None:
        """Forget all samples."""
        self._stamps.clear()
        self._samples.clear()

    def latest(self) -> Sample | None:
        """Return the newest sample, None if there is none."""
        return self._samples[-1] if self._samples else None

    def at(self, stamp_ns: int) -> Sample:
        """
        Return the sample of ``stamp_ns``, interpolated between its neighbours.

        :raises ExtrapolationException: if the time lies outside the samples.
        """
        if stamp_ns == LATEST and self._samples:
            return self._samples[-1]
        self._check_inside(stamp_ns)
        index = bisect_right(self._stamps, stamp_ns)
        older = self._samples[index - 1]
        if older.stamp_ns == stamp_ns:
            return older
        newer = self._samples[index]
        if newer.parent != older.parent:
            return older
        ratio = (stamp_ns - older.stamp_ns) / (newer.stamp_ns - older.stamp_ns)
        return Sample(stamp_ns, older.parent, interpolate(older.motion, newer.motion, ratio))

    def _check_inside(self, stamp_ns: int) -> None:
        earliest, latest = (self._stamps[0], self._stamps[-1]) if self._stamps else (0, 0)
        if earliest <= stamp_ns <= latest and self._stamps:
            return
        if len(self._stamps) < 2:
            raise ExtrapolationException(
                f'Lookup would require extrapolation at time {seconds(stamp_ns)}, but only time '
                f'{seconds(latest)} is in the buffer')
        if stamp_ns > latest:
            raise ExtrapolationException(
                'Lookup would require extrapolation into the future.  Requested time '
                f'{seconds(stamp_ns)} but the latest data is at time {seconds(latest)}')
        raise ExtrapolationException(
            'Lookup would require extrapolation into the past.  Requested time '
            f'{seconds(stamp_ns)} but the earliest data is at time {seconds(earliest)}')

    def _drop_old(self) -> None:
        if self._stamps:
            index = bisect_left(self._stamps, self._stamps[-1] - self._span_ns)
            del self._stamps[:index], self._samples[:index]


def seconds(stamp_ns: int) -> str:
    """Return a time as tf2's messages write it."""
    return f'{stamp_ns / 1e9:.6f}'
