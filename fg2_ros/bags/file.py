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

"""What files of bags have in common, whatever their format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
import heapq
from typing import NamedTuple, Protocol, TypeVar


@dataclass(frozen=True)
class Channel:
    """
    A topic of a file.

    :param type_name: as ROS 2 has it: sensor_msgs/msg/Imu.
    :param encoding: of its messages: 'cdr' (ROS 2), 'ros1', or one that is not read.
    :param definition: of the type, as the file has it.
    :param definition_kind: 'ros2msg', 'ros2idl', 'ros1msg', or '' for none.
    """

    id: int  # noqa: A003, as the formats call it
    topic: str
    type_name: str
    encoding: str
    definition: str = ''
    definition_kind: str = ''


class Message(NamedTuple):
    """Bytes that were recorded on a channel at a time."""

    time_ns: int
    channel_id: int
    data: bytes


class BagFile(Protocol):
    """
    An open file.

    :param channels: by their number.
    :param counts: messages by channel.
    :param damage: where and why it cannot be read further, with what mends it; '' for a whole one.
        It may be found only while messages are read.
    """

    channels: dict[int, Channel]
    counts: Counter[int]
    damage: str

    def messages(self, channel_ids: Collection[int]) -> Iterator[Message]:
        """Yield the messages of some channels by the time of their recording."""

    def close(self) -> None:
        """Close the file."""


class Piece(Protocol):
    """A stretch of a file with messages in it."""

    @property
    def start_ns(self) -> int:
        """No message in it was recorded earlier."""


AnyPiece = TypeVar('AnyPiece', bound=Piece)


def in_order(pieces: Iterable[AnyPiece],
             read: Callable[[AnyPiece], Iterable[Message]]) -> Iterator[Message]:
    """Yield the messages of pieces by time; a piece is read only when its time has come."""
    waiting: list[tuple[int, int, Message]] = []
    count = 0
    for piece in sorted(pieces, key=lambda each: each.start_ns):
        while waiting and waiting[0][0] < piece.start_ns:
            yield heapq.heappop(waiting)[2]
        for message in read(piece):
            heapq.heappush(waiting, (message.time_ns, count, message))
            count += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def type_name_of(name: str) -> str:
    """Return a type's name as ROS 2 has it, also of one as ROS 1 writes it."""
    parts = name.split('/')
    return f'{parts[0]}/msg/{parts[1]}' if len(parts) == 2 else name
