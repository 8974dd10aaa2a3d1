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

"""Back-off: pauses after failures of a server."""

from __future__ import annotations

import random
import threading
import time

_LONGEST_RETRY_AFTER_S = 3600.0


class Backoff:
    """
    The pause in which a failing server is left alone.

    :param first_s: pause after the first failure; it doubles with each further one.
    :param longest_s: longest pause of its own; a server may ask for up to an hour.
    """

    def __init__(self, first_s: float, longest_s: float):
        self._first_s = first_s
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = -1.0
        self._until = -1.0

    def remaining_s(self) -> float:
        """Return how long the server is still to be left alone; 0 if it may be asked."""
        with self._lock:
            return max(0.0, self._until - time.monotonic())

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def failed(self, began_s: float, retry_after_s: float | None = None) -> None:
        """
        Count a failure of an attempt and begin the next pause.

        :param began_s: when the attempt began (`time.monotonic`); attempts that were under way
            together fail together and count once.
        :param retry_after_s: the pause that the server asked for.
        """
        with self._lock:
            now = time.monotonic()
            pause_s = min(retry_after_s or 0.0, _LONGEST_RETRY_AFTER_S)
            if began_s > self._failed_at:
                self._failures += 1
                self._failed_at = now
                doubled_s = self._first_s * 2.0 ** min(self._failures - 1, 20)
                # Vehicles that lost a server together should not come back in the same second.
                pause_s = max(pause_s, min(doubled_s, self._longest_s) * random.uniform(0.9, 1.1))
            self._until = max(self._until, now + pause_s)

    def succeeded(self) -> None:
        """Forget the failures."""
        with self._lock:
            self._failures = 0
            self._until = -1.0
