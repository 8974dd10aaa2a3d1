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

"""Recordings: bags of ROS 1 and ROS 2, and the roles of their topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
import heapq
import logging
from pathlib import Path
from typing import Any

from fg2_ros.bags.bag import Bag, BagMessage
from fg2_ros.replay.messages import ros_message
from fg2_ros.ros.image_sets import info_topic_of

NO_TOPIC = 'none'
TRUTH = '/ground_truth/pose'
FIX, ODOMETRY = 'sensor_msgs/msg/NavSatFix', 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
POSE_WITH_COVARIANCE = 'geometry_msgs/msg/PoseWithCovarianceStamped'
POSES = (POSE, POSE_WITH_COVARIANCE, ODOMETRY)  # of a ground truth that has headings
KINDS = {  # of each input: the types that its topic may have
    'image': ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'),
    'fix': (FIX,),
    'odom': (ODOMETRY,),
    'imu': ('sensor_msgs/msg/Imu',),
    'camera_info': ('sensor_msgs/msg/CameraInfo',),
    'truth': (*POSES, FIX),
}
NEEDED = ('image', 'fix')
SHOWN = 5  # topics that are left out

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """A message of a bag: ``time_ns`` is when it was recorded."""

    topic: str
    time_ns: int
    _message: BagMessage

    def message(self) -> Any:
        """
        Return the ROS message.

        :raises ValueError: if it is damaged.
        """
        decoded = self._message.decoded()
        try:
            return ros_message(decoded)
        except Exception as error:  # a type of this name with other fields
            raise ValueError(f'a message on {self.topic} is not that of ROS '
                             f'({_first_line(error)})') from None


class Recording:
    """
    An open bag; what is whole of it can be read.

    :param path: rosbag2 folder, .mcap, .db3, either with .zstd, or ROS 1 .bag or .bag.active.
    :param types: names of types by topic.
    :param left_out: why other topics are not read, by topic.
    :raises ValueError: with a sentence that names the file, if it cannot be used.
    """

    def __init__(self, path: Path):
        """Find what is in it, and say what is not as it should be."""
        self.path = Path(path)
        try:
            self._bag = Bag(self.path)
        except OSError as error:
            raise ValueError(f'{path} cannot be read ({error})') from None
        self.types, self.left_out = self._bag.types, self._bag.left_out
        self._kept: dict[str, list[BagMessage]] = {}
        for sentence in (*self._bag.notes, self.damage, _left_out(self.path, self.left_out)):
            if sentence:
                _log.warning('%s', sentence)

    def close(self) -> None:
        """Close the file."""
        self._bag.close()

    @property
    def damage(self) -> str:
        """Return where and why the bag cannot be read further; '' if it is whole."""
        return self._bag.damage

    def count(self, topic: str) -> int:
        """Return the number of messages on a topic, as far as they are whole."""
        return self._bag.count(topic)

    def keep(self, topics: Iterable[str]) -> None:
        """Read the messages on some topics into memory, all in one go through the files."""
        self._kept = {topic: [] for topic in topics}
        for message in self._bag.messages(self._kept):
            self._kept[message.channel.topic].append(message)

    def messages(self, topics: Iterable[str]) -> Iterator[Recorded]:
        """Yield the messages on some topics in the order in which they were recorded."""
        wanted = list(topics)
        if set(wanted) <= set(self._kept):
            messages: Iterable[BagMessage] = heapq.merge(
                *(self._kept[topic] for topic in wanted), key=lambda each: each.time_ns)
        else:
            messages = self._bag.messages(wanted)
        for each in messages:
            yield Recorded(each.channel.topic, each.time_ns, each)


def _left_out(path: Path, left_out: dict[str, str]) -> str:
    """Return a sentence on the topics that are not read; '' if there are none."""
    listed = [f'{topic} ({why})' for topic, why in sorted(left_out.items())]
    more = f' and {len(listed) - SHOWN} more' if len(listed) > SHOWN else ''
    return f'left out of {path}: {", ".join(listed[:SHOWN])}{more}' if listed else ''


@dataclass(frozen=True)
class Topics:
    """
    The topic of each input; '' for one that there is not.

    :param ring: image and camera_info of each camera of a ring, the first one included; () for a
        lone camera.
    """

    image: str
    fix: str
    odom: str = ''
    imu: str = ''
    camera_info: str = ''
    truth: str = ''
    ring: tuple[tuple[str, str], ...] = ()

    @property
    def cameras(self) -> tuple[tuple[str, str], ...]:
        """Return image and camera_info of each camera."""
        return self.ring or ((self.image, self.camera_info),)

    @property
    def heard(self) -> tuple[str, ...]:
        """All that the node would hear."""
        return (self.fix, self.odom, self.imu, *(
            topic for camera in self.cameras for topic in camera))


def datum_of(truth: str) -> str:
    """Return the topic beside that of a ground truth of poses which has the origin of its map."""
    return truth.rpartition('/')[0] + '/datum'


def choose_topics(recording: Recording, wanted: dict[str, str | None],
                  ring: Sequence[str] = (), needed: Sequence[str] = NEEDED,
                  others: Sequence[str] = ()) -> Topics:
    """
    Return the topics of a bag's inputs.

    :param wanted: by input, as `KINDS` has them: a topic, 'none', or None for the only one of its
        type. The truth is `TRUTH`, if it is there, unless something else is wanted.
    :param ring: topics of the images of a ring of cameras, as a node would be told; compressed
        images may be beside them, and camera_info must be.
    :param needed: the inputs that must be there.
    :param others: topics that are something else, although their types are those of inputs.
    :raises ValueError: with a sentence, if something is lacking or ambiguous.
    """
    truth = _chosen_truth(recording, wanted.get('truth'), 'truth' in needed)
    aside = {truth, datum_of(truth), datum_of(TRUTH), *others}
    cameras = tuple(_camera_of_ring(recording, topic) for topic in ring)
    if cameras:
        wanted = wanted | dict(zip(('image', 'camera_info'), cameras[0]))
    return Topics(truth=truth, ring=cameras, **{
        name: _chosen(recording, name, wanted.get(name), aside, name in needed)
        for name in KINDS if name != 'truth'})


def _camera_of_ring(recording: Recording, topic: str) -> tuple[str, str]:
    """Return the topics of images and camera_info of a camera that a node knows by a name."""
    name = '/' + topic.lstrip('/')
    compressed = f'{name}/compressed'
    image = compressed if compressed in recording.types and name not in recording.types else name
    return (_checked(recording, 'image', image),
            _checked(recording, 'camera_info', info_topic_of(name)))


def _chosen_truth(recording: Recording, topic: str | None, is_needed: bool) -> str:
    if topic is None:
        topic = TRUTH if recording.types.get(TRUTH) in KINDS['truth'] else NO_TOPIC
    if topic == NO_TOPIC:
        return ''
    datum = datum_of(_checked(recording, 'truth', topic))
    if recording.types[topic] in POSES and not recording.count(datum):
        raise ValueError(f'the ground truth on {topic} needs the origin of its map, a {FIX} on '
                         f'{datum}, which {recording.path} does not have: record it'
                         + ('' if is_needed else f', or say --truth {NO_TOPIC}'))
    return topic


def _chosen(recording: Recording, name: str, topic: str | None, aside: set[str],
            is_needed: bool) -> str:
    option = '--' + name.replace('_', '-')
    if topic == NO_TOPIC:
        if is_needed:
            raise ValueError(f'{option} none: without it there are no poses')
        return ''
    if topic is not None:
        return _checked(recording, name, topic)
    found = sorted(each for each, kind in recording.types.items()
                   if kind in KINDS[name] and each not in aside and recording.count(each))
    if len(found) > 1:
        raise ValueError(f'{recording.path} has several topics of {_either(name)}: say '
                         f'{option} with one of {", ".join(found)}'
                         + ('' if is_needed else f', or {NO_TOPIC}'))
    if not found and is_needed:
        raise ValueError(f'{recording.path} has no messages of {_either(name)}; its topics are '
                         f'{_listed(recording)}')
    return found[0] if found else ''


def _checked(recording: Recording, name: str, topic: str) -> str:
    if topic in recording.left_out:
        raise ValueError(f'the topic {topic} of {recording.path} cannot be read: '
                         f'{recording.left_out[topic]}')
    if topic not in recording.types:
        raise ValueError(f'there is no topic {topic} in {recording.path}; its topics are '
                         f'{_listed(recording)}')
    if recording.types[topic] not in KINDS[name]:
        raise ValueError(f'the topic {topic} is of {recording.types[topic]}, not {_either(name)}')
    return topic


def _either(name: str) -> str:
    return ' or '.join(KINDS[name])


def _listed(recording: Recording) -> str:
    listed = [f'{topic} ({kind})' for topic, kind in recording.types.items()]
    listed += [f'{topic} (cannot be read: {why})' for topic, why in recording.left_out.items()]
    return ', '.join(sorted(listed)) or 'none'


def _first_line(error: Exception) -> str:
    return str(error).partition('\n')[0] or type(error).__name__
