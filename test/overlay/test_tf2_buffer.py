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

"""The buffer of transforms behaves as tf2's."""

from math import atan2, cos, pi, sin

from geometry_msgs.msg import TransformStamped
import pytest
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import (
    Buffer, ConnectivityException, ExtrapolationException, InvalidArgumentException,
    LookupException)
from tf_transformations import quaternion_from_euler, quaternion_matrix

LATEST = Time()


def transform(parent, child, time_s=0.0, xyz=(0.0, 0.0, 0.0), rpy=(0.0, 0.0, 0.0)):
    """Return a transform message."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = at(time_s).to_msg()
    moved, turned = message.transform.translation, message.transform.rotation
    moved.x, moved.y, moved.z = xyz
    turned.x, turned.y, turned.z, turned.w = quaternion_from_euler(*rpy)
    return message


def at(time_s):
    """Return a time."""
    return Time(nanoseconds=round(time_s * 1e9))


def matrix(message):
    """Return a transform message as a (4, 4) matrix."""
    t, q = message.transform.translation, message.transform.rotation
    result = quaternion_matrix([q.x, q.y, q.z, q.w])
    result[:3, 3] = t.x, t.y, t.z
    return result


@pytest.fixture
def buffer():
    """Return a buffer: map -> odom (1 s, 3 s) -> base (1 s, 2 s), and a camera fixed to base."""
    buffer = Buffer()
    buffer.set_transform(transform('map', 'odom', 1.0, (10.0, 0.0, 0.0), (0.0, 0.0, 0.2)), '')
    buffer.set_transform(transform('map', 'odom', 3.0, (14.0, 2.0, 0.0), (0.0, 0.0, 0.6)), '')
    buffer.set_transform(transform('odom', 'base', 1.0, (1.0, 2.0, 3.0), (0.1, 0.2, 0.3)), '')
    buffer.set_transform(transform('odom', 'base', 2.0, (1.0, 2.0, 3.0), (0.1, 0.2, 0.3)), '')
    buffer.set_transform_static(
        transform('base', 'camera', xyz=(0.5, 0.0, 1.5), rpy=(0.0, 0.0, pi / 2)), '')
    return buffer


def test_a_path_is_the_product_of_its_links(buffer):
    time = at(1.5)
    links = (('map', 'odom'), ('odom', 'base'), ('base', 'camera'))
    map_from_odom, odom_from_base, base_from_camera = (
        matrix(buffer.lookup_transform(*link, time)) for link in links)
    whole = matrix(buffer.lookup_transform('map', 'camera', time))
    assert whole == pytest.approx(map_from_odom @ odom_from_base @ base_from_camera)


def test_the_way_down_is_the_inverse_of_the_way_up(buffer):
    up = matrix(buffer.lookup_transform('map', 'camera', at(1.2)))
    down = matrix(buffer.lookup_transform('camera', 'map', at(1.2)))
    assert up @ down == pytest.approx(quaternion_matrix([0.0, 0.0, 0.0, 1.0]), abs=1e-12)


def test_siblings_meet_at_their_common_parent(buffer):
    buffer.set_transform_static(transform('base', 'imu', xyz=(-1.0, 0.0, 0.0)), '')
    imu_from_camera = matrix(buffer.lookup_transform('imu', 'camera', at(99.0)))
    assert imu_from_camera[:3, 3] == pytest.approx([1.5, 0.0, 1.5])


def test_positions_are_interpolated_linearly_and_rotations_along_the_arc(buffer):
    found = buffer.lookup_transform('map', 'odom', at(1.5)).transform
    assert (found.translation.x, found.translation.y) == pytest.approx((11.0, 0.5))
    assert 2 * atan2(found.rotation.z, found.rotation.w) == pytest.approx(0.3)


def test_rotations_take_the_shorter_arc():
    buffer = Buffer()
    buffer.set_transform(transform('a', 'b', 1.0, rpy=(0.0, 0.0, pi - 0.1)), '')
    other_sign = transform('a', 'b', 2.0, rpy=(0.0, 0.0, pi + 0.3))
    rotation = other_sign.transform.rotation
    rotation.z, rotation.w = -rotation.z, -rotation.w
    buffer.set_transform(other_sign, '')
    turned = matrix(buffer.lookup_transform('a', 'b', at(1.5)))
    assert turned[:2, 0] == pytest.approx([cos(pi + 0.1), sin(pi + 0.1)])


def test_latest_is_the_newest_time_that_the_whole_path_is_known(buffer):
    assert Time.from_msg(buffer.lookup_transform('map', 'camera', LATEST).header.stamp) \
        .nanoseconds == at(2.0).nanoseconds
    assert Time.from_msg(buffer.lookup_transform('map', 'odom', LATEST).header.stamp) \
        .nanoseconds == at(3.0).nanoseconds
    assert buffer.lookup_transform('base', 'camera', LATEST).header.stamp.sec == 0


def test_the_message_names_target_and_source(buffer):
    found = buffer.lookup_transform('map', 'camera', at(1.5).to_msg())
    assert (found.header.frame_id, found.child_frame_id) == ('map', 'camera')
    assert Time.from_msg(found.header.stamp).nanoseconds == at(1.5).nanoseconds


@pytest.mark.parametrize(('time_s', 'reason'), [(2.5, 'into the future'), (0.5, 'into the past')])
def test_nothing_is_extrapolated(buffer, time_s, reason):
    with pytest.raises(ExtrapolationException, match=reason):
        buffer.lookup_transform('map', 'base', at(time_s))
    assert not buffer.can_transform('map', 'base', at(time_s))
    assert reason in buffer.can_transform(
        'map', 'base', at(time_s), return_debug_tuple=True)[1]


def test_a_single_transform_holds_only_at_its_time():
    buffer = Buffer()
    buffer.set_transform(transform('a', 'b', 1.0), '')
    assert buffer.can_transform('a', 'b', at(1.0))
    with pytest.raises(ExtrapolationException, match='only time 1.000000 is in the buffer'):
        buffer.lookup_transform('a', 'b', at(1.1))


def test_unknown_unconnected_and_invalid_frames(buffer):
    buffer.set_transform_static(transform('moon', 'rover'), '')
    with pytest.raises(LookupException, match='"mars" passed to .* does not exist'):
        buffer.lookup_transform('map', 'mars', LATEST)
    with pytest.raises(ConnectivityException, match="'map' and 'rover'"):
        buffer.lookup_transform('map', 'rover', LATEST)
    with pytest.raises(ConnectivityException):
        buffer.lookup_transform('map', 'rover', at(1.5))
    with pytest.raises(InvalidArgumentException):
        buffer.lookup_transform('/map', 'odom', LATEST)


def test_a_loop_is_an_error():
    buffer = Buffer()
    for parent, child in (('a', 'b'), ('b', 'c'), ('c', 'a'), ('x', 'y')):
        buffer.set_transform_static(transform(parent, child), '')
    with pytest.raises(LookupException, match='loop'):
        buffer.lookup_transform('x', 'a', at(1.0))


@pytest.mark.parametrize('bad', [
    transform('a', 'a'), transform('', 'b'), transform('a', ''),
    transform('a', 'b', xyz=(float('nan'), 0.0, 0.0))])
def test_invalid_transforms_are_ignored(bad):
    buffer = Buffer()
    buffer.set_transform(bad, 'someone')
    assert buffer.all_frames_as_string() == ''


def test_a_quaternion_of_another_length_turns_all_the_same():
    buffer = Buffer()
    long = transform('a', 'b')
    long.transform.rotation.z = long.transform.rotation.w = 0.9
    buffer.set_transform_static(long, 'someone')
    rotation = buffer.lookup_transform('a', 'b', LATEST).transform.rotation
    assert rotation.z == pytest.approx(rotation.w) == pytest.approx(0.5 ** 0.5)


def test_the_history_reaches_ten_seconds_back():
    buffer = Buffer()
    for time_s in range(1, 22):
        buffer.set_transform(transform('a', 'b', time_s), '')
    assert buffer.can_transform('a', 'b', at(11.5))
    assert not buffer.can_transform('a', 'b', at(9.5))
    buffer.set_transform(transform('a', 'b', 5.0), 'too old')
    assert not buffer.can_transform('a', 'b', at(9.5))


def test_transforms_may_come_out_of_order():
    buffer = Buffer()
    for time_s in (1.0, 3.0, 2.0):
        buffer.set_transform(transform('a', 'b', time_s, (time_s ** 2, 0.0, 0.0)), '')
    assert buffer.lookup_transform('a', 'b', at(2.5)).transform.translation.x == 6.5


def test_clear_keeps_what_is_static(buffer):
    buffer.clear()
    assert buffer.can_transform('base', 'camera', LATEST)
    assert not buffer.can_transform('map', 'odom', LATEST)
    buffer.set_transform(transform('map', 'odom', 0.1), 'a bag that started over')
    assert buffer.can_transform('map', 'odom', at(0.1))


def test_a_frame_may_change_its_parent():
    buffer = Buffer()
    buffer.set_transform(transform('a', 'c', 1.0, (1.0, 0.0, 0.0)), '')
    buffer.set_transform(transform('b', 'c', 2.0, (5.0, 0.0, 0.0)), '')
    assert buffer.lookup_transform('a', 'c', at(1.5)).transform.translation.x == 1.0
    assert buffer.lookup_transform('b', 'c', at(2.0)).transform.translation.x == 5.0


def test_lookup_across_times_over_a_fixed_frame(buffer):
    found = buffer.lookup_transform_full('odom', at(3.0), 'odom', at(1.0), 'map')
    now = matrix(buffer.lookup_transform('map', 'odom', at(3.0)))
    then = matrix(buffer.lookup_transform('map', 'odom', at(1.0)))
    assert now @ matrix(found) == pytest.approx(then)


def test_a_future_is_done_when_its_transform_comes(buffer):
    future = buffer.wait_for_transform_async('map', 'base', at(2.5))
    assert not future.done()
    buffer.set_transform(transform('odom', 'base', 3.0, (1.0, 2.0, 3.0)), '')
    assert future.done()
    assert future.result() == buffer.lookup_transform('map', 'base', at(2.5))


def test_a_lookup_gives_up_after_its_timeout(buffer):
    with pytest.raises(ExtrapolationException):
        buffer.lookup_transform('map', 'base', at(9.0), timeout=Duration(seconds=0.05))
