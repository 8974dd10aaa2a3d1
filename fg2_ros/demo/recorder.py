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

"""Record a drive and the node's output."""

from __future__ import annotations

import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.demo.lookups import Lookups
from fg2_ros.evaluation.drive import DriveRecord
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.simulation.bag_messages import TYPESTORE
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import Image, NavSatFix
from tf2_msgs.msg import TFMessage

NODE = '/fg2'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RELIABLE = QoSProfile(depth=200)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ANSWER_S = 5.0  # within which the node tells its state, if it knows whom
PLANAR = np.ix_([0, 1, 5], [0, 1, 5])


class Recorder(Node):
    """
    Keeps what is published, to be made into a `DriveRecord`.

    :param overlay_every_s: overlays are kept this far apart.
    """

    def __init__(self, overlay_every_s: float):
        super().__init__('fg2_demo_recorder')
        self.truth: dict[int, Pose2] = {}      # by stamp in ns, as all below
        self.estimates: dict[int, tuple[Pose2, np.ndarray, float]] = {}  # .., latency in ms
        self.diagnostics: dict[str, str] = {}
        self._fixes: dict[int, tuple[float, float]] = {}
        self._lookups = Lookups()
        self._overlays: dict[int, bytes] = {}
        self._overlay_every_ns = round(overlay_every_s * 1e9)
        self._datum: MapFrame | None = None
        self._node_datum: MapFrame | None = None
        self._state = self.create_client(GetState, f'{NODE}/get_state')
        self._answer: Future | None = None
        self._ask_again_s = 0.0
        for kind, topic, callback, qos in (
                (PoseStamped, '/ground_truth/pose', self._on_truth, RELIABLE),
                (NavSatFix, '/ground_truth/datum', self._on_datum, LATCHED),
                (NavSatFix, '/fix', self._on_fix, RELIABLE),
                (TFMessage, '/tf', self._on_tf, RELIABLE),
                (Odometry, f'{NODE}/odometry', self._on_odometry, RELIABLE),
                (NavSatFix, f'{NODE}/datum', self._on_node_datum, LATCHED),
                (DiagnosticArray, '/diagnostics', self._on_diagnostics, RELIABLE)):
            self.create_subscription(kind, topic, callback, qos)
        self.create_subscription(Image, f'{NODE}/matches', self._on_overlay, NEWEST, raw=True)

    def node_state(self) -> str:
        """Return the state of the node's lifecycle; '' as long as it has not answered."""
        if self._answer is not None and self._answer.done():
            return self._answer.result().current_state.label
        # The answer to a client that the node has not discovered yet is lost: ask again.
        if time.monotonic() >= self._ask_again_s and self._state.service_is_ready():
            self._answer = self._state.call_async(GetState.Request())
            self._ask_again_s = time.monotonic() + ANSWER_S
        return ''

    @property
    def is_up_to_date(self) -> bool:
        """Whether the newest frame's pose has arrived."""
        return bool(self.truth) and max(self.truth) in self.estimates

    def record(self, antenna_m: tuple[float, float]) -> DriveRecord:
        """
        Return the drive so far, in the truth's map.

        :raises ValueError: if there was no drive.
        """
        if not self.truth or self._datum is None:
            raise ValueError('no ground truth was heard: the player did not play')
        begin_ns = min(self.truth)

        def seconds(stamps):
            return np.array([(stamp - begin_ns) / 1e9 for stamp in stamps])

        estimates = sorted(self.estimates.items())
        return DriveRecord(
            truth_time_s=seconds(sorted(self.truth)),
            truth=np.array([self.truth[stamp] for stamp in sorted(self.truth)]),
            gnss_time_s=seconds(self._fixes),
            gnss_m=np.reshape([
                self._datum.map_from_geodetic(*fix) for fix in self._fixes.values()], (-1, 2)),
            gnss_antenna_m=antenna_m,
            time_s=seconds(stamp for stamp, _ in estimates),
            pose=np.reshape([self._in_truth_map(pose) for _, (pose, _, _) in estimates], (-1, 3)),
            covariance=np.reshape([each[1] for _, each in estimates], (-1, 3, 3)),
            latency_ms=np.array([each[2] for _, each in estimates]),
            overlays=[((stamp - begin_ns) / 1e9, _jpeg(image))
                      for stamp, image in self._overlays.items()],
            notes={name: value for name, value in self.diagnostics.items() if value})

    def lookup_figures(self) -> dict[str, float | int | None]:
        """Return how well the transforms served, as `Lookups.figures` does."""
        known = self._datum is not None and self._node_datum is not None
        return self._lookups.figures(
            {stamp: _mapped(pose, self._datum, self._node_datum)
             for stamp, pose in self.truth.items() if known})

    def _in_truth_map(self, pose: Pose2) -> Pose2:
        """Return a pose, given in the node's map, in that of the truth."""
        return _mapped(pose, self._node_datum, self._datum)

    # Callbacks ---------------------------------------------------------------------------------

    def _on_odometry(self, message: Odometry) -> None:
        stamp = _stamp_ns(message)
        latency_ms = (time.time_ns() - stamp) / 1e6
        covariance = np.reshape(message.pose.covariance, (6, 6))[PLANAR]
        self.estimates[stamp] = _planar(message.pose.pose), covariance, latency_ms

    def _on_truth(self, message: PoseStamped) -> None:
        self.truth[_stamp_ns(message)] = _planar(message.pose)

    def _on_fix(self, message: NavSatFix) -> None:
        if message.status.status >= 0:
            self._fixes[_stamp_ns(message)] = message.latitude, message.longitude

    def _on_tf(self, message: TFMessage) -> None:
        for each in message.transforms:
            self._lookups.add(each)

    def _on_datum(self, message: NavSatFix) -> None:
        self._datum = MapFrame(message.latitude, message.longitude)

    def _on_node_datum(self, message: NavSatFix) -> None:
        self._node_datum = MapFrame(message.latitude, message.longitude)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(NODE):
                self.diagnostics |= {each.key: each.value for each in status.values}

    def _on_overlay(self, serialized: bytes) -> None:
        stamp = int.from_bytes(serialized[4:8], 'little') * 10 ** 9 + int.from_bytes(
            serialized[8:12], 'little')
        if not self._overlays or stamp - max(self._overlays) >= self._overlay_every_ns:
            self._overlays[stamp] = serialized


def _mapped(pose: Pose2, source: MapFrame | None, target: MapFrame | None) -> Pose2:
    """
    Return a pose of one map in another.

    :raises ValueError: if one of them is not known.
    """
    if source is None or target is None:
        raise ValueError('no datum was heard: the poses cannot be compared with the truth')
    place_m = target.map_from_geodetic(*source.geodetic_from_map(pose.x, pose.y))
    return Pose2.at(place_m, pose.yaw)


def _jpeg(serialized: bytes) -> bytes:
    """Return the JPEG of a serialized rgb8 image."""
    message: Any = TYPESTORE.deserialize_cdr(serialized, 'sensor_msgs/msg/Image')
    pixels = message.data.reshape(message.height, message.width, 3)
    _, jpeg = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return jpeg.tobytes()


def _stamp_ns(message) -> int:
    return message.header.stamp.sec * 10 ** 9 + message.header.stamp.nanosec


def _planar(pose) -> Pose2:
    return Pose2(pose.position.x, pose.position.y, _yaw(pose.orientation))


def _yaw(q) -> float:
    """Return the REP-103 yaw of a quaternion message."""
    return wrap_angle(np.arctan2(
        2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z)))
