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

"""ROS 1 bag files, read by rosbags; record by record where the index is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fg2_ros.bags.compression import decompressed, LARGEST_BYTES
from fg2_ros.bags.file import BagFile, Channel, in_order, Message, type_name_of

MAGIC = b'#ROSBAG V'
VERSION = b'#ROSBAG V2.0\n'
MESSAGE, BAG, _, CHUNK, _, CONNECTION = range(2, 8)  # what records are


def open_ros1(path: Path, name: Path) -> BagFile:
    """
    Return an open .bag or .bag.active file.

    :param name: of the file in messages.
    :raises ValueError: if it is of an old version, or encrypted.
    """
    from rosbags.rosbag1 import Reader
    with path.open('rb') as file:
        if file.read(len(VERSION)) != VERSION:
            raise ValueError('it is of an old version: `rosbag fix` brings it to 2.0')
    reader = Reader(path)
    try:
        reader.open()
    except Exception as error:  # with damaged bytes it raises almost anything
        if 'encrypt' in str(error):
            raise ValueError(str(error)) from None
        return UnindexedFile(path, name)
    return IndexedFile(reader, name)


class IndexedFile:
    """A file that was closed; see `BagFile`."""

    def __init__(self, reader: Any, name: Path):
        """Take what its index says."""
        self._reader, self._name = reader, name
        self._connections = {each.id: each for each in reader.connections}
        self.channels = {each.id: Channel(
            each.id, each.topic, each.msgtype, 'ros1', each.msgdef.data, 'ros1msg')
            for each in reader.connections}
        self.counts = Counter({each.id: each.msgcount for each in reader.connections})
        self.damage = ''

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(self, channel_ids: Collection[int]) -> Iterator[Message]:
        """Yield the messages of some channels by the time of their recording."""
        wanted = [self._connections[each] for each in channel_ids]
        try:
            for connection, time_ns, data in self._reader.messages(wanted):
                yield Message(time_ns, connection.id, data)
        except Exception as error:  # with damaged bytes it raises almost anything
            self.damage = damage(self._name, f'is damaged ({error})')


@dataclass
class Stretch:
    """A chunk, or a message outside of chunks: where its record begins."""

    start_ns: int
    offset: int


class Record(NamedTuple):
    """What is there of a record; its header is one of rosbags."""

    header: Any
    data: bytes
    is_whole: bool


class UnindexedFile:
    """A file that was not closed, or is damaged; see `BagFile`."""

    def __init__(self, path: Path, name: Path):
        """Read all of it once, as far as it is whole."""
        from rosbags.rosbag1.reader import Header
        self._header = Header
        self._file, self._size = path.open('rb'), path.stat().st_size
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[int] = Counter()
        self._stretches: list[Stretch] = []
        end = self._walk()
        self.damage = damage(
            name, f'was not closed, breaks off or is damaged at byte {end} of {self._size}')

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(self, channel_ids: Collection[int]) -> Iterator[Message]:
        """Yield the messages of some channels by the time of their recording."""
        def read(stretch: Stretch) -> list[Message]:
            self._file.seek(stretch.offset)
            return [each for each in self._messages(self._record(self._file))
                    if each.channel_id in channel_ids]
        return in_order(self._stretches, read)

    def _walk(self) -> int:
        """Note what is in the file; return where it ends, or is no longer whole."""
        offset = self._file.seek(len(VERSION))
        with suppress(Exception):  # with damaged bytes the parser raises almost anything
            while offset < self._size:
                record = self._record(self._file)
                held = list(self._messages(record))
                self.counts.update(each.channel_id for each in held)
                if held:
                    self._stretches.append(Stretch(min(each.time_ns for each in held), offset))
                if not record.is_whole:
                    break
                offset = self._file.tell()
        return offset

    def _record(self, file: BinaryIO) -> Record:
        """
        Return the record that begins here, of whose data the end may be missing.

        :raises ReaderError: if the header is not whole.
        """
        header = self._header.read(file)
        length = int.from_bytes(file.read(4), 'little')
        data = file.read(min(length, LARGEST_BYTES))
        return Record(header, data, len(data) == length)

    def _messages(self, record: Record) -> Iterator[Message]:
        """Yield the messages in a record, and note the connections that it declares."""
        header, kind = record.header, record.header.get_uint8('op')
        if kind == MESSAGE and record.is_whole:
            yield Message(header.get_time('time'), header.get_uint32('conn'), record.data)
        elif kind == CONNECTION and record.is_whole:
            self._declare(header, record.data)
        elif kind == CHUNK:
            with suppress(Exception):  # what is in it may be damaged, or not be whole at its end
                records = BytesIO(decompressed(
                    record.data, header.get_string('compression'),
                    min(header.get_uint32('size'), LARGEST_BYTES)))
                while True:
                    yield from self._messages(self._record(records))

    def _declare(self, header: Any, data: bytes) -> None:
        """Take down a connection, whose data are fields like those of a header."""
        fields = self._header.read(BytesIO(len(data).to_bytes(4, 'little') + data))
        number = header.get_uint32('conn')
        self.channels.setdefault(number, Channel(
            number, header.get_string('topic'), type_name_of(fields.get_string('type')), 'ros1',
            fields.get_string('message_definition'), 'ros1msg'))


def damage(name: Path, what: str) -> str:
    """Return a sentence on a damaged file, with what mends it."""
    return f'{name} {what}; what is whole is read. `rosbag reindex {name.name}` mends it'
