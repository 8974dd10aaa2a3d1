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

"""Transforms that cannot be meant, and stamps and clocks that jump or differ."""

import math

from builtin_interfaces.msg import Time as Stamp
from fg2_ros.ros import guarded_buffer
from fg2_ros.ros.clocks import Clocks
from fg2_ros.ros.conversions import stamp_message
from fg2_ros.ros.guarded_buffer import GuardedBuffer
from fg2_ros.ros.stamps import Stamps
from fg2_ros.ros.transforms import mount_in, NoTransform
from geometry_msgs.msg import TransformStamped
import pytest
from rclpy.time import Time
from std_msgs.msg import Header

SECOND_NS = 10 ** 9
HOUR_S = 3600.0


def transform(parent, child, time_s=0.0, x_m=0.0, rotation=(0.0, 0.0, 0.0, 1.0)):
    stamp = stamp_message(at_ns(time_s)) if time_s else Stamp()
    message = TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child)
    message.transform.translation.x = x_m
    for name, value in zip('xyzw', rotation):
        setattr(message.transform.rotation, name, float(value))
    return message


def at_ns(time_s):
    return round((5000.0 + time_s) * SECOND_NS)


@pytest.fixture
def said():
    return []


@pytest.fixture
def buffer(said):
    return GuardedBuffer(said.append)


def x_of(buffer, target, source, time_s):
    found = buffer.lookup_transform(target, source, Time(nanoseconds=at_ns(time_s)))
    return found.transform.translation.x


def drive(buffer, from_s, to_s, ahead_s=0.0):
    """Broadcast odometry at 10 Hz."""
    for tenth in range(round(10 * from_s), round(10 * to_s) + 1):
        buffer.set_transform(
            transform('odom', 'base_link', tenth / 10 + ahead_s, tenth / 10), 'test')


def test_transforms_that_were_ahead_of_time_are_over_when_they_are_over(buffer, said):
    """tf2 alone refuses the right ones for as long as the wrong ones were ahead."""
    drive(buffer, 1.0, 2.0)
    drive(buffer, 2.1, 5.0, ahead_s=HOUR_S)
    assert buffer.ahead_s('base_link', at_ns(5.0)) == pytest.approx(HOUR_S)
    drive(buffer, 5.1, 6.0)
    assert x_of(buffer, 'odom', 'base_link', 5.55) == pytest.approx(5.55)
    assert len(said) == 1 and 'odom -> base_link went back by 3599.9 s' in said[0]


def test_mounts_outlive_a_jump(buffer):
    buffer.set_transform_static(transform('base_link', 'camera', x_m=1.0), 'test')
    drive(buffer, 100.0, 101.0)
    drive(buffer, 1.0, 2.0)
    assert mount_in(buffer, 'base_link', 'camera')[0][0] == 1.0


@pytest.mark.parametrize('edge, is_static', [
    (('base_link', 'odom'), False), (('camera', 'base_link'), False),
    (('camera', 'odom'), True), (('base_link', 'odom'), True)])
def test_a_transform_that_closes_a_loop_is_left_out_and_named(buffer, said, edge, is_static):
    drive(buffer, 1.0, 2.0)
    buffer.set_transform_static(transform('base_link', 'camera', x_m=1.0), 'test')
    add = buffer.set_transform_static if is_static else buffer.set_transform
    add(transform(*edge, 2.0), 'test')
    assert f'{edge[0]} -> {edge[1]} is not used' in said[0] and 'is a loop' in said[0]
    drive(buffer, 2.1, 3.0)
    assert x_of(buffer, 'odom', 'camera', 2.95) == pytest.approx(3.95)
    assert mount_in(buffer, 'base_link', 'camera')[0][0] == 1.0


def test_the_right_transform_comes_after_the_one_that_closed_the_loop(buffer, monkeypatch):
    """It is taken as soon as nobody sends the other any more."""
    now_s = [100.0]
    monkeypatch.setattr(guarded_buffer.time, 'monotonic', lambda: now_s[0])
    buffer.set_transform(transform('base_link', 'odom', 1.0), 'test')
    drive(buffer, 1.0, 2.0)
    with pytest.raises(Exception, match='connect|exist|extrapolation'):
        x_of(buffer, 'odom', 'base_link', 1.5)
    now_s[0] += 3.0
    drive(buffer, 2.1, 3.0)
    assert x_of(buffer, 'odom', 'base_link', 2.55) == pytest.approx(2.55)


def test_a_static_transform_that_closed_the_loop_first_does_not_win(buffer, said):
    """It cannot be taken back by whoever sent it; the odometry is heard."""
    buffer.set_transform_static(transform('base_link', 'camera', x_m=1.0), 'test')
    buffer.set_transform_static(transform('base_link', 'odom'), 'test')
    drive(buffer, 1.0, 2.0)
    assert x_of(buffer, 'odom', 'base_link', 1.55) == pytest.approx(1.55)
    assert mount_in(buffer, 'base_link', 'camera')[0][0] == 1.0
    assert len(said) == 1 and 'odom -> base_link is believed' in said[0]


@pytest.mark.parametrize('rotation, words', [
    ((0, 0, 0, 0), 'length 0'), ((0, 0, math.nan, 1), 'not finite'), ((0, 0, 2, 0), 'length 2')])
@pytest.mark.parametrize('parent, child', [('base_link', 'camera'), ('/base_link', '/camera')])
def test_a_mount_that_is_no_rotation_is_named_until_it_is_corrected(
        buffer, rotation, words, parent, child):
    buffer.set_transform_static(transform(parent, child, rotation=rotation), 'test')
    with pytest.raises(NoTransform, match=f'transform base_link -> camera is not used.*{words}'):
        mount_in(buffer, 'base_link', child)
    buffer.set_transform_static(transform(parent, child, x_m=2.0), 'test')
    assert mount_in(buffer, 'base_link', child)[0][0] == 2.0


def test_a_mount_in_two_steps_names_the_broken_one(buffer):
    buffer.set_transform_static(transform('base_link', 'rack', rotation=(0, 0, 0, 0)), 'test')
    buffer.set_transform_static(transform('rack', 'camera'), 'test')
    with pytest.raises(NoTransform, match='the transform base_link -> rack is not used'):
        mount_in(buffer, 'base_link', 'camera')


def test_a_mount_nobody_sends_is_asked_for(buffer):
    with pytest.raises(NoTransform, match='publish the mount of that sensor on /tf_static'):
        mount_in(buffer, 'base_link', '/gps')


# Stamps and clocks -----------------------------------------------------------------------------

def test_one_message_dated_an_hour_ahead_is_left_out():
    stamps = Stamps()
    stamps.note('fix', at_ns(0.0))
    with pytest.raises(ValueError, match='a message on fix is dated 3600.0 s after'):
        stamps.note('fix', at_ns(HOUR_S))
    assert stamps.note('fix', at_ns(1.0)) == 0.0 and stamps.now_ns(0) == at_ns(1.0)


def test_the_time_is_that_of_the_clock_unless_all_sensors_have_another():
    stamps = Stamps()
    assert stamps.now_ns(at_ns(9.0)) == at_ns(9.0)
    stamps.note('fix', at_ns(27.0))  # GPS time
    assert stamps.now_ns(at_ns(9.0)) == at_ns(27.0)
    stamps.note('odom', at_ns(8.9))
    assert stamps.now_ns(at_ns(9.0)) == at_ns(9.0)
    assert stamps.now_ns(at_ns(900.0)) == at_ns(8.9)


def test_a_clock_that_was_set_is_followed_forward_and_back():
    stamps = Stamps()
    stamps.note('fix', at_ns(0.0))
    with pytest.raises(ValueError):
        stamps.note('fix', at_ns(HOUR_S))
    assert stamps.note('fix', at_ns(HOUR_S + 1)) == 0.0
    assert stamps.note('odom', at_ns(0.0)) == 0.0
    assert stamps.note('fix', at_ns(1.0)) == pytest.approx(HOUR_S)


def test_stamps_that_are_a_little_late_are_no_jump():
    stamps = Stamps()
    assert [stamps.note('odom', at_ns(each)) for each in (1.0, 0.5, 0.5, 2.0, 1.2)] == [0.0] * 5
    with pytest.raises(ValueError, match='has no stamp'):
        stamps.note('odom', 0)


@pytest.mark.parametrize('behind_s', [-18.0, 0.0, 18.0])
def test_a_steady_difference_of_clocks_is_found(behind_s):
    """GPS time against UTC; a fix each second, an image each quarter of one."""
    clocks = Clocks()
    for quarter in range(80):
        clocks.note_image(at_ns(quarter / 4))
        if quarter % 4 == 0:
            clocks.note('fix', at_ns(quarter / 4 - behind_s))
        clocks.note('odom', at_ns(quarter / 4 + 0.1))
    found = clocks.behind_s()
    assert found['fix'] == pytest.approx(behind_s) and abs(found['odom']) < 0.2
    words = {0.0: '', 18.0: 'fix by 18.0 s behind', -18.0: 'fix by 18.0 s ahead'}[behind_s]
    assert clocks.problem().endswith(words) and 'odom' not in clocks.problem()


def test_a_few_late_messages_are_no_difference():
    clocks = Clocks()
    for index in range(40):
        clocks.note('fix', at_ns(index))  # before there are images, nothing is known
        clocks.note_image(at_ns(index))
        clocks.note('fix', at_ns(index - 30.0 * (index % 10 == 0)))
    assert clocks.problem() == ''
    clocks.clear()
    assert clocks.behind_s() == {}
