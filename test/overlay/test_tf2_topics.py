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

"""Transforms travel over /tf and /tf_static as tf2 sends them, and follow a simulated clock."""

from time import monotonic

from geometry_msgs.msg import TransformStamped
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from tf2_ros import Buffer, StaticTransformBroadcaster, TransformBroadcaster, TransformListener

PATIENCE_S = 60.0


class Robot:
    """Two nodes, one that sends and one that listens, handled by one executor."""

    def __init__(self) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.executor = SingleThreadedExecutor(context=self._context)
        self.sender = self._start('sender')
        self.receiver = self._start('receiver')

    def _start(self, name):
        node = rclpy.create_node(name, context=self._context)
        self.executor.add_node(node)
        return node

    def spin_until(self, condition) -> None:
        """Handle messages until a condition holds."""
        deadline_s = monotonic() + PATIENCE_S
        while not condition():
            assert monotonic() < deadline_s, 'waited in vain'
            self.executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """Stop the nodes."""
        self.executor.shutdown()
        self.sender.destroy_node()
        self.receiver.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def robot():
    """Return a robot that is stopped at the end."""
    robot = Robot()
    yield robot
    robot.close()


def transform(parent, child, x, stamp_ns=10**9):
    """Return a transform message."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    message.transform.translation.x = x
    return message


def test_a_listener_hears_moving_and_static_transforms(robot):
    moving, static = TransformBroadcaster(robot.sender), StaticTransformBroadcaster(robot.sender)
    static.sendTransform(transform('base', 'camera', 2.0))
    static.sendTransform(transform('base', 'imu', 3.0))
    buffer = Buffer(node=robot.receiver)
    listener = TransformListener(buffer, robot.receiver)
    robot.spin_until(lambda: robot.sender.count_subscribers('/tf'))
    moving.sendTransform([transform('odom', 'base', 1.0), transform('map', 'odom', 4.0)])
    for frame, x in (('camera', 7.0), ('imu', 8.0)):
        robot.spin_until(lambda frame=frame: buffer.can_transform('map', frame, Time()))
        assert buffer.lookup_transform('map', frame, Time()).transform.translation.x == x
    listener.unregister()


def test_a_listener_can_spin_its_node_itself(robot):
    robot.executor.remove_node(robot.receiver)
    StaticTransformBroadcaster(robot.sender).sendTransform(transform('base', 'camera', 2.0))
    buffer = Buffer(node=robot.receiver)
    listener = TransformListener(buffer, robot.receiver, spin_thread=True)
    robot.spin_until(lambda: buffer.can_transform('base', 'camera', Time()))
    listener.__del__()
    assert not listener.dedicated_listener_thread.is_alive()


@pytest.mark.parametrize(('topic', 'durability'), [
    ('/tf', DurabilityPolicy.VOLATILE), ('/tf_static', DurabilityPolicy.TRANSIENT_LOCAL)])
def test_quality_of_service(robot, topic, durability):
    senders = TransformBroadcaster(robot.sender), StaticTransformBroadcaster(robot.sender)
    listener = TransformListener(Buffer(), robot.receiver)
    robot.spin_until(
        lambda: robot.receiver.count_publishers(topic) == 1
        and robot.sender.count_subscribers(topic) == 1)
    ends = (
        *robot.sender.get_publishers_info_by_topic(topic),
        *robot.sender.get_subscriptions_info_by_topic(topic))
    assert {end.topic_type for end in ends} == {'tf2_msgs/msg/TFMessage'}
    assert {end.qos_profile.durability for end in ends} == {durability}
    assert {end.qos_profile.reliability for end in ends} == {ReliabilityPolicy.RELIABLE}
    assert len(senders) == 2 and listener.buffer


def test_a_jump_back_of_the_clock_empties_the_buffer(robot):
    """A bag that starts over must not be answered from its end."""
    robot.receiver.set_parameters([Parameter('use_sim_time', value=True)])
    ticks = robot.sender.create_publisher(Clock, '/clock', 10)
    buffer = Buffer(node=robot.receiver)
    robot.spin_until(lambda: robot.sender.count_subscribers('/clock'))
    clock = robot.receiver.get_clock()
    ticks.publish(Clock(clock=Time(seconds=100).to_msg()))
    robot.spin_until(lambda: clock.now() == Time(seconds=100, clock_type=clock.clock_type))
    buffer.set_transform(transform('map', 'odom', 1.0, 100 * 10**9), '')
    buffer.set_transform_static(transform('base', 'camera', 1.0), '')
    ticks.publish(Clock(clock=Time(seconds=50).to_msg()))
    robot.spin_until(lambda: clock.now() == Time(seconds=50, clock_type=clock.clock_type))
    assert not buffer.can_transform('map', 'odom', Time())
    assert buffer.can_transform('base', 'camera', Time())
