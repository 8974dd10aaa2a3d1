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

"""What is where in a bag: mounts on /tf, topics that cannot be read, sensors whose stamps jump."""

from test.helpers import mcap_file as mcap

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.replay.mounts import StaticMounts
from fg2_ros.replay.recording import choose_topics, Recording, Topics
from fg2_ros.replay.replay import Replay
from fg2_ros.ros.transforms import NoTransform
from fg2_ros.simulation import bag_messages as msgs
from fg2_ros.simulation.bag_messages import TYPESTORE
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

BEGIN_NS = 1_700_000_000 * 10 ** 9
TF, FIX = 'tf2_msgs/msg/TFMessage', 'sensor_msgs/msg/NavSatFix'
PLACE = MapFrame(47.0, 8.0)


def time_ns(tenth):
    return BEGIN_NS + tenth * 10 ** 8


def recorded(folder, messages):
    """Write (topic, tenth of a second, type, message) and return the recording."""
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=TYPESTORE)
                       for topic, kind in {each[0]: each[2] for each in messages}.items()}
        for topic, tenth, kind, message in messages:
            writer.write(connections[topic], time_ns(tenth),
                         TYPESTORE.serialize_cdr(message, kind))
    return Recording(folder)


def transforms(topic, parent, child, x_m, per_tenth=0.0, until=20):
    """Return a transform that is repeated, and moves."""
    return [(topic, tenth, TF, msgs.transforms(msgs.transform(
        time_ns(tenth), parent, child, (x_m + per_tenth * tenth, 0.0, 0.0))))
        for tenth in range(until)]


ODOMETRY = transforms('/tf', 'odom', 'base_link', 9.0, per_tenth=0.5)


@pytest.mark.parametrize('parts', [
    transforms('/tf', 'base_link', 'camera', 1.0),
    transforms('/tf', '/base_link', '/camera', 1.0),
    transforms('/tf', 'base_link', 'rack', 0.4)
    + transforms('/tf_static', 'rack', 'camera', 0.6, until=1),
    transforms('/tf_static', 'base_link', 'rack', 0.4, until=1)
    + transforms('/tf', 'rack', 'camera', 0.6),
    transforms('/tf', 'base_link', 'camera', 7.0)
    + transforms('/tf_static', 'base_link', 'camera', 1.0, until=1)])
def test_mounts_may_be_on_tf_or_half_of_them(tmp_path, parts):
    """What is static is right where both say something."""
    mounts = StaticMounts(recorded(tmp_path / 'bag', ODOMETRY + parts))
    assert mounts.are_known('base_link')
    assert mounts.mount('base_link', 'camera')[0][0] == pytest.approx(1.0)
    assert mounts.mount('base_link', '/camera')[0][0] == pytest.approx(1.0)
    with pytest.raises(NoTransform, match='no transform base_link -> gps'):
        mounts.mount('base_link', 'gps')


@pytest.mark.parametrize('parts', [
    ODOMETRY, transforms('/tf', 'odom', 'base_link', 9.0),
    ODOMETRY + transforms('/tf', 'base_link', 'wheel', 1.0, per_tenth=0.1)])
def test_what_moves_or_carries_the_vehicle_is_no_mount(tmp_path, parts):
    """Also if it stands."""
    mounts = StaticMounts(recorded(tmp_path / 'bag', parts))
    assert not mounts.are_known('base_link')
    assert mounts.mount('base_link', 'camera')[0][0] == 0.0


def test_a_broken_mount_is_named(tmp_path):
    broken = msgs.transforms(msgs.transform(time_ns(0), 'base_link', 'camera', (1.0, 0.0, 0.0)))
    broken.transforms[0].transform.rotation.w = 0.0
    good = msgs.transforms(msgs.transform(time_ns(0), 'base_link', 'gps', (1.0, 0.0, 0.0)))
    mounts = StaticMounts(recorded(tmp_path / 'bag', [
        ('/tf_static', 0, TF, broken), ('/tf_static', 0, TF, good)]))
    with pytest.raises(NoTransform, match='base_link -> camera is not used: its rotation is a'):
        mounts.mount('base_link', 'camera')


def test_a_topic_that_cannot_be_read_is_named_with_the_reason(tmp_path, caplog):
    path = tmp_path / 'drive.mcap'
    path.write_bytes(
        mcap.header() + mcap.schema(1, 'foxglove.Image', 'jsonschema', '{}')
        + mcap.channel(1, 1, '/camera', 'json') + mcap.message(1, BEGIN_NS, b'{}')
        + mcap.footer())
    recording = Recording(path)
    assert '/camera (its messages are in json, not in that of ROS)' in caplog.text
    with pytest.raises(ValueError, match='/camera .cannot be read: its messages are in json'):
        choose_topics(recording, {})
    with pytest.raises(ValueError, match='the topic /camera of .* cannot be read'):
        choose_topics(recording, {'image': '/camera'})


def test_a_bag_without_images_says_what_there_is(tmp_path):
    fix = msgs.nav_sat_fix(time_ns(0), 'gps', 47.0, 8.0, 3.0)
    recording = recorded(tmp_path / 'bag', [('/gps/fix', 0, FIX, fix)])
    with pytest.raises(ValueError, match='no messages of sensor_msgs/msg/Image or .*; its topics '
                       'are /gps/fix .sensor_msgs/msg/NavSatFix'):
        choose_topics(recording, {})
    with pytest.raises(ValueError, match='its topics are none'):
        choose_topics(recorded(tmp_path / 'empty', []), {})


class Listener:
    """Stands in for the pipeline: takes fixes."""

    def __init__(self):
        """Hear nothing yet."""
        self.heard, self.cleared, self.intrinsics = [], 0, self

    def add_fix(self, message):
        """Take a fix."""
        self.heard.append(round(1000 * (message.latitude - 47.0)))

    add_odometry = add_imu = hear = add_fix

    def clear(self):
        """Forget everything."""
        self.cleared += 1


def test_one_stamp_an_hour_ahead_does_not_spoil_the_rest(tmp_path):
    """A clock that is set back lets the drive begin anew."""
    stamps = [*range(5), 36_000, *range(6, 10), *range(-600, -590)]
    listener = Listener()
    replay = Replay(recorded(tmp_path / 'bag', [
        ('/fix', index, FIX,
         msgs.nav_sat_fix(time_ns(tenth), 'gps', 47.0 + index / 1000, 8.0, 3.0))
        for index, tenth in enumerate(stamps)]), Topics('/image', '/fix'), listener)
    assert not list(replay.outcomes())
    assert listener.heard == [each for each in range(20) if each != 5]
    assert replay.unusable == {'/fix': 1} and 'is dated 3599.6 s' in replay.last_trouble['/fix']
    assert listener.cleared == 1
