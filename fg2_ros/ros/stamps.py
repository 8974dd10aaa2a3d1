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

"""Stamps that jump: a single outlier is rejected, a sender that restarts is noticed."""

from __future__ import annotations

BACK_NS = 10 ** 9  # stamps that go back this far: the sender has been started again
ODOMETRY = 'odom'
AHEAD_NS = 60 * 10 ** 9  # a single message that is this far ahead of the others is odd


class Stamps:
    """The newest stamp of each topic."""

    def __init__(self) -> None:
        """Start with none."""
        self._newest_ns: dict[str, int] = {}
        self._odd_ns: dict[str, int] = {}

    def clear(self) -> None:
        """Forget them: time has jumped."""
        self._newest_ns.clear()
        self._odd_ns.clear()

    def now_ns(self, clock_ns: int) -> int:
        """
        Return the time by the sensors' clock.

        That is the given one, unless they all have another: then that of the odometry, for what
        is broadcast must fit its transforms.
        """
        if not self._newest_ns or any(
                abs(clock_ns - each) < BACK_NS for each in self._newest_ns.values()):
            return clock_ns
        return self._newest_ns.get(ODOMETRY, max(self._newest_ns.values()))

    def note(self, topic: str, stamp_ns: int) -> float:
        """
        Record the stamp of a message.

        :return: by how many seconds the topic has gone back, if far enough for a restart; else 0.
        :raises ValueError: if the message is not to be used: it has no stamp, or it is far ahead
            of those before it and the one before was not.
        """
        if stamp_ns <= 0:
            raise ValueError(f'a message on {topic} has no stamp and is not used')
        newest_ns = self._newest_ns.setdefault(topic, stamp_ns)
        if stamp_ns - newest_ns > AHEAD_NS and not self._agrees(topic, stamp_ns):
            self._odd_ns[topic] = stamp_ns
            raise ValueError(
                f'a message on {topic} is dated {(stamp_ns - newest_ns) / 1e9:.1f} s after the '
                'one before: it is not used unless the next agrees')
        self._odd_ns.pop(topic, None)
        self._newest_ns[topic] = max(newest_ns, stamp_ns)
        back_ns = newest_ns - stamp_ns
        return back_ns / 1e9 if back_ns > BACK_NS else 0.0

    def _agrees(self, topic: str, stamp_ns: int) -> bool:
        """Return whether the topic's last message was as far ahead."""
        odd_ns = self._odd_ns.get(topic)
        return odd_ns is not None and -BACK_NS <= stamp_ns - odd_ns <= AHEAD_NS
