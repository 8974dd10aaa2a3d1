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

"""Reading a bag of one or several files, damaged or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import heapq
from pathlib import Path, PurePath
import re
from tempfile import TemporaryDirectory
from typing import Any

from fg2_ros.bags import mcap_file, ros1_file, sqlite_file
from fg2_ros.bags.compression import decompress_file, ZSTD_MAGIC
from fg2_ros.bags.decoding import Decoders, why_not_read
from fg2_ros.bags.file import BagFile, Channel
from fg2_ros.settings import yaml_content

METADATA = 'metadata.yaml'
ENDINGS = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd', '.bag', '.bag.active')
FORMATS = ((mcap_file.MAGIC, mcap_file.McapFile), (sqlite_file.MAGIC, sqlite_file.SqliteFile),
           (ros1_file.MAGIC, ros1_file.open_ros1))


@dataclass(frozen=True)
class BagMessage:
    """A message of a bag: ``time_ns`` is when it was recorded."""

    channel: Channel
    time_ns: int
    data: bytes
    _decoders: Decoders

    def decoded(self) -> Any:
        """
        Return the message, as rosbags makes it.

        :raises ValueError: if it is damaged.
        """
        return self._decoders.decoded(self.channel, self.data)


class Bag:
    """
    An open bag; what is whole of it can be read.

    :param path: rosbag2 folder, .mcap, .db3, either with .zstd, or ROS 1 .bag or .bag.active.
    :param types: names of types by topic, of all that is read.
    :param left_out: why topics are not read, by topic.
    :param notes: sentences on what is not as it should be, but costs nothing or is left out.
    :raises ValueError: with a sentence that names the file, if nothing can be read.
    """

    def __init__(self, path: Path):
        """Find what is in it."""
        self.path = path
        self.notes: list[str] = []
        self._decoders = Decoders()
        self._folder = TemporaryDirectory(prefix='fg2_bag_')
        self._cut: list[str] = []
        self._files: list[BagFile] = []
        try:
            self._open_all(self._paths())
        except BaseException:
            self.close()
            raise
        channels = [each for file in self._files for each in file.channels.values()]
        self.types = {each.topic: each.type_name for each in channels if not why_not_read(each)}
        self.left_out = {each.topic: why_not_read(each) for each in channels
                         if each.topic not in self.types}
        self._counts = self._counted()
        if not channels and self.damage:
            self.close()
            raise ValueError(f'{path} is not a readable bag ({self.damage})')

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        self._folder.cleanup()

    def __enter__(self) -> Bag:
        """Return the bag."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close all files."""
        self.close()

    def count(self, topic: str) -> int:
        """Return the number of messages on a topic, as far as they are whole."""
        return self._counts[topic]

    @property
    def damage(self) -> str:
        """
        Return where and why the bag cannot be read further, and what mends it; '' if it is whole.

        Some damage is found only by reading.
        """
        return '; '.join([*self._cut, *(file.damage for file in self._files if file.damage)])

    def messages(self, topics: Iterable[str]) -> Iterator[BagMessage]:
        """Yield the messages on some topics in the order in which they were recorded."""
        wanted = set(topics) & set(self.types)
        return heapq.merge(*(self._of_file(file, wanted) for file in self._files),
                           key=lambda each: each.time_ns)

    def _of_file(self, file: BagFile, topics: set[str]) -> Iterator[BagMessage]:
        ids = {each.id for each in file.channels.values()
               if each.topic in topics and not why_not_read(each)}
        for message in file.messages(ids) if ids else ():
            yield BagMessage(file.channels[message.channel_id], message.time_ns, message.data,
                             self._decoders)

    def _counted(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for file in self._files:
            for channel_id, count in file.counts.items():
                if channel_id in file.channels:
                    counts[file.channels[channel_id].topic] += count
        return counts

    # Files -------------------------------------------------------------------------------------

    def _paths(self) -> list[Path]:
        """Return the files of the bag."""
        if not self.path.exists():
            raise ValueError(f'there is no bag {self.path}')
        if not self.path.is_dir():
            return [self.path]
        named = self._named_files()
        paths = [each for each in named if each.exists()]
        if missing := [each.name for each in named if not each.exists()]:
            self.notes.append(f'{", ".join(missing)} of {self.path} is missing: what was in it '
                              'is left out')
        if not paths:  # perhaps the files were renamed
            paths = sorted((each for each in self.path.iterdir()
                            if each.name.endswith(ENDINGS)), key=_by_number)
        if not paths:
            raise ValueError(f'{self.path} is not a readable bag: there is no {METADATA} in it '
                             f'that names its files, and no file of {", ".join(ENDINGS)}')
        return paths

    def _named_files(self) -> list[Path]:
        """Return the files that metadata.yaml names; none if it is of no use."""
        mends = f'`ros2 bag reindex {self.path}` writes it'
        metadata = self.path / METADATA
        if not metadata.exists():
            self.notes.append(f'{self.path} has no {METADATA}, as if the recorder was not shut '
                              f'down: its files are read without it; {mends}')
            return []
        try:
            names = yaml_content(metadata.read_text('utf-8'))[
                'rosbag2_bagfile_information']['relative_file_paths']
            return [self.path / PurePath(each).name for each in names]
        except (ValueError, TypeError, KeyError) as error:
            self.notes.append(f'{metadata} is damaged ({type(error).__name__}): the files are '
                              f'read without it; {mends}')
            return []

    def _open_all(self, paths: list[Path]) -> None:
        """Open files; what cannot be read of several costs only itself."""
        for each in paths:
            try:
                self._files.append(self._opened(each))
            except ValueError as error:
                if len(paths) == 1:
                    raise
                self._cut.append(str(error))
        if not self._files:
            raise ValueError('; '.join(self._cut))

    def _opened(self, path: Path) -> BagFile:
        whole, why = path, ''
        if _head(path).startswith(ZSTD_MAGIC):
            whole = Path(self._folder.name) / path.name.removesuffix('.zstd')
            if why := decompress_file(path, whole):
                self._cut.append(f'{path}: {why}; what is whole is read')
        head = _head(whole)
        opens = next((each for magic, each in FORMATS if head.startswith(magic)), None)
        if opens is None:
            raise ValueError(f'{path} is not a readable bag (' + (
                (why or 'it is empty') if not head else 'it begins like none of ROS') + ')')
        try:
            return opens(whole, path)
        except ValueError as error:
            raise ValueError(f'{path} is not a readable bag ({error})') from None


def _head(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(16)


def _by_number(path: Path) -> list[Any]:
    """Return a key by which drive_10 comes after drive_9."""
    return [int(each) if each.isdigit() else each for each in re.split(r'(\d+)', path.name)]
