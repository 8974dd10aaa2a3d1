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

"""Check recorded drives with rosbags' own reader, and their replay."""

import cv2
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.simulation.bag import read_bag, restamped, Rtk, START_NS, write_drive
from fg2_ros.simulation.bag_messages import TYPESTORE
from fg2_ros.simulation.drive import DriveSettings, simulate_drive
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from scipy.spatial.transform import Rotation

FRAME = MapFrame(47.0, 8.0)
FRAMES = 24


class StraightCity:
    """A city of one road to the north-east."""

    def route(self, rng, length_m):
        """Return the road."""
        return np.array([[0, 0], [length_m, length_m]])


def panorama(index):
    """Return a small smooth image that tells its index by its red level."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = 8 * index
    image[..., 2] = np.linspace(0, 255, 64).astype(np.uint8)
    return image


@pytest.fixture(scope='module')
def drive():
    return simulate_drive(StraightCity(), 3, DriveSettings(frames=FRAMES))


@pytest.fixture(scope='module', params=[True, False], ids=['jpeg', 'raw'])
def bag(request, drive, tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'drive'
    write_drive(path, drive, FRAME, (panorama(k) for k in range(FRAMES)), request.param)
    return path


def messages(bag, topic):
    """Return the messages of one topic as rosbags' reader sees them."""
    with AnyReader([bag]) as reader:
        connections = [each for each in reader.connections if each.topic == topic]
        assert connections, f'{topic} is missing'
        return [(stamp, reader.deserialize(data, connection.msgtype))
                for connection, stamp, data in reader.messages(connections)]


def stamp_ns(message):
    return message.header.stamp.sec * 10 ** 9 + message.header.stamp.nanosec


def test_every_message_is_recorded_at_its_header_stamp(bag):
    for topic in ('/fix', '/odom', '/imu', '/ground_truth/pose'):
        assert all(stamp == stamp_ns(message) for stamp, message in messages(bag, topic))


def test_images_come_back(bag):
    images = [each for each in read_bag(bag) if each.topic.startswith('/image')]
    assert len(images) == FRAMES
    for index, each in enumerate(images):
        image = TYPESTORE.deserialize_cdr(each.data, each.type_name)
        if each.topic.endswith('compressed'):
            pixels = cv2.imdecode(image.data, cv2.IMREAD_COLOR)[..., ::-1]
        else:
            pixels = image.data.reshape(32, 64, 3)
        assert image.header.frame_id == 'camera'
        assert stamp_ns(image) == each.stamp_ns == START_NS + 2 * 10 ** 9 + index * 125_000_000
        assert np.abs(pixels.astype(int) - panorama(index)).mean() < 3


def test_fixes_are_where_the_receiver_was(bag, drive):
    fixes = [message for _, message in messages(bag, '/fix')]

    assert len(fixes) == len(drive.gnss.time_s)
    for fix, position in zip(fixes, drive.gnss.position_m):
        if np.isnan(position[0]):
            assert fix.status.status == -1 and np.isnan(fix.latitude)
            continue
        place = FRAME.map_from_geodetic(fix.latitude, fix.longitude)
        assert place == pytest.approx(tuple(position), abs=1e-4)
        assert fix.position_covariance[0] == pytest.approx(drive.gnss.sigma_m ** 2)
        assert fix.header.frame_id == 'gnss' and fix.position_covariance_type == 2


def test_odometry_and_its_transform_are_the_same(bag, drive):
    odometry = messages(bag, '/odom')
    transforms = messages(bag, '/tf')

    assert len(odometry) == len(transforms) == len(drive.odometry.time_s)
    for (_, odom), (_, tf) in zip(odometry, transforms):
        transform, = tf.transforms
        assert stamp_ns(transform) == stamp_ns(odom)
        assert (transform.header.frame_id, transform.child_frame_id) == ('odom', 'base_link')
        assert transform.transform.translation.x == odom.pose.pose.position.x
        assert transform.transform.rotation.z == odom.pose.pose.orientation.z
        assert transform.transform.rotation.w == odom.pose.pose.orientation.w
        assert np.all(np.linalg.eigvalsh(odom.pose.covariance.reshape(6, 6)) > 0)
    assert odom.pose.pose.position.x == drive.odometry.x_m[-1]


def test_headings_are_enu(bag, drive):
    for (_, imu), yaw in zip(messages(bag, '/imu'), drive.imu.yaw_rad):
        q = imu.orientation
        assert Rotation.from_quat([q.x, q.y, q.z, q.w]).as_euler('xyz')[2] == pytest.approx(yaw)
        assert imu.linear_acceleration_covariance[0] == -1


def test_truth_is_at_the_images_stamps_around_the_datum(bag, drive):
    truth = messages(bag, '/ground_truth/pose')
    (_, datum), = messages(bag, '/ground_truth/datum')

    assert len(truth) == FRAMES
    assert (datum.latitude, datum.longitude) == FRAME.datum
    assert [message.pose.position.x for _, message in truth] == list(drive.frames.east_m)
    assert truth[0][0] == START_NS + 2 * 10 ** 9


def test_rtk_knows_the_antenna_and_the_heading_but_not_when(drive, tmp_path):
    write_drive(tmp_path / 'rtk', drive, FRAME, (panorama(k) for k in range(FRAMES)),
                rtk=Rtk(clock_ahead_s=0.1))
    fixes, headings = (messages(tmp_path / 'rtk', topic) for topic in ('/rtk/fix', '/rtk/heading'))
    truth = drive.trajectory.at(np.array([stamp - START_NS for stamp, _ in fixes]) / 1e9 - 0.1)
    antenna_m = np.stack([truth.east_m - 0.5 * np.cos(truth.yaw_rad),
                          truth.north_m - 0.5 * np.sin(truth.yaw_rad)])
    found_m = FRAME.map_from_geodetic(
        *np.array([(fix.latitude, fix.longitude) for _, fix in fixes]).T)
    assert 0.01 < np.std(found_m - antenna_m) < 0.03 and len(fixes) == len(headings) > 40
    turned = [Rotation.from_quat([q.x, q.y, q.z, q.w]).as_euler('xyz')[2] for q in (
        heading.orientation for _, heading in headings)]
    assert 0.1 < np.degrees(np.std(turned - truth.yaw_rad)) < 0.3
    assert fixes[0][1].position_covariance[0] == pytest.approx(0.02 ** 2)


def test_no_rtk_unless_it_is_wanted(bag):
    assert not any(each.topic.startswith('/rtk') for each in read_bag(bag))


def test_sensor_places_are_latched(bag):
    (stamp, tf), = messages(bag, '/tf_static')
    places = {each.child_frame_id: each.transform.translation for each in tf.transforms}

    assert stamp == START_NS and set(places) == {'camera', 'gnss', 'imu'}
    assert (places['camera'].x, places['camera'].z) == (0.2, 1.8)
    with AnyReader([bag]) as reader:
        static, = (each for each in reader.connections if each.topic == '/tf_static')
        assert 'TRANSIENT_LOCAL' in str(static.ext.offered_qos_profiles)


def test_restamping_changes_the_stamp_and_nothing_else(bag):
    for topic in ('/fix', '/tf', '/imu', '/odom'):
        each = next(message for message in read_bag(bag) if message.topic == topic)
        message = TYPESTORE.deserialize_cdr(
            restamped(each, 1_234_567_890_123_456_789), each.type_name)
        stamped = message.transforms[0] if topic == '/tf' else message
        assert stamp_ns(stamped) == 1_234_567_890_123_456_789
        stamped.header.stamp.sec, stamped.header.stamp.nanosec = divmod(each.stamp_ns, 10 ** 9)
        assert bytes(TYPESTORE.serialize_cdr(message, each.type_name)) == each.data


def test_messages_come_in_the_order_of_time(bag):
    stamps = [each.stamp_ns for each in read_bag(bag)]

    assert stamps == sorted(stamps) and len(stamps) > 5 * FRAMES


def test_a_bag_is_never_overwritten(bag, drive):
    with pytest.raises(ValueError, match='exists already'):
        write_drive(bag, drive, FRAME, [])


def test_an_image_too_few_is_an_error(drive, tmp_path):
    with pytest.raises(ValueError):
        write_drive(tmp_path / 'short', drive, FRAME, [panorama(0)])
