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

"""Everything the node publishes about poses, in one place, with one stamp."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros import conversions
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.overlays import match_overlay
from fg2_ros.ros.transforms import map_from_odom, OdometryPose, Transforms
from geometry_msgs.msg import PoseWithCovarianceStamped
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix
from std_msgs.msg import Header

if TYPE_CHECKING:
    from fg2_ros.localizer import Estimate

RESULT_QOS = QoSProfile(depth=10)
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """
    The publishers of a node; they are silent while it is not active.

    :param transforms: broadcasts map -> odom, if that is ours to broadcast.
    """

    def __init__(self, node: LifecycleNode, settings: NodeSettings, transforms: Transforms):
        """Create the publishers."""
        self._node, self._settings, self._transforms = node, settings, transforms
        self._all: list = []
        self._next_matches_s = 0.0
        self.pose = self._publisher(PoseWithCovarianceStamped, '~/pose')
        self.fix = self._publisher(NavSatFix, '~/fix')
        self.matches = self._publisher(Image, '~/matches')
        self.datum = self._publisher(NavSatFix, '~/datum', LATCHED_QOS)

    def _publisher(self, kind, topic: str, qos: QoSProfile = RESULT_QOS):
        self._all.append(self._node.create_lifecycle_publisher(kind, topic, qos))
        return self._all[-1]

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._all:
            self._node.destroy_lifecycle_publisher(publisher)

    def publish_pose(self, stamp, base: Pose2, covariance: np.ndarray, odometry: OdometryPose,
                     frame: MapFrame) -> None:
        """
        Publish pose, transform and fix of base_link.

        :param stamp: of the image, passed on bit by bit.
        :param base: in the map frame.
        :param covariance: (3, 3) of east m, north m, yaw rad.
        :param odometry: at the same stamp.
        """
        in_map = Header(stamp=stamp, frame_id=self._settings.map_frame)
        of_base = Header(stamp=stamp, frame_id=self._settings.base_frame)
        self.pose.publish(conversions.pose_message(
            in_map, base, covariance, odometry.height_m, odometry.tilt_rad))
        self._transforms.broadcast(
            in_map, self._settings.odom_frame, map_from_odom(base, odometry.pose))
        self.fix.publish(conversions.fix_message(of_base, base, covariance, frame))

    def publish_datum(self, frame: MapFrame) -> None:
        """Publish the origin of the map frame, for those who come later as well."""
        header = Header(
            stamp=self._node.get_clock().now().to_msg(), frame_id=self._settings.map_frame)
        self.datum.publish(conversions.datum_message(header, frame))

    def publish_matches(self, header: Header, panorama: np.ndarray, estimate: Estimate,
                        camera_prior: Pose2 | None) -> None:
        """
        Draw and publish the matches if anybody looks, `matches_rate_hz` times a second.

        :param camera_prior: None where it had no heading.
        """
        if time.monotonic() >= self._next_matches_s and self.matches.get_subscription_count() > 0:
            self._next_matches_s = time.monotonic() + 1 / self._settings.matches_rate_hz
            overlay = match_overlay(panorama, estimate, camera_prior)
            self.matches.publish(conversions.image_from_rgb(overlay, header))
