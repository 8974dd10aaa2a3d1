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

"""The image topics of a node: raw and compressed ones, of one camera or several."""

from __future__ import annotations

from typing import Callable

from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.ros.image_sets import AnyImage, ImageSet, ImageSets
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

NEWEST_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ONE_CAMERA = ('image',)
_TYPES = {'raw': Image, 'compressed': CompressedImage}


class ImageInputs:
    """
    Hands over the images that come in, each once.

    :param guarded: makes a callback of a topic safe, see `FG2Node`.
    :param take: is given what all cameras have taken at one time.
    """

    def __init__(self, node: Node, settings: CameraSettings,
                 guarded: Callable[[str, Callable], Callable],
                 take: Callable[[ImageSet], None]):
        """Subscribe."""
        topics = settings.topics or ONE_CAMERA
        self._take, self._sets = take, ImageSets(len(topics), settings.sync_s)
        self.subscriptions: list[Subscription] = []
        transports = _TYPES if settings.transport == 'auto' else (settings.transport,)
        for camera, topic in enumerate(topics):
            for transport in transports:
                self.subscriptions.append(node.create_subscription(
                    _TYPES[transport], topic_of(node, topic, transport),
                    guarded(topic, self._listener(camera, transport)), NEWEST_IMAGE_QOS))

    def _listener(self, camera: int, transport: str) -> Callable[[AnyImage], None]:
        def hear(image: AnyImage) -> None:
            images = self._sets.add(camera, transport, image)
            if images is not None:
                self._take(images)
        return hear

    def clear(self) -> None:
        """Forget what waits for the images of other cameras."""
        self._sets.clear()


def topic_of(node: Node, topic: str, transport: str) -> str:
    """
    Return the topic of a transport, as image_transport names it.

    Whoever remaps the topic of the raw images remaps the others with it, unless they are remapped
    themselves.
    """
    if transport == 'raw':
        return topic
    name = f'{topic}/{transport}'
    plain = node.resolve_topic_name(name, only_expand=True)
    if node.resolve_topic_name(name) != plain:
        return name
    return f'{node.resolve_topic_name(topic)}/{transport}'
