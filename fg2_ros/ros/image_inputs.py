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
from fg2_ros.ros.image_sets import AnyImage, ImageSet, ImageSets, info_topic_of
from fg2_ros.ros.inputs import Input
from fg2_ros.ros.intrinsics import Intrinsics
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

NEWEST_IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ONE_CAMERA = ('image',)
_TYPES = {'raw': Image, 'compressed': CompressedImage}


class ImageInputs:
    """
    The image topics; images that were taken at the same time are grouped.

    :param take: called with the images that all cameras took at one time, each once.
    """

    def __init__(self, node: Node, settings: CameraSettings, take: Callable[[ImageSet], None]):
        """Listen to nothing yet."""
        self._node, self._take = node, take
        self._topics = settings.topics or ONE_CAMERA
        self._transports = tuple(_TYPES) if settings.transport == 'auto' else (
            settings.transport,)
        self._sets = ImageSets(len(self._topics), settings.sync_s)

    def image_topics(self) -> list[Input]:
        """Return the topics of the images."""
        return [
            Input(_TYPES[transport], topic_of(self._node, topic, transport),
                  self._listener(camera, transport), NEWEST_IMAGE_QOS, carries_time=False,
                  name=_name_of(topic), is_image=True)
            for camera, topic in enumerate(self._topics) for transport in self._transports]

    def calibration_topics(self, intrinsics: list[Intrinsics]) -> list[Input]:
        """Return the topics of the cameras' calibrations, as image_transport names them."""
        return [
            Input(CameraInfo, _remapped_with(self._node, topic, info_topic_of), each.update,
                  carries_time=False, name=info_topic_of(topic))
            for topic, each in zip(self._topics, intrinsics)]

    def clear(self) -> None:
        """Forget what waits for the images of other cameras."""
        self._sets.clear()

    def _listener(self, camera: int, transport: str) -> Callable[[AnyImage], None]:
        def hear(image: AnyImage) -> None:
            images = self._sets.add(camera, transport, image)
            if images is not None:
                self._take(images)
        return hear


def _name_of(topic: str) -> str:
    """Return the name of an image topic in diagnostics."""
    return topic if topic in ONE_CAMERA else f'image {topic}'


def resolved_topics(node: Node, settings: CameraSettings) -> tuple[str, ...]:
    """Return the raw images' topics with all that was remapped."""
    return tuple(node.resolve_topic_name(topic) for topic in settings.topics or ONE_CAMERA)


def topic_of(node: Node, topic: str, transport: str) -> str:
    """Return the topic of a transport, as image_transport names it."""
    if transport == 'raw':
        return topic
    return _remapped_with(node, topic, lambda name: f'{name}/{transport}')


def _remapped_with(node: Node, topic: str, name_of: Callable[[str], str]) -> str:
    """
    Return the topic whose name follows from that of the raw images.

    Whoever remaps these remaps the others with them, unless they are remapped themselves.
    """
    name = name_of(topic)
    if node.resolve_topic_name(name) != node.resolve_topic_name(name, only_expand=True):
        return name
    return name_of(node.resolve_topic_name(topic))
