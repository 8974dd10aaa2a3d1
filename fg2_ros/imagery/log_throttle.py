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

"""Warnings that are logged once instead of at every attempt."""

from __future__ import annotations

import logging
import threading
import time

_SENTENCES_AT_MOST = 20


class LogThrottle:
    """
    Warnings without repetition: a sentence is logged again only after a while.

    However many different ones there are (servers have their say in them), a few are logged.

    :param logger: where they go.
    :param every_s: how long the same sentence is held back.
    """

    def __init__(self, logger: logging.Logger, every_s: float = 60.0):
        self._logger = logger
        self._every_s = every_s
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def warn(self, sentence: str) -> None:
        """Log a warning unless it was logged a short while ago."""
        now = time.monotonic()
        with self._lock:
            self._said = {said: at for said, at in self._said.items() if now - at < self._every_s}
            if sentence in self._said or len(self._said) >= _SENTENCES_AT_MOST:
                return
            self._said[sentence] = now
        self._logger.warning(sentence)
