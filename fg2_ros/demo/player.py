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

"""
Play a recorded drive in real time, with current stamps.

``python -m fg2_ros.demo.player BAG`` waits for its listeners, plays, and ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
import sys
import time

from fg2_ros.simulation.bag import LATCHED, read_bag, restamped, START_NS, TYPES
import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future

# How many listen to what: the node to its inputs, the recorder to what it compares with.
NODE = {'/image/compressed': 1, '/fix': 1, '/odom': 1, '/imu': 1, '/tf': 1}
NODE_AND_RECORDER = {**NODE, '/fix': 2, '/tf': 2, '/ground_truth/pose': 1}
PATIENCE_S = 120.0  # on a busy machine the node takes its time to begin


class Player:
    """
    Publishes a bag's messages as they are, apart from their stamps.

    The messages stay serialized: rclpy would need longer to build them than the network for a
    token.

    :param listeners: how many there must be on each topic before it plays.
    """

    def __init__(self, node: Node, listeners: Mapping[str, int]):
        self._complete, self._listeners = Future(), listeners
        events = PublisherEventCallbacks(matched=lambda _: self._count_listeners())
        self._publishers = {
            topic: node.create_publisher(
                _message_class(type_name), topic, _qos(topic), event_callbacks=events)
            for topic, type_name in TYPES.items()}
        self._node = node

    def wait_for_listeners(self) -> bool:
        """Return whether all who should listen do so in time."""
        self._count_listeners()
        rclpy.spin_until_future_complete(self._node, self._complete, timeout_sec=PATIENCE_S)
        return self._complete.done()

    def play(self, bag: Path) -> None:
        """Publish everything, each message at its time after the beginning."""
        begin_ns, begin_s = time.time_ns(), time.monotonic()
        for message in read_bag(bag):
            after_ns = message.stamp_ns - START_NS
            data = restamped(message, begin_ns + after_ns)
            time.sleep(max(0.0, begin_s + after_ns / 1e9 - time.monotonic()))
            self._publishers[message.topic].publish(data)
        for publisher in self._publishers.values():
            publisher.wait_for_all_acked(Duration(seconds=1))

    def _count_listeners(self) -> None:
        if all(self._publishers[topic].get_subscription_count() >= wanted
               for topic, wanted in self._listeners.items()):
            self._complete.set_result(True)


def main() -> int:
    """Run the player; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--node-only', action='store_true', help='do not wait for a recorder')
    args = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('fg2_demo_player')
    try:
        player = Player(node, NODE if args.node_only else NODE_AND_RECORDER)
        if not player.wait_for_listeners():
            print(f'nobody listened for {PATIENCE_S:.0f} s', file=sys.stderr)
            return 1
        player.play(args.bag)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _message_class(type_name: str):
    package, _, name = type_name.split('/')
    return getattr(import_module(f'{package}.msg'), name)


def _qos(topic: str) -> QoSProfile:
    if topic in LATCHED:
        return QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return QoSProfile(depth=2 if topic.startswith('/image') else 100)


if __name__ == '__main__':
    sys.exit(main())
