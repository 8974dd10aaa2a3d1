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

"""Publishers of transforms."""

from __future__ import annotations

from typing import Iterable, TypeAlias

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

Transforms: TypeAlias = 'TransformStamped | Iterable[TransformStamped]'


class TransformBroadcaster:
    """Publishes transforms that change, on ``/tf``."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """
        Create the publisher.

        :param qos: reliable, the last 100, if None.
        """
        self.pub_tf = node.create_publisher(TFMessage, '/tf', qos or QoSProfile(depth=100))

    def sendTransform(self, transform: Transforms) -> None:  # noqa: N802
        """Publish one transform or several."""
        self.pub_tf.publish(TFMessage(transforms=as_list(transform)))


class StaticTransformBroadcaster:
    """Publishes transforms that never change, on ``/tf_static``, also to those who come later."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """
        Create the publisher.

        :param qos: reliable, transient local, the last one, if None.
        """
        self.pub_tf = node.create_publisher(
            TFMessage, '/tf_static', qos or QoSProfile(
                depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                history=HistoryPolicy.KEEP_LAST))
        self._sent: dict[str, TransformStamped] = {}  # by child frame

    def sendTransform(self, transform: Transforms) -> None:  # noqa: N802
        """Publish one transform or several, together with all those sent before."""
        self._sent.update({sent.child_frame_id: sent for sent in as_list(transform)})
        self.pub_tf.publish(TFMessage(transforms=list(self._sent.values())))


def as_list(transform: Transforms) -> list[TransformStamped]:
    """Return one transform or several as a list."""
    return list(transform) if hasattr(transform, '__iter__') else [transform]
