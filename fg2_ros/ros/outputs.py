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

"""The node's publishers of poses, transforms and pictures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builtin_interfaces.msg import Time
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import AerialPatch
from fg2_ros.ros import conversions, display
from fg2_ros.ros.held_transform import HeldTransform
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.overlays import match_overlay
from fg2_ros.ros.qos import advertise
from fg2_ros.ros.transforms import OdometryPose, Transforms
from fg2_ros.tracker.results import TrackedPose
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Odometry, Path
import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

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
        self.held = HeldTransform(settings.transform.blend_s, settings.transform.timeout_s)
        self._next_pictures_s = 0.0
        self.pose = self._publisher(PoseWithCovarianceStamped, '~/pose')
        self.odometry = self._publisher(Odometry, '~/odometry')
        self.fix = self._publisher(NavSatFix, '~/fix')
        self.matches = self._publisher(Image, '~/matches')
        self.path = self._publisher(Path, '~/path')
        self.markers = self._publisher(MarkerArray, '~/markers')
        self.aerial = self._publisher(OccupancyGrid, '~/aerial', LATCHED_QOS)
        self._trace = display.PathTrace(settings.path_length_m)
        self._height_m = 0.0  # of base_link in the map, as the odometry has it
        self.datum = self._publisher(NavSatFix, '~/datum', LATCHED_QOS)

    def _publisher(self, kind, topic: str, qos: QoSProfile = RESULT_QOS):
        self._all.append(advertise(self._node, kind, topic, qos))
        return self._all[-1]

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._all:
            self._node.destroy_lifecycle_publisher(publisher)

    def apply(self, settings: NodeSettings) -> None:
        """Go on with other settings."""
        self._settings, self._next_pictures_s = settings, 0.0
        self.held.change(settings.transform.blend_s, settings.transform.timeout_s)

    def publish_pose(self, stamp: Time, pose: TrackedPose, odometry: OdometryPose,
                     frame: MapFrame, altitude: conversions.Altitude | None) -> None:
        """
        Publish the image's own measurement, and the belief.

        :param stamp: of the image, passed on bit by bit.
        :param odometry: at the same stamp; height and tilt are passed on.
        :param altitude: of the last fix; passed on.
        """
        in_map = Header(stamp=stamp, frame_id=self._settings.map_frame)
        of_base = Header(stamp=stamp, frame_id=self._settings.base_frame)
        if pose.measurement is not None:
            self.pose.publish(conversions.pose_message(
                in_map, pose.measurement.base, pose.measurement.covariance, odometry.height_m,
                odometry.tilt_rad))
        believed = conversions.pose_message(
            in_map, pose.base, pose.covariance, odometry.height_m, odometry.tilt_rad).pose
        self.odometry.publish(
            conversions.odometry_message(in_map, self._settings.base_frame, believed))
        self.fix.publish(conversions.fix_message(
            of_base, pose.base, pose.covariance, frame, altitude))
        self._height_m = odometry.height_m
        self._trace.add(in_map, believed.pose)
        if is_watched(self.markers):
            self.markers.publish(MarkerArray(markers=[
                display.ellipse_marker(in_map, believed.pose, pose.covariance)]))

    def broadcast(self, now_ns: int, since: Time | None = None) -> bool:
        """
        Broadcast map -> odom as it is held, dated ahead; return whether there is one.

        :param now_ns: by the sensors' clock.
        :param since: a stamp from which on it serves lookups, too, as there was none before.
        """
        held = self.held.at(now_ns / 1e9)
        if held is None:
            return False
        ahead = conversions.stamp_message(
            now_ns + round(1e9 * self._settings.transform.tolerance_s))
        for stamp in (since, ahead) if since else (ahead,):
            self._transforms.broadcast(
                Header(stamp=stamp, frame_id=self._settings.map_frame),
                self._settings.odom_frame, held)
        return True

    def publish_datum(self, frame: MapFrame) -> None:
        """Publish the origin of the map frame, for those who come later as well."""
        header = Header(
            stamp=self._node.get_clock().now().to_msg(), frame_id=self._settings.map_frame)
        self.datum.publish(conversions.datum_message(header, frame))

    def forget_path(self) -> None:
        """Forget the way that the vehicle has come: the map or the time is another."""
        self._trace.clear()
        header = Header(
            stamp=self._node.get_clock().now().to_msg(), frame_id=self._settings.map_frame)
        self.path.publish(self._trace.message(header))
        self.markers.publish(display.nothing_marked(header))

    @property
    def are_pictures_due(self) -> bool:
        """Whether pictures have a subscriber, and the next are due."""
        return time.monotonic() >= self._next_pictures_s and any(
            map(is_watched, (self.matches, self.markers, self.path, self.aerial)))

    @property
    def want_matches(self) -> bool:
        """Whether matches have a subscriber; they take as long as localizing an image alone."""
        return is_watched(self.matches) or is_watched(self.markers)

    def publish_pictures(self, header: Header, image: np.ndarray, patch: AerialPatch,
                         estimate: Estimate | None) -> None:
        """
        Publish the pictures for RViz and Foxglove; the next are due by `matches_rate_hz`.

        :param header: of the image.
        :param estimate: with the matches; None without a subscriber of them.
        """
        self._next_pictures_s = time.monotonic() + 1 / self._settings.matches_rate_hz
        in_map = Header(stamp=header.stamp, frame_id=self._settings.map_frame)
        self.path.publish(self._trace.message(in_map))
        if is_watched(self.aerial):
            self.aerial.publish(display.aerial_layer(in_map, patch, self._height_m))
        if estimate is None:
            return
        if is_watched(self.matches):
            self.matches.publish(
                conversions.image_from_rgb(match_overlay(image, estimate), header))
        self.markers.publish(MarkerArray(markers=[
            display.match_marker(in_map, estimate.matches, self._height_m),
            display.attribution_marker(in_map, patch, self._height_m)]))


def is_watched(publisher: LifecyclePublisher) -> bool:
    """Return whether there is a subscriber."""
    return publisher.get_subscription_count() > 0
