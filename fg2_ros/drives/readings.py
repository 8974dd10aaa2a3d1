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

"""Readings of a bag's sensors: the vehicle's motion, before any image is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import logging
from typing import Any

from fg2_ros.datasets.drives import SensorReadings
from fg2_ros.drives.settings import TruthSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.replay.recording import FIX, POSE_WITH_COVARIANCE, Recording, Topics
from fg2_ros.replay.tracks import interpolated, lies_between, PoseTrack, read_fixes
from fg2_ros.ros import conversions
from fg2_ros.ros.headings import of_antennas, PAIRED_NS
from fg2_ros.ros.node_settings import SensorSettings
from fg2_ros.ros.vehicle_mounts import VehicleMounts
from fg2_ros.ros.velocities import Velocities
from fg2_ros.tracker.inputs import Fix
import numpy as np

IMU, QUATERNION = 'sensor_msgs/msg/Imu', 'geometry_msgs/msg/QuaternionStamped'
HEADING_KINDS = (IMU, QUATERNION, POSE_WITH_COVARIANCE, FIX)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadingTrack:
    """
    How base_link was turned.

    :param stamp_ns: (H,) int64, increasing.
    :param yaw_rad: (H,) in the map, without jumps by full turns.
    :param sigma_rad: (H,).
    """

    stamp_ns: np.ndarray
    yaw_rad: np.ndarray
    sigma_rad: np.ndarray

    def knows(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return for each stamp whether it lies between two of the track's that are near."""
        return lies_between(self.stamp_ns, stamp_ns)

    def at(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N, 2) yaws and sigmas at stamps, interpolated."""
        return np.stack([interpolated(self.stamp_ns, each, stamp_ns)
                         for each in (self.yaw_rad, self.sigma_rad)], axis=1)

    @classmethod
    def of(cls, stamps: Any, yaw_rad: Any, sigma_rad: Any) -> HeadingTrack:
        """Return the track of readings in any order."""
        stamp_ns, first = np.unique(np.asarray(stamps, np.int64), return_index=True)
        return cls(stamp_ns, np.unwrap(np.asarray(yaw_rad, float)[first]),
                   np.asarray(sigma_rad, float)[first])


def read_sensors(recording: Recording, topics: Topics, vehicle: VehicleMounts, frame: MapFrame
                 ) -> tuple[SensorReadings, tuple[float, float]]:
    """Return what the sensors said, and where the antenna is; unusable messages are left out."""
    fixes, antenna_m = _fixes(recording, topics.fix, vehicle, frame)
    velocities = Velocities()

    def odometry(message: Any) -> tuple[float, ...]:
        reading = velocities.completed(conversions.stamp_ns(message.header.stamp),
                                       conversions.odometry_from_message(
            message, *vehicle.of_odometry(message.child_frame_id)))
        return (*reading.pose, *reading.twist)

    def heading(message: Any) -> tuple[float, float]:
        return conversions.heading_from_imu(
            message, SensorSettings(), vehicle.of_sensor(message.header.frame_id)[1])

    odometry_ns, odometries = _rows(recording, topics.odom, odometry, 6)
    odometries[:, 2] = np.unwrap(odometries[:, 2])
    return SensorReadings(*fixes, odometry_ns, odometries,
                          *_rows(recording, topics.imu, heading, 2)), antenna_m


def _fixes(recording: Recording, topic: str, vehicle: VehicleMounts, frame: MapFrame
           ) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]:
    nothing = SensorReadings()
    track = None
    try:
        track = read_fixes(recording, topic, vehicle) if topic else None
    except ValueError as error:
        _log.warning('GNSS on %s is left out: %s', topic, error)
    if track is None:
        return (nothing.fix_stamp_ns, nothing.fix_m, nothing.fix_sigma_m), (0.0, 0.0)
    place_m = frame.map_from_geodetic(*track.frame.geodetic_from_map(*track.pose[:, :2].T))
    sigma_m = np.where(np.isfinite(track.sigma[:, 0]), track.sigma[:, 0],
                       SensorSettings().default_fix_sigma_m)
    return (track.stamp_ns, np.stack(place_m, axis=1), sigma_m), track.lever_m


def read_headings(recording: Recording, topic: str, positions: PoseTrack,
                  vehicle: VehicleMounts, settings: TruthSettings) -> HeadingTrack:
    """
    Return the true heading on a topic of its own.

    :param positions: of the first antenna, for a topic with the fixes of the second.
    :raises ValueError: if there is none that can be used.
    """
    kind = recording.types[topic]
    sensors = SensorSettings(
        heading_axes=settings.heading_axes, heading_offset_deg=settings.heading_offset_deg,
        default_heading_sigma_deg=settings.truth_sigma_deg)
    if kind == FIX:
        return _of_two_antennas(positions, read_fixes(recording, topic, vehicle), settings)

    def heading(message: Any) -> tuple[float, float]:
        if kind == POSE_WITH_COVARIANCE:
            pose = message.pose
            return conversions.heading_of(pose.pose.orientation, pose.covariance[35], sensors)
        mount = vehicle.of_sensor(message.header.frame_id)[1]
        if kind == QUATERNION:
            return conversions.heading_of(message.quaternion, 0.0, sensors, mount)
        conversions.heading_from_imu(message, sensors, mount)  # refuses one that knows none
        return conversions.heading_of(
            message.orientation, message.orientation_covariance[8], sensors, mount)

    stamp_ns, rows = _rows(recording, topic, heading, 2)
    if not len(stamp_ns):
        raise ValueError(f'there is no heading on {topic}')
    return HeadingTrack.of(stamp_ns, *rows.T)


def _of_two_antennas(first: PoseTrack, second: PoseTrack, settings: TruthSettings
                     ) -> HeadingTrack:
    """Return the heading by fixes of two antennas at the same times."""
    places = first.frame.map_from_geodetic(*second.frame.geodetic_from_map(*second.pose[:, :2].T))
    found, why = [], 'their fixes are of different times'
    for stamp_ns, place_m, sigma_m in zip(
            second.stamp_ns, np.stack(places, axis=1), second.sigma[:, 0]):
        near = int(np.argmin(np.abs(first.stamp_ns - stamp_ns)))
        if abs(first.stamp_ns[near] - stamp_ns) > PAIRED_NS:
            continue
        fixes = [Fix(place, float(np.nan_to_num(sigma, nan=settings.truth_sigma_m)), lever)
                 for place, sigma, lever in (
                     (first.pose[near, :2], first.sigma[near, 0], first.lever_m),
                     (place_m, sigma_m, second.lever_m))]
        try:
            found.append((stamp_ns, *of_antennas(*fixes)))
        except ValueError as error:
            why = str(error)
    if not found:
        raise ValueError(f'the two antennas tell no heading: {why}')
    return HeadingTrack.of(*zip(*found))


def _rows(recording: Recording, topic: str, read: Callable[[Any], tuple[float, ...]],
          columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) increasing stamps and (N, columns) values of the usable messages on a topic."""
    found = list(_usable(recording, topic, read)) if topic else []
    stamps, first = np.unique(
        np.array([stamp for stamp, _ in found], np.int64), return_index=True)
    return stamps, np.reshape([row for _, row in found], (-1, columns)).astype(float)[first]


def _usable(recording: Recording, topic: str, read: Callable[[Any], tuple[float, ...]]
            ) -> Iterator[tuple[int, tuple[float, ...]]]:
    for recorded in recording.messages([topic]):
        try:
            message = recorded.message()
            yield conversions.stamp_ns(message.header.stamp), read(message)
        except ValueError:
            continue
