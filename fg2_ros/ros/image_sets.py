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

"""Images of one camera, or of several at the same time; each once, by whichever transport."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Union

from fg2_ros.ros.conversions import NANOSECONDS, stamp_ns
from fg2_ros.ros.serialized_image import SerializedImage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

AnyImage = Union[Image, CompressedImage, SerializedImage]
PATIENCE_S = 0.3  # for the image of a camera that others have sent theirs
BACK_S = 1.0  # stamps that go back this far are those of a recording that starts again
_REMEMBERED = 16


@dataclass(frozen=True)
class ImageSet:
    """
    Images of the same time, one of each camera.

    :param images: in the order of the cameras; None where a camera has sent nothing.
    """

    images: tuple[AnyImage | None, ...]

    @property
    def header(self) -> Header:
        """Return the header of the first camera that has sent something."""
        return next(image.header for image in self.images if image is not None)


class ImageSets:
    """
    Puts images of the same time together; those of a lone camera pass as they come.

    :param count: of cameras.
    :param tolerance_s: by which the stamps of one time may differ.
    """

    def __init__(self, count: int, tolerance_s: float):
        """Start with nothing."""
        self._count, self._tolerance_ns = count, tolerance_s * NANOSECONDS
        self.clear()

    def clear(self) -> None:
        """Forget what waits for other cameras."""
        self._taken: deque[tuple[int, str, int]] = deque(maxlen=_REMEMBERED * self._count)
        self._waiting: dict[int, list[AnyImage | None]] = {}
        self._newest_ns = -1

    def add(self, camera: int, transport: str, image: AnyImage) -> ImageSet | None:
        """
        Take an image and return the set that it completes, if it does.

        A set that lacks a camera is returned once it has waited for long enough.

        :param transport: by which it came; what came by another one before is not taken again.
        """
        at_ns = stamp_ns(image.header.stamp)
        if any(other != transport and (camera, at_ns) == (taken, taken_ns)
               for taken, other, taken_ns in self._taken):
            return None
        self._taken.append((camera, transport, at_ns))
        if self._count == 1:
            return ImageSet((image,))
        return self._grouped(camera, at_ns, image)

    def _grouped(self, camera: int, at_ns: int, image: AnyImage) -> ImageSet | None:
        if at_ns < self._newest_ns - BACK_S * NANOSECONDS:
            self._waiting.clear()
            self._newest_ns = -1
        if at_ns <= self._newest_ns:
            return None  # a later set is gone
        group_ns = min(self._waiting, key=lambda each: abs(each - at_ns), default=at_ns)
        if abs(group_ns - at_ns) > self._tolerance_ns:
            group_ns = at_ns
        group = self._waiting.setdefault(group_ns, [None] * self._count)
        group[camera] = image
        if None not in group:
            return self._finished(group_ns)
        late = [each for each in self._waiting if at_ns - each > PATIENCE_S * NANOSECONDS]
        return self._finished(max(late)) if late else None

    def _finished(self, group_ns: int) -> ImageSet:
        """Return a set; what is older will not be finished."""
        images = self._waiting[group_ns]
        self._waiting = {each: group for each, group in self._waiting.items() if each > group_ns}
        self._newest_ns = max(
            stamp_ns(image.header.stamp) for image in images if image is not None)
        return ImageSet(tuple(images))


def info_topic_of(topic: str) -> str:
    """Return the topic of the calibrations beside images."""
    return topic.rpartition('/')[0] + '/camera_info' if '/' in topic else 'camera_info'
