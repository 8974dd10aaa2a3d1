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

"""SQLite files of rosbag2 (.db3), also of a recorder that was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
import shutil
import sqlite3
from tempfile import TemporaryDirectory

from fg2_ros.bags.file import Channel, Message, type_name_of

MAGIC = b'SQLite format 3\0'
_LONGEST_NAME = 255  # of a topic or a type
JOURNALS = '-journal', '-wal'


class SqliteFile:
    """
    An open .db3 file; see `BagFile`.

    The file itself is never written to: where a journal lies beside it, a copy is brought to
    order and read.

    :param name: of the file in messages.
    """

    def __init__(self, path: Path, name: Path):
        """
        Find what is in it.

        :raises ValueError: if it is no bag, or there is no room for a copy.
        """
        self._path, self._name, self._copies = path, name, TemporaryDirectory(prefix='fg2_bag_')
        self.damage = ''
        try:
            self._database = self._opened()
            self.channels = self._read_channels()
            self.counts = self._counted()
        except (sqlite3.Error, OSError) as error:
            self._copies.cleanup()
            raise ValueError(f'it cannot be read: {error}') from None
        except ValueError:
            self._copies.cleanup()
            raise

    def close(self) -> None:
        """Close the file and drop the copy."""
        self._database.close()
        self._copies.cleanup()

    def messages(self, channel_ids: Collection[int]) -> Iterator[Message]:
        """Yield the messages of some channels by the time of their recording."""
        asked = ','.join('?' * len(channel_ids))
        # A damaged file may have a damaged index, too: then the table is read as it lies there.
        order = 'id' if self.damage else 'timestamp, id'
        rows = self._tolerant(
            f'SELECT timestamp, topic_id, data FROM messages WHERE topic_id IN ({asked}) '
            f'ORDER BY {order}', *channel_ids)
        for time_ns, channel_id, data in rows:
            if not isinstance(data, bytes) or not isinstance(time_ns, int):
                self.damage = self.damage or self._damage('a message is none')
                continue
            yield Message(time_ns, channel_id, data)

    def _opened(self) -> sqlite3.Connection:
        """Return the database; a copy of it if it was not closed."""
        journals = [each for each in (
            self._path.with_name(self._path.name + end) for end in JOURNALS)
            if each.exists() and each.stat().st_size]
        if not journals:
            return _connected(f'{self._path.resolve().as_uri()}?mode=ro&immutable=1')
        needed = sum(each.stat().st_size for each in (self._path, *journals))
        if shutil.disk_usage(self._copies.name).free < 1.1 * needed:
            raise ValueError(
                f'it was not closed ({journals[0].name} lies beside it), and {self._copies.name} '
                f'has no room for a copy of {needed / 1e9:.1f} GB to mend')
        for each in (self._path, *journals):
            shutil.copy(each, self._copies.name)
        return _connected((Path(self._copies.name) / self._path.name).as_uri())

    def _read_channels(self) -> dict[int, Channel]:
        tables = {name for name, in self._database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {'topics', 'messages'} <= tables:
            raise ValueError('it has no tables of topics and messages: it is no bag')
        definitions = {}
        if 'message_definitions' in tables:
            definitions = {name: (kind, text) for name, kind, text in self._database.execute(
                'SELECT topic_type, encoding, encoded_message_definition '
                'FROM message_definitions')}
        channels = {}
        for number, topic, name, encoding in self._database.execute(
                'SELECT id, name, type, serialization_format FROM topics'):
            kind, text = definitions.get(name, ('', ''))
            channels[number] = Channel(
                number, str(topic)[:_LONGEST_NAME], type_name_of(str(name)[:_LONGEST_NAME]),
                str(encoding), str(text), str(kind))
        return channels

    def _counted(self) -> Counter[int]:
        return Counter(number for number, in self._tolerant(
            'SELECT topic_id FROM messages ORDER BY id'))

    def _tolerant(self, query: str, *values: int) -> Iterator[tuple]:
        """Yield rows up to where the file is damaged."""
        try:
            yield from self._database.execute(query, values)
        except sqlite3.Error as error:
            self.damage = self.damage or self._damage(str(error))

    def _damage(self, why: str) -> str:
        return (f'{self._name} breaks off or is damaged: {why}; what is whole is read. `sqlite3 '
                f'{self._name.name} .recover | sqlite3 whole.db3` writes that to a file of its '
                'own')


def _connected(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, check_same_thread=False)
    # Or else SQLite refuses files that are shorter than they should be, whole pages and all.
    database.execute('PRAGMA writable_schema = ON')
    return database
