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

"""Handling of Ctrl-C and SIGTERM at any moment."""

from __future__ import annotations

import signal
import sys


class Interruption:
    """
    Ends the demo on Ctrl-C and SIGTERM, with all its children.

    An exception that is raised from a signal's handler gets lost where Python cannot pass it on,
    in a destructor for instance: `check` raises it again.
    """

    def __init__(self) -> None:
        self._requested = False
        self.polled = False  # whether `check` is called all the time: then nothing is raised

    def handle_signals(self) -> None:
        """Take over the two signals of this process; for a program's own main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)
        sys.unraisablehook = self._lost

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was asked for."""
        if self._requested:
            raise KeyboardInterrupt

    @staticmethod
    def _lost(event) -> None:
        if not isinstance(event.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(event)

    def _request(self, *_) -> None:
        again, self._requested = self._requested, True
        if not (again or self.polled):
            raise KeyboardInterrupt
