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

"""Bags of ROS 1 and ROS 2, and which of their topics are what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fg2_ros.replay.messages import ros_message

NO_TOPIC = 'none'
TRUTH = '/ground_truth/pose'
FIX, POSE = 'sensor_msgs/msg/NavSatFix', 'geometry_msgs/msg/PoseStamped'
KINDS = {  # of each input: the types that its topic may have
    'image': ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'),
    'fix': (FIX,),
    'odom': ('nav_msgs/msg/Odometry',),
    'imu': ('sensor_msgs/msg/Imu',),
    'camera_info': ('sensor_msgs/msg/CameraInfo',),
    'truth': (POSE, FIX),
}
NEEDED = ('image', 'fix')


@dataclass(frozen=True)
class Recorded:
    """A message of a bag: ``time_ns`` is when it was recorded."""

    topic: str
    time_ns: int
    _type_name: str
    _data: bytes
    _reader: Any

    def message(self) -> Any:
        """
        Return the ROS message.

        :raises ValueError: if it is damaged.
        """
        try:
            return ros_message(self._reader.deserialize(self._data, self._type_name))
        except Exception as error:  # with damaged bytes the parsers raise almost anything
            raise ValueError(
                f'a message on {self.topic} is damaged ({_first_line(error)})') from None


class Recording:
    """
    An open bag.

    :param path: rosbag2 folder, .mcap, .db3 or ROS 1 .bag.
    :raises ValueError: with a sentence that names the file, if it cannot be used.
    """

    def __init__(self, path: Path):
        """Read what is in it."""
        self.path = Path(path)
        if not self.path.exists():
            raise ValueError(f'there is no bag {path}')
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import get_typestore, Stores
        except ImportError:
            raise ValueError('bags are read with the Python package rosbags, which is not '
                             'installed: pip install rosbags') from None
        try:
            self._reader = AnyReader(
                [self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            self._reader.open()
        except Exception as error:  # with damaged bags its parsers raise almost anything
            raise ValueError(f'{path} is not a readable bag ({_first_line(error)})') from None
        self.types = {each.topic: each.msgtype for each in self._reader.connections}

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def count(self, topic: str) -> int:
        """Return the number of messages on a topic."""
        return sum(each.msgcount for each in self._reader.connections if each.topic == topic)

    def messages(self, topics: Iterable[str]) -> Iterator[Recorded]:
        """
        Yield the messages on some topics in the order in which they were recorded.

        :raises ValueError: where the bag is damaged.
        """
        topics = set(topics)
        wanted = [each for each in self._reader.connections if each.topic in topics]
        count = 0
        try:
            for connection, time_ns, data in self._reader.messages(wanted) if wanted else ():
                yield Recorded(
                    connection.topic, time_ns, connection.msgtype, bytes(data), self._reader)
                count += 1
        except Exception as error:
            raise ValueError(f'{self.path} is damaged after {count} messages '
                             f'({_first_line(error)})') from None


@dataclass(frozen=True)
class Topics:
    """The topic of each input; '' for one that there is not."""

    image: str
    fix: str
    odom: str = ''
    imu: str = ''
    camera_info: str = ''
    truth: str = ''

    @property
    def heard(self) -> tuple[str, ...]:
        """All that the node would hear."""
        return self.image, self.fix, self.odom, self.imu, self.camera_info


def datum_of(truth: str) -> str:
    """Return the topic beside that of a ground truth of poses which has the origin of its map."""
    return truth.rpartition('/')[0] + '/datum'


def choose_topics(recording: Recording, wanted: dict[str, str | None]) -> Topics:
    """
    Return the topics of a bag's inputs.

    :param wanted: by input, as `KINDS` has them: a topic, 'none', or None for the only one of its
        type. The truth is `TRUTH`, if it is there, unless something else is wanted.
    :raises ValueError: with a sentence, if something is lacking or ambiguous.
    """
    truth = _chosen_truth(recording, wanted.get('truth'))
    aside = {truth, datum_of(truth), datum_of(TRUTH)}
    return Topics(truth=truth, **{
        name: _chosen(recording, name, wanted.get(name), aside)
        for name in KINDS if name != 'truth'})


def _chosen_truth(recording: Recording, topic: str | None) -> str:
    if topic is None:
        topic = TRUTH if recording.types.get(TRUTH) in KINDS['truth'] else NO_TOPIC
    if topic == NO_TOPIC:
        return ''
    datum = datum_of(_checked(recording, 'truth', topic))
    if recording.types[topic] == POSE and not recording.count(datum):
        raise ValueError(f'the ground truth on {topic} needs the origin of its map, a {FIX} on '
                         f'{datum}, which {recording.path} does not have: record it, or say '
                         f'--truth {NO_TOPIC}')
    return topic


def _chosen(recording: Recording, name: str, topic: str | None, aside: set[str]) -> str:
    option = '--' + name.replace('_', '-')
    if topic == NO_TOPIC:
        if name in NEEDED:
            raise ValueError(f'{option} none: without it there are no poses')
        return ''
    if topic is not None:
        return _checked(recording, name, topic)
    found = sorted(each for each, kind in recording.types.items()
                   if kind in KINDS[name] and each not in aside and recording.count(each))
    if len(found) > 1:
        raise ValueError(f'{recording.path} has several topics of {_either(name)}: say '
                         f'{option} with one of {", ".join(found)}'
                         + ('' if name in NEEDED else f', or {NO_TOPIC}'))
    if not found and name in NEEDED:
        raise ValueError(f'{recording.path} has no messages of {_either(name)}; its topics are '
                         f'{_listed(recording)}')
    return found[0] if found else ''


def _checked(recording: Recording, name: str, topic: str) -> str:
    if topic not in recording.types:
        raise ValueError(f'there is no topic {topic} in {recording.path}; its topics are '
                         f'{_listed(recording)}')
    if recording.types[topic] not in KINDS[name]:
        raise ValueError(f'the topic {topic} is of {recording.types[topic]}, not {_either(name)}')
    return topic


def _either(name: str) -> str:
    return ' or '.join(KINDS[name])


def _listed(recording: Recording) -> str:
    return ', '.join(sorted(recording.types)) or 'none'


def _first_line(error: Exception) -> str:
    return str(error).partition('\n')[0] or type(error).__name__
