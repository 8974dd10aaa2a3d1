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

"""MCAP files, read by the official library; record by record where the index is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

from fg2_ros.bags.compression import decompressed, LARGEST_BYTES
from fg2_ros.bags.file import Channel, in_order, Message, type_name_of

MAGIC = b'\x89MCAP0\r\n'
HEAD_BYTES = 9  # of each record: what it is, and its length
CHUNK = 6  # what a record of a chunk is


@dataclass
class Stretch:
    """
    A chunk, or a message outside of chunks.

    :param counts: messages by channel, as far as an index tells; empty without one.
    """

    start_ns: int
    offset: int
    counts: Counter[int] = field(default_factory=Counter)


class McapFile:
    """
    An open MCAP file; see `BagFile`.

    :param name: of the file in messages.
    :raises ValueError: if the library is not installed.
    """

    def __init__(self, path: Path, name: Path):
        """Find what is in it."""
        try:
            import mcap.records
        except ImportError:
            raise ValueError('MCAP files are read with the Python package mcap, which is not '
                             'installed: pip install mcap') from None
        self._records = mcap.records
        self._name, self._size = name, path.stat().st_size
        self._file = path.open('rb')
        self.channels: dict[int, Channel] = {}
        self.counts: Counter[int] = Counter()
        self.damage = ''
        self._schemas: dict[int, Any] = {}
        self._stretches: list[Stretch] = []
        if not self._read_index():
            self._walk()
            self._count()

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

    def _read_index(self) -> bool:
        """Take the index at the end of the file; return whether it is there and tells all."""
        from mcap.reader import make_reader
        try:
            summary = make_reader(self._file).get_summary()
        except Exception:  # with damaged bytes the library raises almost anything
            return False
        if summary is None or summary.statistics is None or not summary.channels:
            return False
        statistics = summary.statistics
        if not statistics.chunk_count == len(summary.chunk_indexes) > 0:
            return False
        for each in (*summary.schemas.values(), *summary.channels.values()):
            self._declare(each)
        self.counts.update(statistics.channel_message_counts)
        self._stretches = [
            Stretch(each.message_start_time, each.chunk_start_offset,
                    Counter(dict.fromkeys(each.message_index_offsets, 1)))
            for each in summary.chunk_indexes]
        return True

    def _walk(self) -> None:
        """Note all records, up to the footer or to where the file breaks off."""
        offset = len(MAGIC)
        while offset < self._size:
            try:
                for record in self._reader(offset):
                    self._note(record, offset)
                    offset = self._file.tell()
                return
            except Exception as error:  # with damaged bytes the library raises almost anything
                self._note_damage(offset, error)
                offset = self._after_damage(offset)

    def _after_damage(self, offset: int) -> int:
        """Return where the record after a broken one begins; of a chunk keep what is there."""
        self._file.seek(offset)
        head = self._file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or head[0] == 0:  # zeros are what a power loss leaves
            return self._size
        if head[0] == CHUNK:
            self._stretches.append(Stretch(0, offset))
        return offset + HEAD_BYTES + int.from_bytes(head[1:], 'little')

    def _note(self, record: Any, offset: int) -> None:
        """Note a record that begins at or, after one of another kind, behind an offset."""
        kinds = self._records
        if isinstance(record, (kinds.Schema, kinds.Channel)):
            self._declare(record)
        elif isinstance(record, kinds.Message):
            self._stretches.append(
                Stretch(record.log_time, offset, Counter([record.channel_id])))
        elif isinstance(record, kinds.Chunk):
            self._stretches.append(Stretch(record.message_start_time, offset))
        elif isinstance(record, kinds.MessageIndex) and self._stretches:
            self._stretches[-1].counts[record.channel_id] += len(record.records)

    def _count(self) -> None:
        """Count messages; reads chunks only where no index beside them tells what they hold."""
        for stretch in self._stretches:
            if not stretch.counts or set(stretch.counts) - set(self.channels):
                stretch.counts = Counter(each.channel_id for each in self._messages(stretch))
            self.counts += stretch.counts

    def _messages(self, stretch: Stretch) -> Iterator[Message]:
        """Yield the messages of a stretch, and note the channels that it declares."""
        record = self._record(stretch.offset)
        if isinstance(record, self._records.Message):
            yield _message(record)
            return
        try:
            records = decompressed(
                record.data, record.compression, min(record.uncompressed_size, LARGEST_BYTES))
            if record.uncompressed_size > LARGEST_BYTES:
                raise ValueError(f'a chunk of {record.uncompressed_size} bytes')
        except (AttributeError, ValueError) as error:
            self._note_damage(stretch.offset, error)
            return
        if len(records) == record.uncompressed_size and (
                crc32(records) != (record.uncompressed_crc or crc32(records))):
            self._note_damage(stretch.offset, 'the checksum of a chunk is wrong')
        yield from self._inner(records, stretch.offset)

    def _inner(self, records: bytes, offset: int) -> Iterator[Message]:
        """Yield the messages among the records of a chunk, as far as they are whole."""
        from mcap.exceptions import EndOfFile
        from mcap.stream_reader import StreamReader
        try:
            for record in StreamReader(BytesIO(records), skip_magic=True).records:
                if isinstance(record, self._records.Message):
                    yield _message(record)
                elif isinstance(record, (self._records.Schema, self._records.Channel)):
                    self._declare(record)
        except EndOfFile:
            pass  # a chunk has no footer
        except Exception as error:  # with damaged bytes the library raises almost anything
            self._note_damage(offset, error)

    def _record(self, offset: int) -> Any:
        """Return a message or a chunk, of which the end may be missing; None if all is."""
        from mcap.data_stream import ReadDataStream
        try:
            return next(self._reader(offset))
        except Exception:  # with damaged bytes the library raises almost anything
            self._file.seek(offset + HEAD_BYTES)
        try:
            return self._records.Chunk.read(ReadDataStream(self._file))
        except Exception:
            return None

    def _reader(self, offset: int) -> Iterator[Any]:
        from mcap.stream_reader import StreamReader
        self._file.seek(offset)
        return StreamReader(self._file, skip_magic=True, emit_chunks=True,
                            record_size_limit=LARGEST_BYTES).records

    def _declare(self, record: Any) -> None:
        """Take down a schema or a channel."""
        if isinstance(record, self._records.Schema):
            self._schemas[record.id] = record
            return
        schema = self._schemas.get(record.schema_id)
        self.channels.setdefault(record.id, Channel(
            record.id, record.topic, type_name_of(schema.name if schema else ''),
            record.message_encoding, schema.data.decode('utf-8', 'replace') if schema else '',
            schema.encoding if schema else ''))

    def _note_damage(self, offset: int, why: Exception | str) -> None:
        reason = str(why).partition('\n')[0]
        self.damage = self.damage or (
            f'{self._name} breaks off or is damaged at byte {offset} of {self._size}'
            + (f' ({reason})' if reason else '') + '; what is whole is read. `mcap recover '
            f'{self._name.name} -o whole.mcap` writes that to a file of its own')


def _message(record: Any) -> Message:
    return Message(record.log_time, record.channel_id, record.data)
