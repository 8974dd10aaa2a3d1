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

"""The vehicle's transforms: sensors' mounts, odometry at a stamp, and map -> odom."""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Callable

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.guarded_buffer import GuardedBuffer
from fg2_ros.ros.qos import publisher_qos, STATIC_TF_QOS, subscription_qos, TF_QOS
from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from tf2_ros import TransformBroadcaster, TransformException, TransformListener
from tf_transformations import euler_from_quaternion, quaternion_from_euler

_POLL_S = 0.005
CLOCKS_DIFFER_S = 1.0


class NoTransform(ValueError):
    """A transform is not known; the sentence says which and what to do."""


@dataclass(frozen=True)
class OdometryPose:
    """odom_from_base at one stamp: planar, and what is passed on of the rest."""

    pose: Pose2
    height_m: float = 0.0
    tilt_rad: tuple[float, float] = (0.0, 0.0)  # roll, pitch


class Transforms:
    """
    Looks transforms up for the worker thread; owns the TF listener and broadcaster.

    :param node: the node whose executor hears /tf.
    :param broadcasts: whether map -> odom is ours to broadcast.
    :param warn: called with a sentence on transforms that cannot be used.
    :raises ValueError: if a parameter says what is no QoS of /tf or /tf_static.
    """

    def __init__(self, node: LifecycleNode, broadcasts: bool,
                 warn: Callable[[str], None] = lambda sentence: None):
        """Start to listen."""
        self._node = node
        self._buffer = GuardedBuffer(warn)
        self._listener = TransformListener(
            self._buffer, node, spin_thread=False,
            qos=subscription_qos(node, TFMessage, '/tf', TF_QOS),
            static_qos=subscription_qos(node, TFMessage, '/tf_static', STATIC_TF_QOS))
        self._broadcaster = TransformBroadcaster(
            node, publisher_qos(node, TFMessage, '/tf', TF_QOS)) if broadcasts else None

    def close(self) -> None:
        """Stop listening and broadcasting, and leave no subscription or publisher."""
        self._listener.unregister()
        if self._broadcaster is not None:
            self._node.destroy_publisher(self._broadcaster.pub_tf)

    def clear(self) -> None:
        """Forget what was heard: time has jumped. Static transforms stay."""
        self._buffer.clear()

    def mount(self, base_frame: str, sensor_frame: str):
        """
        Return (translation (3,), quaternion (4,) x y z w) of a sensor on the vehicle.

        :raises NoTransform: if it is not known (yet); never waits.
        """
        return mount_in(self._buffer, base_frame, sensor_frame)

    def odometry_at(self, odom_frame: str, base_frame: str, stamp, wait_s: float) -> OdometryPose:
        """
        Return the pose of base_link in the odometry frame at a stamp; waits for it a little.

        :param stamp: builtin_interfaces Time of the image.
        :raises NoTransform: if there is none after ``wait_s``.
        """
        at = Time.from_msg(stamp)
        deadline = time.monotonic() + wait_s  # the ROS clock may stand still
        while not self._buffer.can_transform(odom_frame, base_frame, at):
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
        try:
            found = self._buffer.lookup_transform(odom_frame, base_frame, at)
        except TransformException as error:
            raise NoTransform(
                f'no transform {odom_frame} -> {base_frame} at the stamp of the image after '
                f'{wait_s:g} s: {self._lacking(odom_frame, base_frame, at.nanoseconds)}'
                ) from error
        x, y, height = _translation(found)
        roll, pitch, yaw = euler_from_quaternion(_quaternion(found))
        return OdometryPose(Pose2(float(x), float(y), float(yaw)), float(height), (roll, pitch))

    def _lacking(self, odom_frame: str, base_frame: str, stamp_ns: int) -> str:
        """Return why odom -> base_link is not known at a stamp, as far as that can be told."""
        if wrong := self._buffer.problem_between(odom_frame, base_frame):
            return wrong
        ahead_s = self._buffer.ahead_s(base_frame, stamp_ns)
        if abs(ahead_s) < CLOCKS_DIFFER_S:
            return 'is the odometry running?'
        return (f'the newest {odom_frame} -> {base_frame} is dated {abs(ahead_s):.1f} s '
                f'{"after" if ahead_s > 0 else "before"} the image: do their clocks differ?')

    def state(self, odom_frame: str, base_frame: str, now_ns: int) -> dict[str, str]:
        """Return for diagnostics how often the odometry's transform comes, and how old it is."""
        name, rate_hz = f'{odom_frame} -> {base_frame}', self._buffer.arrivals[base_frame].rate_hz
        try:
            newest = self._buffer.get_latest_common_time(odom_frame, base_frame)
            age = f'{(now_ns - newest.nanoseconds) / 1e9:.2f}'
        except TransformException:
            age = 'inf'
        return {f'{name} rate [Hz]': f'{rate_hz:.1f}', f'{name} age [s]': age}

    def planar(self, parent_frame: str, child_frame: str) -> Pose2:
        """
        Return where a frame is in another one by the newest that is known, in the plane.

        :raises NoTransform: if it is not known.
        """
        try:
            found = self._buffer.lookup_transform(parent_frame, child_frame, Time())
        except TransformException as error:
            raise NoTransform(f'no transform {parent_frame} -> {child_frame}') from error
        x, y, _ = _translation(found)
        return Pose2(float(x), float(y), float(euler_from_quaternion(_quaternion(found))[2]))

    def broadcast(self, header, child_frame: str, parent_from_child: Pose2) -> None:
        """Broadcast a planar transform; height and tilt stay those of the odometry."""
        if self._broadcaster is None:
            return
        message = TransformStamped(header=header, child_frame_id=child_frame)
        translation, rotation = message.transform.translation, message.transform.rotation
        translation.x, translation.y = float(parent_from_child.x), float(parent_from_child.y)
        rotation.x, rotation.y, rotation.z, rotation.w = (
            float(value) for value in quaternion_from_euler(0.0, 0.0, parent_from_child.yaw))
        self._broadcaster.sendTransform(message)


def mount_in(buffer: GuardedBuffer, base_frame: str,
             sensor_frame: str) -> tuple[np.ndarray, np.ndarray]:
    """
    Return (translation (3,), quaternion (4,) x y z w) of a sensor on the vehicle.

    :param sensor_frame: may begin with a slash, as in ROS 1.
    :raises NoTransform: if the buffer does not have it.
    """
    sensor_frame = sensor_frame.lstrip('/')
    if sensor_frame == base_frame:
        return np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
    try:
        found = buffer.lookup_transform(base_frame, sensor_frame, Time())
    except TransformException as error:
        raise NoTransform(f'no transform {base_frame} -> {sensor_frame}: ' + (
            buffer.problem_between(base_frame, sensor_frame)
            or 'publish the mount of that sensor on /tf_static')) from error
    return _translation(found), _quaternion(found)


def map_from_odom(map_from_base: Pose2, odom_from_base: Pose2) -> Pose2:
    """Return the transform that puts the odometry where the estimate is (REP-105)."""
    return map_from_base.compose(odom_from_base.inverse())


def _translation(message: TransformStamped) -> np.ndarray:
    value = message.transform.translation
    return np.array([value.x, value.y, value.z])


def _quaternion(message: TransformStamped) -> np.ndarray:
    value = message.transform.rotation
    return np.array([value.x, value.y, value.z, value.w])
