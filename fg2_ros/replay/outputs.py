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
from fg2_ros.replay.replay import ReplayedImage
from fg2_ros.ros import conversions
from fg2_ros.ros.node_settings import NodeSettings
import numpy as np
from rclpy.serialization import serialize_message

CSV_FILE, GEOJSON_FILE, BAG_FOLDER = 'poses.csv', 'poses.geojson', 'poses'
COLUMNS = (
    'stamp_ns', 'latitude', 'longitude', 'east_m', 'north_m', 'yaw_rad', 'cov_east_east',
    'cov_east_north', 'cov_east_yaw', 'cov_north_north', 'cov_north_yaw', 'cov_yaw_yaw',
    'accepted', 'rejection', 'latency_ms')
POSE, FIX, DATUM = '/fg2/pose', '/fg2/fix', '/fg2/datum'
TYPES = {
    POSE: 'geometry_msgs/msg/PoseWithCovarianceStamped', FIX: 'sensor_msgs/msg/NavSatFix',
    DATUM: 'sensor_msgs/msg/NavSatFix'}


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
        numbers = ('',) * 11
        if outcome.accepted:
            numbers = tuple(map(float, (
                *outcome.place_deg, *outcome.base, *outcome.covariance[np.triu_indices(3)])))
        self._csv.writerow((
            outcome.stamp_ns, *numbers, int(outcome.accepted), outcome.rejection,
            round(outcome.latency_ms, 2)))
        self._file.flush()


def write_geojson(path: Path, outcomes: Iterable[ReplayedImage]) -> None:
    """Write the accepted poses as points (RFC 7946), and the line through them."""
    accepted = [each for each in outcomes if each.accepted]
    places = [each.place_deg[::-1] for each in accepted]
    features = [
        _feature('Point', place, {
            'stamp_ns': each.stamp_ns, 'yaw_rad': each.base.yaw,
            'sigma_m': float(np.sqrt(np.trace(each.covariance[:2, :2]) / 2))})
        for each, place in zip(accepted, places)]
    if len(places) > 1:
        features.append(_feature('LineString', places, {}))
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}) + '\n')


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
            writer.write(connections[topic], time_ns, serialize_message(message))

        for count, each in enumerate(each for each in outcomes if each.accepted):
            stamp = conversions.stamp_message(each.stamp_ns)
            in_map = Header(stamp=stamp, frame_id=settings.map_frame)
            of_base = Header(stamp=stamp, frame_id=settings.base_frame)
            if count == 0:
                write(DATUM, each.time_ns, conversions.datum_message(in_map, frame))
            write(POSE, each.time_ns,
                  conversions.pose_message(in_map, each.base, each.covariance))
            write(FIX, each.time_ns,
                  conversions.fix_message(of_base, each.base, each.covariance, frame))
