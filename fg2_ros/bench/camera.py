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

"""
A vehicle that sends images and all else that the node needs, for `fg2 bench --node`.

``python -m fg2_ros.bench.camera WIDTH RATE COUNT FIRST`` waits for the node, sends, and ends. RATE
0 sends the next image when the node has published the pose of the last one; stamps are then those
of a camera at 10 Hz whose image number FIRST is the first one sent.
"""

from __future__ import annotations

from array import array
import sys
import time
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Odometry
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, Imu, NavSatFix
from tf2_msgs.msg import TFMessage

NAMESPACE = '/fg2_bench'
DATUM_DEG = (47.37, 8.54)
PATIENCE_S = 60.0
GREY = 128  # black ones would be searched for bars
BEGIN_NS, STEP_NS = 1_700_000_000 * 10 ** 9, 10 ** 8  # stamps of images that are sent on demand
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Camera:
    """
    Sends images of a vehicle that stands, and what its other sensors say.

    :param width: of the panoramas in pixels.
    """

    def __init__(self, node: Node, width: int):
        """Create the publishers."""
        self._node = node
        self._image = Image(width=width, height=width // 2, encoding='bgr8', step=3 * width)
        self._image.header.frame_id = 'base_link'
        self._image.data = array('B', bytes([GREY]) * (3 * width * (width // 2)))
        self._publishers = {kind: node.create_publisher(kind, topic, 10) for kind, topic in (
            (Image, 'image'), (NavSatFix, 'fix'), (Odometry, 'odom'), (Imu, 'imu'),
            (TFMessage, '/tf'))}
        self.answered_ns = 0
        node.create_subscription(PoseWithCovarianceStamped, 'fg2/pose', self._hear, 10)

    def wait(self) -> None:
        """
        Wait until the node hears everything.

        :raises TimeoutError: if it does not.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while not all(each.get_subscription_count() for each in self._publishers.values()):
            if time.monotonic() > deadline_s:
                raise TimeoutError('the node does not listen')
            rclpy.spin_once(self._node, timeout_sec=0.01)

    def send(self, stamp_ns: int, fix: bool) -> None:
        """Send an image and what belongs to it."""
        stamp = {'sec': stamp_ns // 10 ** 9, 'nanosec': stamp_ns % 10 ** 9}
        transform = TransformStamped(child_frame_id='base_link')
        transform.header.frame_id = 'odom'
        odometry, imu = Odometry(child_frame_id='base_link'), Imu()
        odometry.header.frame_id = 'odom'
        imu.orientation_covariance[8] = 0.01
        messages: list[Any] = [odometry, imu, self._image]
        if fix:
            messages.insert(0, NavSatFix(latitude=DATUM_DEG[0], longitude=DATUM_DEG[1]))
            messages[0].position_covariance[0] = messages[0].position_covariance[4] = 4.0
            messages[0].position_covariance_type = NavSatFix.COVARIANCE_TYPE_DIAGONAL_KNOWN
        for message in (transform, *messages):
            for name, value in stamp.items():
                setattr(message.header.stamp, name, value)
        self._publishers[TFMessage].publish(TFMessage(transforms=[transform]))
        for message in messages:
            self._publishers[type(message)].publish(message)

    def spin_until(self, when_s: float, answered_ns: int = 0) -> None:
        """Wait until a time, or until the pose of a stamp was heard."""
        while (left_s := when_s - time.monotonic()) > 0:
            if answered_ns and self.answered_ns >= answered_ns:
                return
            rclpy.spin_once(self._node, timeout_sec=min(left_s, 0.01))

    def _hear(self, pose: PoseWithCovarianceStamped) -> None:
        self.answered_ns = pose.header.stamp.sec * 10 ** 9 + pose.header.stamp.nanosec


def main() -> int:
    """Send as the arguments say; return the exit code."""
    width, rate_hz = int(sys.argv[1]), float(sys.argv[2])
    count, first = map(int, sys.argv[3:])
    rclpy.init()
    node = rclpy.create_node('camera', namespace=NAMESPACE)
    try:
        camera = Camera(node, width)
        camera.wait()
        begin_s = time.monotonic()
        for number in range(count):
            if rate_hz:
                camera.spin_until(begin_s + number / rate_hz)
            stamp_ns = time.time_ns() if rate_hz else BEGIN_NS + (first + number) * STEP_NS
            camera.send(stamp_ns, fix=number % 10 == 0)
            if not rate_hz:
                camera.spin_until(time.monotonic() + 0.5, stamp_ns)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
