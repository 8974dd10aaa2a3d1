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

"""MCAP files, walked from the first record on: an index at the end is not needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
import struct
from zlib import crc32

from fg2_ros.bags.compression import decompressed, LARGEST_BYTES
from fg2_ros.bags.file import Channel, in_order, Message, type_name_of

MAGIC = b'\x89MCAP0\r\n'
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(1, 8)
HEAD = struct.Struct('<BQ')  # of each record: what it is, and its length
MESSAGE_HEAD = struct.Struct('<HIQQ')  # channel, sequence, log time, publish time
CHUNK_HEAD = struct.Struct('<QQQI')  # first and last time, size and checksum when decompressed
INDEX_HEAD = struct.Struct('<HI')  # channel, bytes of 16 for each message
LONGEST_DECLARATION = 1 << 24


@dataclass
class Stretch:
    """
    A chunk, or a message outside of chunks.

    :param offset: of what its record holds.
    :param counts: messages by channel, as an index beside it says; empty without one.
    """

    start_ns: int
    kind: int
    offset: int
    length: int
    counts: Counter[int] = field(default_factory=Counter)


class McapFile:
    """
    An open MCAP file; see `BagFile`.

    :param name: of the file for people.
    """

    def __init__(self, path: Path, name: Path):
        """Find what is in it."""
        self._name, self._size = name, path.stat().st_size
        self._file = path.open('rb')
        self.channels: dict[int, Channel] = {}
        self.damage = ''
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._stretches: list[Stretch] = []
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
        """Note all records, up to the footer or to where the file breaks off."""
        offset = len(MAGIC)
        while True:
            kind, length = self._head(offset)
            if kind == FOOTER:
                return
            begin, whole = offset + HEAD.size, min(length, self._size - offset - HEAD.size)
            if whole > 0:
                self._note(kind, begin, whole)
            if kind == 0 or whole < length:
                self.damage = self._damage_at(offset)
                return
            offset = begin + length

    def _head(self, offset: int) -> tuple[int, int]:
        """Return kind and length of a record; no kind where the file ends."""
        head = self._read(offset, HEAD.size)
        return HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)

    def _note(self, kind: int, offset: int, length: int) -> None:
        """Note a record of which so many bytes are there."""
        if kind in (SCHEMA, CHANNEL) and length <= LONGEST_DECLARATION:
            self._declare(kind, self._read(offset, length))
        elif kind == MESSAGE and length >= MESSAGE_HEAD.size:
            head = MESSAGE_HEAD.unpack(self._read(offset, MESSAGE_HEAD.size))
            self._stretches.append(Stretch(head[2], kind, offset, length, Counter([head[0]])))
        elif kind == CHUNK and length >= CHUNK_HEAD.size:
            start_ns = CHUNK_HEAD.unpack(self._read(offset, CHUNK_HEAD.size))[0]
            self._stretches.append(Stretch(start_ns, kind, offset, length))
        elif kind == INDEX and length >= INDEX_HEAD.size and self._stretches:
            channel_id, size = INDEX_HEAD.unpack(self._read(offset, INDEX_HEAD.size))
            self._stretches[-1].counts[channel_id] += size // 16

    def _counted(self) -> Counter[int]:
        """Return messages by channel; reads chunks only where no index tells what is in them."""
        counts: Counter[int] = Counter()
        for stretch in self._stretches:
            unknown = not stretch.counts or set(stretch.counts) - set(self.channels)
            if stretch.kind == CHUNK and unknown:
                stretch.counts = Counter(each.channel_id for each in self._messages(stretch))
            counts += stretch.counts
        return counts

    def _messages(self, stretch: Stretch) -> Iterator[Message]:
        """Yield the messages of a stretch, and note the channels that it declares."""
        data = self._read(stretch.offset, stretch.length)
        if stretch.kind == MESSAGE:
            yield _message(data)
            return
        try:
            chunk, problem = _chunk(data)
        except (ValueError, IndexError, struct.error) as error:
            self.damage = self.damage or self._damage_at(stretch.offset, f': {error}')
            return
        if problem:
            self.damage = self.damage or self._damage_at(stretch.offset, f': {problem}')
        for kind, body in _records(chunk):
            if kind == MESSAGE and len(body) >= MESSAGE_HEAD.size:
                yield _message(body)
            elif kind in (SCHEMA, CHANNEL):
                self._declare(kind, body)

    def _declare(self, kind: int, body: bytes) -> None:
        """Take down a schema or a channel."""
        try:
            if kind == SCHEMA:
                name, after = _text(body, 2)
                encoding, after = _text(body, after)
                self._schemas[_number(body, 0)] = name, encoding, _text(body, after)[0]
                return
            topic, after = _text(body, 4)
            encoding = _text(body, after)[0]
        except (struct.error, IndexError):
            return  # a broken one is of no use
        name, definition_kind, definition = self._schemas.get(_number(body, 2), ('', '', ''))
        channel_id = _number(body, 0)
        self.channels.setdefault(channel_id, Channel(
            channel_id, topic, type_name_of(name), encoding, definition, definition_kind))

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def _damage_at(self, offset: int, why: str = '') -> str:
        return (f'{self._name} breaks off or is damaged at byte {offset} of {self._size}{why}; '
                f'what is whole is read. `mcap recover {self._name.name} -o whole.mcap` writes '
                'that to a file of its own')


def _chunk(data: bytes) -> tuple[bytes, str]:
    """
    Return the records in a chunk, as far as they are there, and what is wrong with them.

    :raises ValueError: if they cannot be had.
    """
    _, _, size, checksum = CHUNK_HEAD.unpack_from(data)
    compression, after = _text(data, CHUNK_HEAD.size)
    if size > LARGEST_BYTES:
        raise ValueError(f'a chunk of {size} bytes')
    packed = data[after + 8:]
    records = decompressed(packed, compression, limit=size)
    if len(records) == size and checksum and crc32(records) != checksum:
        return records, 'the checksum of a chunk is wrong'
    return records, ''


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, what it holds) of the records that are whole."""
    offset = 0
    while offset + HEAD.size <= len(data):
        kind, length = HEAD.unpack_from(data, offset)
        offset += HEAD.size
        if kind == 0 or offset + length > len(data):
            return
        yield kind, data[offset:offset + length]
        offset += length


def _message(body: bytes) -> Message:
    channel_id, _, time_ns, _ = MESSAGE_HEAD.unpack_from(body)
    return Message(time_ns, channel_id, body[MESSAGE_HEAD.size:])


def _number(body: bytes, offset: int) -> int:
    return struct.unpack_from('<H', body, offset)[0]


def _text(body: bytes, offset: int) -> tuple[str, int]:
    """Return a string and where it ends."""
    length, = struct.unpack_from('<I', body, offset)
    end = offset + 4 + length
    if end > len(body):
        raise IndexError('a string reaches beyond its record')
    return body[offset + 4:end].decode('utf-8', 'replace'), end
