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

"""A short, time-ordered memory of stamped values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter
from typing import Any

_STAMP = itemgetter(0)


class History:
    """
    Values of the last ``span_ns`` nanoseconds, in the order of their stamps.

    Late values are sorted in; a value with a stamp that is there already takes its place.
    """

    def __init__(self, span_ns: int):
        self._span_ns = span_ns
        self._items: list[tuple[int, Any]] = []

    def __len__(self) -> int:
        """Return how many values are remembered."""
        return len(self._items)

    def add(self, stamp_ns: int, value: Any) -> None:
        """Remember a value, and forget those that are older than the span."""
        at = bisect_left(self._items, stamp_ns, key=_STAMP)
        if at < len(self._items) and self._items[at][0] == stamp_ns:
            self._items[at] = stamp_ns, value
        else:
            insort(self._items, (stamp_ns, value), key=_STAMP)
        oldest_ns = self._items[-1][0] - self._span_ns
        del self._items[:bisect_left(self._items, oldest_ns, key=_STAMP)]

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()

    def around(self, stamp_ns: int):
        """Return the last (stamp, value) at or before a stamp and the first after, or None."""
        at = bisect_right(self._items, stamp_ns, key=_STAMP)
        before = self._items[at - 1] if at else None
        after = self._items[at] if at < len(self._items) else None
        return before, after

    def nearest(self, stamp_ns: int):
        """Return the (stamp, value) nearest in time; None if there is none."""
        known = [item for item in self.around(stamp_ns) if item]
        return min(known, key=lambda item: abs(item[0] - stamp_ns)) if known else None

    def between(self, first_ns: int, last_ns: int) -> list[tuple[int, Any]]:
        """Return the (stamp, value) pairs from the first to the last stamp, both included."""
        return self._items[bisect_left(self._items, first_ns, key=_STAMP):
                           bisect_right(self._items, last_ns, key=_STAMP)]
