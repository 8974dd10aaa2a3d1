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
Stands in for the node in tests of the demo: its poses are the truth, moved a little.

The environment variable FAKE_NODE says what it does: 'localize', 'crash' when the drive begins,
or 'refuse' to become active.
"""

import os
import sys

from fg2_ros.ros.conversions import image_from_rgb, rgb_from_image
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
import numpy as np
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image, Imu, NavSatFix
from tf2_msgs.msg import TFMessage

BEHAVIOUR = os.environ.get('FAKE_NODE', 'localize')
OFFSET_M = (0.3, -0.4)


class FakeNode(LifecycleNode):
    """Publishes what the demo expects of the node."""

    def __init__(self):
        """Listen to all inputs, as the node does."""
        super().__init__('fg2')
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.odometry = self.create_publisher(Odometry, '~/odometry', 10)
        self.matches = self.create_publisher(Image, '~/matches', 1)
        self.datum = self.create_publisher(NavSatFix, '~/datum', latched)
        self.images = 0
        self.create_subscription(CompressedImage, 'image/compressed', self.on_image, 10)
        self.create_subscription(PoseStamped, 'ground_truth/pose', self.on_truth, 10)
        self.create_subscription(NavSatFix, 'ground_truth/datum', self.datum.publish, latched)
        for kind, topic in ((NavSatFix, 'fix'), (Odometry, 'odom'), (Imu, 'imu'),
                            (TFMessage, '/tf')):
            self.create_subscription(kind, topic, lambda message: None, 10)

    def on_image(self, image):
        """Show the image as the matches."""
        if BEHAVIOUR == 'crash':
            print('the fake node has had enough', file=sys.stderr)
            os._exit(3)
        assert image.format == 'jpeg'
        self.matches.publish(image_from_rgb(rgb_from_image(image), image.header))

    def on_truth(self, truth):
        """Publish the truth, moved, with a covariance that expects it."""
        estimate = Odometry(header=truth.header)
        estimate.pose.pose = truth.pose
        estimate.pose.pose.position.x += OFFSET_M[0]
        estimate.pose.pose.position.y += OFFSET_M[1]
        estimate.pose.covariance = np.diag(
            [OFFSET_M[0] ** 2, OFFSET_M[1] ** 2, 9.0, 9.0, 9.0, 0.01]).ravel()
        self.odometry.publish(estimate)


def main():
    """Run until interrupted."""
    rclpy.init()
    node = FakeNode()
    if BEHAVIOUR != 'refuse':
        node.trigger_configure()
        node.trigger_activate()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass


if __name__ == '__main__':
    main()
