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

"""The poses of a replay as files: CSV, GeoJSON, and a bag like what the node publishes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import csv
import json
from pathlib import Path

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.replay.replay import ReplayedImage, ReplayedPose
from fg2_ros.ros import conversions
from fg2_ros.ros.node_settings import NodeSettings
import numpy as np
from rclpy.serialization import serialize_message

CSV_FILE, GEOJSON_FILE, BAG_FOLDER = 'poses.csv', 'poses.geojson', 'poses'
COLUMNS = (
    'stamp_ns', 'latitude', 'longitude', 'east_m', 'north_m', 'yaw_rad', 'cov_east_east',
    'cov_east_north', 'cov_east_yaw', 'cov_north_north', 'cov_north_yaw', 'cov_yaw_yaw',
    'accepted', 'rejection', 'latency_ms')
POSE, ODOMETRY, FIX, DATUM = '/fg2/pose', '/fg2/odometry', '/fg2/fix', '/fg2/datum'
TYPES = {
    POSE: 'geometry_msgs/msg/PoseWithCovarianceStamped', ODOMETRY: 'nav_msgs/msg/Odometry',
    FIX: 'sensor_msgs/msg/NavSatFix', DATUM: 'sensor_msgs/msg/NavSatFix'}


def require_new(folder: Path) -> None:
    """
    Refuse a folder with the poses of an earlier replay.

    :raises ValueError: if it is one.
    """
    for name in (CSV_FILE, GEOJSON_FILE, BAG_FOLDER):
        if (folder / name).exists():
            raise ValueError(f'{folder / name} exists already: name another folder')


class PoseTable:
    """A CSV file of all images, written line by line: what is done is kept, come what may."""

    def __init__(self, path: Path):
        """Write the heading; the folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open('w', newline='')
        self._csv = csv.writer(self._file)
        self._csv.writerow(COLUMNS)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def add(self, outcome: ReplayedImage) -> None:
        """Write an image's line; one without a pose has empty columns."""
        self._csv.writerow((
            outcome.stamp_ns, *_numbers(outcome.pose), int(outcome.accepted), outcome.rejection,
            round(outcome.latency_ms, 2)))
        self._file.flush()


def write_geojson(path: Path, outcomes: Iterable[ReplayedImage]) -> None:
    """Write the accepted poses as points (RFC 7946), and the line through them."""
    accepted = [(each.stamp_ns, each.pose) for each in outcomes if each.pose is not None]
    features = [
        _feature('Point', pose.place_deg[::-1], {
            'stamp_ns': stamp_ns, 'yaw_rad': pose.base.yaw,
            'sigma_m': float(np.sqrt(np.trace(pose.covariance[:2, :2]) / 2))})
        for stamp_ns, pose in accepted]
    if len(accepted) > 1:
        features.append(_feature(
            'LineString', [pose.place_deg[::-1] for _, pose in accepted], {}))
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}) + '\n')


def _numbers(pose: ReplayedPose | None) -> Sequence[float | str]:
    """Return the columns of a pose; empty ones where there is none."""
    if pose is None:
        return ('',) * 11
    return [float(number) for number in (
        *pose.place_deg, *pose.base, *pose.covariance[np.triu_indices(3)])]


def _feature(kind: str, coordinates: Sequence, properties: dict) -> dict:
    return {'type': 'Feature', 'geometry': {'type': kind, 'coordinates': coordinates},
            'properties': properties}


def write_bag(path: Path, outcomes: Iterable[ReplayedImage], frame: MapFrame,
              settings: NodeSettings) -> None:
    """
    Write the accepted poses as a new rosbag2 folder (MCAP), with the messages of the node.

    Headers have the stamps of the images; each message is recorded at its image's time, so that
    the bag can be merged with the one that was replayed.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores
    from std_msgs.msg import Header

    typestore = get_typestore(Stores.ROS2_JAZZY)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=typestore)
                       for topic, kind in TYPES.items()}

        def write(topic: str, time_ns: int, message) -> None:
            # ROS leaves what was in memory between the fields; rosbags writes zeros there.
            same = typestore.deserialize_cdr(serialize_message(message), TYPES[topic])
            writer.write(connections[topic], time_ns, typestore.serialize_cdr(same, TYPES[topic]))

        has_datum = False
        for each in outcomes:
            if each.pose is None:
                continue
            stamp, pose, measured = (
                conversions.stamp_message(each.stamp_ns), each.pose, each.pose.measurement)
            in_map = Header(stamp=stamp, frame_id=settings.map_frame)
            of_base = Header(stamp=stamp, frame_id=settings.base_frame)
            if not has_datum:
                write(DATUM, each.time_ns, conversions.datum_message(in_map, frame))
                has_datum = True
            if measured is not None:
                write(POSE, each.time_ns, conversions.pose_message(
                    in_map, measured.base, measured.covariance))
            write(ODOMETRY, each.time_ns, conversions.odometry_message(
                in_map, settings.base_frame,
                conversions.pose_message(in_map, pose.base, pose.covariance).pose))
            write(FIX, each.time_ns, conversions.fix_message(
                of_base, pose.base, pose.covariance, frame, pose.altitude))
