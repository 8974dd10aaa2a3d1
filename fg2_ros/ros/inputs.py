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

"""What the node listens to: subscriptions that no message can break, their rates, their clock."""

from __future__ import annotations

import traceback
from typing import Any, Callable, Iterable, NamedTuple

from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.arrivals import Arrivals
from fg2_ros.ros.diagnostics import Health
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

NEWEST_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
SENSOR_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
TIME_JUMP_S = 1.0  # an input whose stamps go back this far has been started again


class Input(NamedTuple):
    """
    A topic to listen to.

    :param take: called with each message; a ValueError says why it cannot be used.
    :param carries_time: whether its stamps are those of the sensors' clock, one after the other.
    """

    kind: type
    topic: str
    take: Callable[[Any], None]
    qos: QoSProfile = SENSOR_QOS
    carries_time: bool = True


class Inputs:
    """
    The subscriptions of a configured node.

    :param health: is told of messages that cannot be used.
    :param start_again: called with the reason when the stamps of a topic go far back.
    """

    def __init__(self, node: Node, health: Health, start_again: Callable[[str], None]):
        """Listen to nothing yet."""
        self._node, self._health, self._start_again = node, health, start_again
        self._subscriptions: list = []
        self._newest_ns: dict[str, int] = {}
        self.arrivals: dict[str, Arrivals] = {}

    def listen(self, inputs: Iterable[Input]) -> None:
        """Subscribe to topics."""
        for each in inputs:
            self.arrivals[each.topic] = Arrivals()
            self._subscriptions.append(self._node.create_subscription(
                each.kind, each.topic, self._guarded(each), each.qos))

    def close(self) -> None:
        """Listen to nothing any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def forget_time(self) -> None:
        """Forget the stamps: time has jumped."""
        self._newest_ns.clear()

    def now_ns(self) -> int:
        """
        Return the time by the sensors' clock.

        That is the ROS time, unless they have another one: a recording is played without it.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        newest_ns = max(self._newest_ns.values(), default=now_ns)
        return now_ns if abs(now_ns - newest_ns) < TIME_JUMP_S * 1e9 else newest_ns

    def _guarded(self, listened: Input) -> Callable[[Any], None]:
        """Return a callback that no message can make raise, for that would end the node."""
        topic, arrivals = listened.topic, self.arrivals[listened.topic]

        def guarded(message: Any) -> None:
            arrivals.note()
            try:
                if listened.carries_time:
                    self._notice_stamp(topic, message)
                listened.take(message)
            except (ValueError, ImageryError) as error:
                self._health.trouble(topic, str(error))
            except Exception:
                self._health.trouble(topic, f'{topic}: {traceback.format_exc()}')
        return guarded

    def _notice_stamp(self, topic: str, message: Any) -> None:
        """
        Start again if a sender's stamps go far back: it has been started again.

        :raises ValueError: if the message has no stamp.
        """
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        if not stamp_ns:
            raise ValueError(f'a message on {topic} has no stamp and is not used')
        newest_ns = self._newest_ns.get(topic, stamp_ns)
        if newest_ns - stamp_ns > TIME_JUMP_S * 1e9:
            self._start_again(f'the stamps of {topic} went back by '
                              f'{(newest_ns - stamp_ns) / 1e9:.1f} s')
        self._newest_ns[topic] = max(stamp_ns, self._newest_ns.get(topic, stamp_ns))
