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

"""Rate and age of the messages of a topic."""

from __future__ import annotations

from collections import deque
import time

RATE_OVER_S = 5.0


class Arrivals:
    """The times at which the last messages of a topic arrived."""

    def __init__(self) -> None:
        """Start with none."""
        self.count = 0
        self._when_s: deque[float] = deque(maxlen=1000)

    def note(self) -> None:
        """Record a message that has just arrived."""
        self.count += 1
        self._when_s.append(time.monotonic())

    @property
    def rate_hz(self) -> float:
        """Return how many come in a second."""
        now_s = time.monotonic()
        recent = [when_s for when_s in self._when_s if now_s - when_s <= RATE_OVER_S]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)

    @property
    def age_s(self) -> float:
        """Return how long ago the last one came; infinite if there was none."""
        return time.monotonic() - self._when_s[-1] if self._when_s else float('inf')
