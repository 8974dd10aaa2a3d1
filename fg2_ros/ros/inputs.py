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

"""The node's subscriptions: callbacks that cannot raise, message rates, and stamps."""

from __future__ import annotations

from collections import deque
import time
import traceback
from typing import Any, Callable, Iterable, NamedTuple

from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros import conversions
from fg2_ros.ros.arrivals import Arrivals
from fg2_ros.ros.clocks import Clocks
from fg2_ros.ros.diagnostics import Health
from fg2_ros.ros.qos import subscribe
from fg2_ros.ros.serialized_image import SerializedImage
from fg2_ros.ros.stamps import Stamps
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

SENSOR_QOS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


class Input(NamedTuple):
    """
    A topic to listen to.

    :param take: called with each message; a ValueError says why it cannot be used.
    :param carries_time: whether its stamps are those of the sensors' clock, one after the other.
    :param name: in diagnostics; '' for that of the topic.
    :param is_image: whether `take` wants a `SerializedImage`.
    """

    kind: type
    topic: str
    take: Callable[[Any], None]
    qos: QoSProfile = SENSOR_QOS
    carries_time: bool = True
    name: str = ''
    is_image: bool = False


class Inputs:
    """
    The subscriptions of a configured node.

    :param health: gets a report of messages that cannot be used.
    :param start_again: called with the reason when the stamps of a topic go far back.
    """

    def __init__(self, node: Node, health: Health, start_again: Callable[[str], None]):
        """Listen to nothing yet."""
        self._node, self._health, self._start_again = node, health, start_again
        self._subscriptions: list = []
        self._stamps, self._clocks = Stamps(), Clocks()
        self.arrivals: dict[str, Arrivals] = {}
        self.callbacks_ms: deque[float] = deque(maxlen=1000)  # of the processor

    def listen(self, inputs: Iterable[Input]) -> None:
        """Subscribe to topics."""
        for each in inputs:
            self.arrivals.setdefault(each.name or each.topic, Arrivals())
            self._subscriptions.append(subscribe(
                self._node, each.kind, each.topic, self._guarded(each), each.qos, each.is_image))

    def close(self) -> None:
        """Listen to nothing any more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def forget_time(self) -> None:
        """Forget the stamps: time has jumped."""
        self._stamps.clear()
        self._clocks.clear()

    def now_ns(self) -> int:
        """
        Return the time by the sensors' clock.

        That is the ROS time, unless they have another one: a recording is played without it.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        return self._stamps.now_ns(now_ns)

    def clocks(self) -> dict[str, str]:
        """Return for diagnostics how clocks differ, and warn where they do by seconds."""
        if problem := self._clocks.problem():
            self._health.trouble('clocks', problem, once=True)
        return {f'{topic} stamps behind those of images [s]': f'{seconds:.2f}'
                for topic, seconds in self._clocks.behind_s().items()}

    def _guarded(self, source: Input) -> Callable[[Any], None]:
        """Return a callback that never raises: an exception in it would end the node."""
        topic = source.name or source.topic
        arrivals = self.arrivals[topic]

        def guarded(message: Any) -> None:
            began_s = time.thread_time()
            arrivals.note()
            try:
                if source.is_image:
                    message = SerializedImage(source.kind, message)
                self._check_stamp(source, message)
                source.take(message)
            except (ValueError, ImageryError) as error:
                self._health.trouble(topic, str(error), once=True, may_pass=True)
            except Exception:
                self._health.trouble(topic, f'{topic}: {traceback.format_exc()}')
            self.callbacks_ms.append(1e3 * (time.thread_time() - began_s))
        return guarded

    def _check_stamp(self, source: Input, message: Any) -> None:
        """
        Compare clocks, and start again if the stamps of a topic go far back.

        :raises ValueError: if the message has no stamp, or one that cannot be.
        """
        stamp_ns, topic = conversions.stamp_ns(message.header.stamp), source.topic
        if source.is_image:
            self._clocks.note_image(stamp_ns)
        if not source.carries_time:
            return
        if back_s := self._stamps.note(topic, stamp_ns):
            self._start_again(f'the stamps of {topic} went back by {back_s:.1f} s')
            self._stamps.note(topic, stamp_ns)
        self._clocks.note(topic, stamp_ns)
