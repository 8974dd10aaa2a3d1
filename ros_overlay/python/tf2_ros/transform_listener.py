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

"""The subscriber that fills a buffer."""

from __future__ import annotations

from threading import Thread

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros.buffer import Buffer

AUTHORITY = 'default_authority'


class TransformListener:
    """Fills a buffer from ``/tf`` and ``/tf_static``."""

    def __init__(
            self, buffer: Buffer, node: Node, *, spin_thread: bool = False,
            qos: QoSProfile | int | None = None, static_qos: QoSProfile | int | None = None,
            tf_topic: str = '/tf', tf_static_topic: str = '/tf_static') -> None:
        """
        Create the subscriptions.

        :param spin_thread: spin the whole node in a thread of the listener's own.
        :param qos: of ``/tf``; reliable, the last 100, if None.
        :param static_qos: of ``/tf_static``; the same and transient local, if None.
        """
        self.buffer = buffer
        self.node = node
        self.group = ReentrantCallbackGroup()  # so that a callback of the node may wait for tf
        self.tf_sub = node.create_subscription(
            TFMessage, tf_topic, self.callback, qos or last_100(DurabilityPolicy.VOLATILE),
            callback_group=self.group)
        self.tf_static_sub = node.create_subscription(
            TFMessage, tf_static_topic, self.static_callback,
            static_qos or last_100(DurabilityPolicy.TRANSIENT_LOCAL), callback_group=self.group)
        self.executor: SingleThreadedExecutor | None = None
        if spin_thread:
            self._spin_in_thread()

    def unregister(self) -> None:
        """Destroy the subscriptions."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        """Keep the transforms of a message of ``/tf``."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, AUTHORITY)

    def static_callback(self, data: TFMessage) -> None:
        """Keep the transforms of a message of ``/tf_static``."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)

    def _spin_in_thread(self) -> None:
        executor = SingleThreadedExecutor(context=self.node.context)
        executor.add_node(self.node)
        self.executor = executor
        self.dedicated_listener_thread = Thread(target=executor.spin)
        self.dedicated_listener_thread.start()

    def __del__(self) -> None:
        """Stop the thread, if there is one, and destroy the subscriptions."""
        executor = getattr(self, 'executor', None)
        if executor:
            executor.shutdown()
            self.dedicated_listener_thread.join()
        self.unregister()


def last_100(durability: DurabilityPolicy) -> QoSProfile:
    """Return a reliable profile that keeps the last hundred messages."""
    return QoSProfile(depth=100, durability=durability, history=HistoryPolicy.KEEP_LAST)
