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

"""Offsets between the clocks of the sensors and that of the camera."""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_COUNT, MIN_COUNT = 50, 5  # messages of a topic
MAX_DELAY_S = 1.0  # a median difference above this is no delay but an offset


class Clocks:
    """
    Compares the stamps of messages with that of the newest image; may be read from any thread.

    When a message arrives, the newest image is at most one image period old; a larger difference
    of the stamps is an offset of the clocks, or a delay.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.clear()

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        self._image_ns: int | None = None
        self._behind_s: dict[str, deque[float]] = {}

    def note_image(self, stamp_ns: int) -> None:
        """Record the stamp of an image that has just arrived."""
        self._image_ns = stamp_ns

    def note(self, topic: str, stamp_ns: int) -> None:
        """Record the stamp of a sensor's message that has just arrived."""
        if self._image_ns is not None:
            self._behind_s.setdefault(topic, deque(maxlen=MAX_COUNT)).append(
                (self._image_ns - stamp_ns) / 1e9)

    def behind_s(self) -> dict[str, float]:
        """Return by topic how many seconds its stamps lie before those of the images."""
        return {topic: float(np.median(list(each)))
                for topic, each in list(self._behind_s.items()) if len(each) >= MIN_COUNT}

    def problem(self) -> str:
        """Return a sentence on topics that steadily differ; '' if none does."""
        found = [f'{topic} by {abs(seconds):.1f} s {"behind" if seconds > 0 else "ahead"}'
                 for topic, seconds in sorted(self.behind_s().items())
                 if abs(seconds) > MAX_DELAY_S]
        if not found:
            return ''
        return f'clocks differ from that of the images: {", ".join(found)}'
