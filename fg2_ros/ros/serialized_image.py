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

"""Images as they come, unpacked by whoever looks at them."""

from __future__ import annotations

import struct
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from std_msgs.msg import Header

_ENCAPSULATION = 4  # bytes before a message; the lowest bit of the second says little-endian
_STAMP_AND_LENGTH = 'iII'  # seconds, nanoseconds, bytes of the frame's name and its end


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
        Return the message.

        :raises ValueError: if it is damaged.
        """
        try:
            return deserialize_message(self._data, self._kind)
        except Exception as error:  # rclpy names none
            raise ValueError(f'the image is damaged: {error}') from error


def header_of(data: bytes) -> Header:
    """
    Return the header that a message in CDR begins with.

    :raises ValueError: if there is none.
    """
    try:
        layout = f'{"<" if data[1] & 1 else ">"}{_STAMP_AND_LENGTH}'
        seconds, nanoseconds, length = struct.unpack_from(layout, data, _ENCAPSULATION)
        begin = _ENCAPSULATION + struct.calcsize(layout)
        name = data[begin:begin + length]
        if len(name) != length:
            raise ValueError('it ends within the name of the frame')
        return Header(stamp=Time(sec=seconds, nanosec=nanoseconds),
                      frame_id=bytes(name).rstrip(b'\0').decode())
    except (IndexError, struct.error, ValueError) as error:
        raise ValueError(f'an image has no header: {error}') from error
