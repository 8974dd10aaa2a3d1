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

"""Bag files of ROS 1, walked from the first record on: an index at the end is not needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
import struct

from fg2_ros.bags.compression import decompressed, LARGEST_BYTES
from fg2_ros.bags.file import Channel, in_order, Message, type_name_of

MAGIC = b'#ROSBAG V'
VERSION = b'#ROSBAG V2.0\n'
MESSAGE, BAG, INDEX, CHUNK, CHUNK_INFO, CONNECTION = range(2, 8)
LENGTH = struct.Struct('<I')
TIME = struct.Struct('<II')
INDEXED_BYTES = 12  # of a message: its time and its place
LONGEST_HEADER = 1 << 24


@dataclass
class Stretch:
    """
    A chunk, or a message outside of chunks.

    :param offset: of its record's header.
    :param counts: messages by channel, as an index beside it says; empty without one.
    """

    start_ns: int
    offset: int
    counts: Counter[int] = field(default_factory=Counter)


class Ros1File:
    """
    An open .bag or .bag.active file; see `BagFile`.

    :param name: of the file for people.
    """

    def __init__(self, path: Path, name: Path):
        """
        Find what is in it.

        :raises ValueError: if it is of an old version, or encrypted.
        """
        self._name, self._size = name, path.stat().st_size
        self._file = path.open('rb')
        self.channels: dict[int, Channel] = {}
        self.damage = ''
        self._stretches: list[Stretch] = []
        if self._read(0, len(VERSION)) != VERSION:
            raise ValueError('it is of an old version: `rosbag fix` brings it to 2.0')
        self._walk()
        self.counts = self._counted()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, channel_ids: Collection[int]) -> Iterator[Message]:
        """Yield the messages of some channels by the time of their recording."""
        def read(stretch: Stretch) -> list[Message]:
            if stretch.counts and not set(channel_ids) & set(stretch.counts):
                return []
            return [each for each in self._messages(stretch) if each.channel_id in channel_ids]
        return in_order(self._stretches, read)

    def _walk(self) -> None:
        """Note all records, up to the end or to where the file breaks off."""
        offset, was_closed = len(VERSION), False
        while offset < self._size:
            header, data_offset, length = self._record(offset)
            if header is None or data_offset + length > self._size:
                if header is not None and _kind(header) == CHUNK:
                    self._stretches.append(Stretch(0, offset))
                self.damage = self._damage_at(offset)
                return
            was_closed |= _kind(header) == BAG and int.from_bytes(
                header.get('index_pos', b''), 'little') > 0
            self._note(header, offset, data_offset, length)
            offset = data_offset + length
        if not was_closed:
            self.damage = self._damage_at(self._size)

    def _record(self, offset: int) -> tuple[dict[str, bytes] | None, int, int]:
        """Return a record's header, and offset and length of its data; None if it breaks off."""
        length = _length(self._read(offset, 4))
        if length is None or length > min(LONGEST_HEADER, self._size - offset):
            return None, offset, 0
        header = _fields(self._read(offset + 4, length))
        data_length = _length(self._read(offset + 4 + length, 4))
        if data_length is None or 'op' not in header:
            return None, offset, 0
        return header, offset + 8 + length, data_length

    def _note(self, header: dict[str, bytes], offset: int, data_offset: int, length: int) -> None:
        kind = _kind(header)
        if kind == BAG and header.get('encryptor'):
            raise ValueError('it is encrypted')
        if kind == CONNECTION and length <= LONGEST_HEADER:
            self._declare(header, self._read(data_offset, length))
        elif kind == CHUNK:
            self._stretches.append(Stretch(0, offset))
        elif kind == MESSAGE:
            message = _message(header, b'')
            self._stretches.append(
                Stretch(message.time_ns, offset, Counter([message.channel_id])))
        elif kind == INDEX and self._stretches:
            self._note_index(header, self._read(data_offset, length))

    def _note_index(self, header: dict[str, bytes], data: bytes) -> None:
        """Note when the last chunk begins and what is in it."""
        stretch = self._stretches[-1]
        times = [_time_ns(*TIME.unpack_from(data, at))
                 for at in range(0, len(data) - INDEXED_BYTES + 1, INDEXED_BYTES)]
        if times:
            stretch.start_ns = min([*times, stretch.start_ns or times[0]])
            stretch.counts[int.from_bytes(header.get('conn', b''), 'little')] += len(times)

    def _counted(self) -> Counter[int]:
        """Return messages by channel; reads chunks only where no index tells what is in them."""
        counts: Counter[int] = Counter()
        for stretch in self._stretches:
            if not stretch.counts or set(stretch.counts) - set(self.channels):
                held = [(each.time_ns, each.channel_id) for each in self._messages(stretch)]
                stretch.counts = Counter(channel_id for _, channel_id in held)
                stretch.start_ns = min((time_ns for time_ns, _ in held), default=0)
            counts += stretch.counts
        return counts

    def _messages(self, stretch: Stretch) -> Iterator[Message]:
        """Yield the messages of a stretch, and note the channels that it declares."""
        header, data_offset, length = self._record(stretch.offset)
        assert header is not None  # or it would not have been noted
        data = self._read(data_offset, length)
        if _kind(header) == MESSAGE:
            yield _message(header, data)
            return
        try:
            records = decompressed(data, header.get('compression', b'').decode('latin-1'), min(
                _length(header.get('size', b'')) or LARGEST_BYTES, LARGEST_BYTES))
        except ValueError as error:
            self.damage = self.damage or self._damage_at(stretch.offset, f': {error}')
            return
        for inner, body in _records(records):
            if _kind(inner) == MESSAGE:
                yield _message(inner, body)
            elif _kind(inner) == CONNECTION:
                self._declare(inner, body)

    def _declare(self, header: dict[str, bytes], data: bytes) -> None:
        """Take down a connection."""
        fields = _fields(data)
        channel_id = int.from_bytes(header.get('conn', b''), 'little')
        topic, name, definition = (
            each.decode('utf-8', 'replace') for each in (
                header.get('topic', b''), fields.get('type', b''),
                fields.get('message_definition', b'')))
        self.channels.setdefault(channel_id, Channel(
            channel_id, topic, type_name_of(name), 'ros1', definition, 'ros1msg'))

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def _damage_at(self, offset: int, why: str = '') -> str:
        return (f'{self._name} breaks off, was not closed or is damaged at byte {offset} of '
                f'{self._size}{why}; what is whole is read. `rosbag reindex {self._name.name}` '
                'mends it')


def _records(data: bytes) -> Iterator[tuple[dict[str, bytes], bytes]]:
    """Yield (header, data) of the records that are whole."""
    offset = 0
    while (length := _length(data[offset:offset + 4])) is not None:
        header, offset = _fields(data[offset + 4:offset + 4 + length]), offset + 4 + length
        length = _length(data[offset:offset + 4])
        if length is None or offset + 4 + length > len(data) or 'op' not in header:
            return
        yield header, data[offset + 4:offset + 4 + length]
        offset += 4 + length


def _fields(data: bytes) -> dict[str, bytes]:
    """Return the fields of a header, as far as they are whole."""
    fields, offset = {}, 0
    while (length := _length(data[offset:offset + 4])) is not None:
        name, _, value = data[offset + 4:offset + 4 + length].partition(b'=')
        fields[name.decode('latin-1')] = value
        offset += 4 + length
    return fields


def _kind(header: dict[str, bytes]) -> int:
    return header['op'][0] if header.get('op') else 0


def _length(data: bytes) -> int | None:
    return LENGTH.unpack(data)[0] if len(data) == LENGTH.size else None


def _message(header: dict[str, bytes], data: bytes) -> Message:
    time = header.get('time', b'').ljust(TIME.size, b'\0')
    return Message(_time_ns(*TIME.unpack_from(time)),
                   int.from_bytes(header.get('conn', b''), 'little'), data)


def _time_ns(seconds: int, nanoseconds: int) -> int:
    return seconds * 10 ** 9 + nanoseconds
