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

"""The bond by which a lifecycle manager, such as nav2's, notices that the node is gone."""

from __future__ import annotations

import importlib
from typing import Any
from uuid import uuid4

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

TOPIC = 'bond'  # relative, as that of nav2's nodes
PERIOD_S, TIMEOUT_S = 0.1, 4.0  # nav2's
QOS = QoSProfile(depth=100)


def bond_message() -> type | None:
    """Return the type of a bond's heartbeats; None where the package `bond` is not installed."""
    try:
        return importlib.import_module('bond.msg').Status
    except ImportError:
        return None


class Bond:
    """
    The node's side of a bond named as the node: it says that it lives until it is broken.

    Heartbeats come from the executor's thread: one that hangs is noticed, too.

    :param kind: `bond_message`.
    """

    def __init__(self, node: Node, kind: Any):
        """Say from now on that the node lives."""
        self._node, self._kind = node, kind
        self._name, self._instance = node.get_name(), str(uuid4())
        self._publisher = node.create_publisher(kind, TOPIC, QOS)
        self._subscription = node.create_subscription(kind, TOPIC, self._on_status, QOS)
        self._timer = node.create_timer(
            PERIOD_S, lambda: self._say(active=True),
            clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Break the bond, so that nobody waits for heartbeats."""
        if self._node.context.ok():
            self._say(active=False)
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)

    def _on_status(self, message: Any) -> None:
        """Confirm that the other side has broken the bond; it waits for that."""
        if (message.id == self._name and message.instance_id != self._instance
                and not message.active and not self._timer.is_canceled()):
            self._timer.cancel()
            self._say(active=False)

    def _say(self, active: bool) -> None:
        message = self._kind(
            id=self._name, instance_id=self._instance, active=active,
            heartbeat_timeout=TIMEOUT_S, heartbeat_period=PERIOD_S)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
