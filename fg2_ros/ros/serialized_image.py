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

"""Serialized image messages, of which only the header is read on arrival."""

from __future__ import annotations

from dataclasses import dataclass
import struct
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

_ENCAPSULATION = 4  # bytes before a message; the lowest bit of the second says little-endian


@dataclass(frozen=True)
class ImageView:
    """An `Image` whose pixels stay where they arrived: 8 megapixels take 4 ms to copy."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


class SerializedImage:
    """
    An image of which only the header has been read.

    rclpy would unpack all of it in the executor's thread, which takes longer than anything else
    there, even of images that a newer one replaces.

    :param kind: the type of the message, whose first field is a header.
    :param data: what came over the wire, in CDR.
    :raises ValueError: if that has no header.
    """

    def __init__(self, kind: type, data: bytes):
        """Read the header."""
        self._kind, self._data = kind, data
        self.header = header_of(data)

    def message(self) -> Any:
        """
        Return the message, of raw images an `ImageView`.

        :raises ValueError: if it is damaged.
        """
        try:
            if self._kind is Image:
                return image_view(self._data)
            return deserialize_message(self._data, self._kind)
        except Exception as error:  # rclpy names none
            raise ValueError(f'the image is damaged: {error}') from error


def header_of(data: bytes) -> Header:
    """
    Return the header that a message in CDR begins with.

    :raises ValueError: if there is none.
    """
    try:
        return _Fields(data).header()
    except (IndexError, struct.error, ValueError) as error:
        raise ValueError(f'an image has no header: {error}') from error


def image_view(data: bytes) -> ImageView:
    """
    Return a raw image in CDR without copying its pixels.

    :raises ValueError: if it is cut off.
    :raises struct.error: if it is cut off before the pixels.
    """
    fields = _Fields(data)
    return ImageView(
        fields.header(), fields.number(), fields.number(), fields.text(), fields.byte(),
        fields.number(), fields.sequence())


class _Fields:
    """The fields of a message in CDR, one after the other; numbers lie at multiples of four."""

    def __init__(self, data: bytes):
        """Begin after the encapsulation."""
        self._data, self._at = data, _ENCAPSULATION
        self._order = '<' if data[1] & 1 else '>'

    def header(self) -> Header:
        """Return a std_msgs Header."""
        stamp = Time(sec=self.number('i'), nanosec=self.number())
        return Header(stamp=stamp, frame_id=self.text())

    def number(self, kind: str = 'I') -> int:
        """Return a number of four bytes."""
        self._at += -self._at % 4
        (value,) = struct.unpack_from(self._order + kind, self._data, self._at)
        self._at += 4
        return value

    def byte(self) -> int:
        """Return a number of one byte."""
        self._at += 1
        return self._data[self._at - 1]

    def sequence(self) -> memoryview:
        """Return a sequence of bytes, in the memory of the message."""
        length = self.number()
        self._at += length
        if self._at > len(self._data):
            raise ValueError(f'{self._at - len(self._data)} bytes are lacking')
        return memoryview(self._data)[self._at - length:self._at]

    def text(self) -> str:
        """Return a string."""
        return bytes(self.sequence()).rstrip(b'\0').decode()
