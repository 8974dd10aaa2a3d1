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

"""Tracks along a recorded drive, of its ground truth or its GNSS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math
from typing import Any

from fg2_ros.geometry.frames import is_nowhere, MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.replay.recording import datum_of, FIX, ODOMETRY, POSE, Recording, Topics
from fg2_ros.ros import conversions
from fg2_ros.ros.vehicle_mounts import VehicleMounts
from geometry_msgs.msg import PoseWithCovariance
import numpy as np
from sensor_msgs.msg import NavSatFix

LONGEST_GAP_S = 1.05  # truth is not interpolated further than this: 1 Hz, with some jitter
SECOND_NS = 1e9


@dataclass(frozen=True)
class PoseTrack:
    """
    Where something was, in a map of its own.

    :param stamp_ns: (T,) int64, increasing.
    :param pose: (T, 3) east m, north m, yaw rad; the yaw of what is only known by its position is
        NaN.
    :param lever_m: its place in base_link.
    :param sigma: (T, 2) of the position on each axis, m, and of the yaw, rad; NaN where the
        messages do not tell.
    """

    frame: MapFrame
    stamp_ns: np.ndarray
    pose: np.ndarray
    lever_m: tuple[float, float]
    sigma: np.ndarray

    @property
    def has_heading(self) -> bool:
        """Whether yaws are known."""
        return bool(np.isfinite(self.pose[:, 2]).all())

    def knows(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return for each stamp whether it lies between two of the track's that are near."""
        return lies_between(self.stamp_ns, stamp_ns)

    def at(self, stamp_ns: np.ndarray) -> np.ndarray:
        """Return (N, 3) poses at stamps, interpolated."""
        columns = (*self.pose[:, :2].T, np.unwrap(self.pose[:, 2]))
        return np.stack([interpolated(self.stamp_ns, each, stamp_ns) for each in columns], axis=1)


def base_from_antenna(poses: np.ndarray, lever_m: tuple[float, float]) -> np.ndarray:
    """
    Return (N, 3) poses of base_link, whose yaw is known with the place of an antenna on it.

    :param poses: (N, 3) east m, north m of the antenna, yaw rad of base_link.
    """
    cosine, sine, (ahead, left) = np.cos(poses[:, 2]), np.sin(poses[:, 2]), lever_m
    lever = np.stack([cosine * ahead - sine * left, sine * ahead + cosine * left], axis=1)
    return np.column_stack([poses[:, :2] - lever, poses[:, 2]])


def lies_between(knots_ns: np.ndarray, stamp_ns: np.ndarray) -> np.ndarray:
    """Return for each stamp whether it lies between two knots that are near each other."""
    if not len(knots_ns):
        return np.zeros(len(stamp_ns), bool)
    after = np.clip(np.searchsorted(knots_ns, stamp_ns), 0, len(knots_ns) - 1)
    before = np.maximum(after - (knots_ns[after] > stamp_ns), 0)
    return ((knots_ns[before] <= stamp_ns) & (stamp_ns <= knots_ns[after])
            & (knots_ns[after] - knots_ns[before] <= LONGEST_GAP_S * SECOND_NS))


def interpolated(knots_ns: np.ndarray, values: np.ndarray, stamp_ns: np.ndarray) -> np.ndarray:
    """Return (N,) values at stamps, interpolated between (T,) values at (T,) knots."""
    begin_ns = knots_ns[0]
    return np.interp((np.asarray(stamp_ns, np.int64) - begin_ns) / SECOND_NS,
                     (knots_ns - begin_ns) / SECOND_NS, values)


def read_truth(recording: Recording, topics: Topics, vehicle: VehicleMounts) -> PoseTrack | None:
    """
    Return the ground truth of a bag; None if there is none.

    :raises ValueError: if it cannot be used.
    """
    if not topics.truth:
        return None
    if recording.types[topics.truth] == FIX:
        return read_fixes(recording, topics.truth, vehicle)
    found = list(_poses(recording, topics.truth, vehicle))
    datum = next(recording.messages([datum_of(topics.truth)])).message()  # `_chosen_truth` saw it
    return _track(MapFrame(datum.latitude, datum.longitude), *zip(*found))


def read_fixes(recording: Recording, topic: str, vehicle: VehicleMounts) -> PoseTrack:
    """
    Return the good fixes on a topic.

    :raises ValueError: if there is none.
    """
    stamps, places, sigmas, lever_m = [], [], [], (0.0, 0.0)
    for recorded in recording.messages([topic]):
        try:
            message = recorded.message()
        except ValueError:
            continue  # a damaged one
        place = message.latitude, message.longitude
        if message.status.status >= 0 and np.isfinite(place).all() and not is_nowhere(*place):
            stamps.append(conversions.stamp_ns(message.header.stamp))
            places.append(place)
            sigmas.append((_sigma_of_fix(message), np.nan))
            lever_m = tuple(vehicle.of_sensor(message.header.frame_id)[0][:2].tolist())
    if not places:
        raise ValueError(f'there is no good fix on {topic}')
    frame = MapFrame(*places[0])
    poses = [(*frame.map_from_geodetic(*place), np.nan) for place in places]
    return _track(frame, stamps, poses, sigmas, lever_m)


def _poses(recording: Recording, topic: str, vehicle: VehicleMounts
           ) -> Iterator[tuple[int, tuple[float, ...], tuple[float, float]]]:
    """
    Yield stamp, planar pose of base_link and its sigmas; unusable messages are left out.

    :raises ValueError: at the end, if all were: with the reason of the last.
    """
    kind, are_any, why = recording.types[topic], False, 'there is none'
    for recorded in recording.messages([topic]):
        try:
            message = recorded.message()
            pose, stated = _pose_of(message, kind, vehicle)
        except ValueError as error:
            why = str(error)
            continue
        are_any = True
        yield conversions.stamp_ns(message.header.stamp), tuple(pose), _sigmas_of_pose(stated)
    if not are_any:
        raise ValueError(f'there is no usable message on {topic}: {why}')


def _pose_of(message: Any, kind: str, vehicle: VehicleMounts) -> tuple[Pose2, PoseWithCovariance]:
    """Return the pose of base_link, and what is stated of it or of what carries the sensor."""
    if kind == ODOMETRY:
        mount = vehicle.of_odometry(message.child_frame_id)
        return conversions.odometry_from_message(message, *mount).pose, message.pose
    stated = PoseWithCovariance(pose=message.pose) if kind == POSE else message.pose
    return conversions.pose_from_message(stated, 'ground truth')[0], stated


def _sigmas_of_pose(pose: Any) -> tuple[float, float]:
    """Return those of the position and of the yaw; NaN where nothing is stated."""
    variances = np.asarray(pose.covariance)[[0, 7, 35]]
    position, yaw = variances[:2].mean(), variances[2]
    return (math.sqrt(position) if position > 0 else math.nan,
            math.sqrt(yaw) if yaw > 0 else math.nan)


def _sigma_of_fix(message: NavSatFix) -> float:
    variance = (message.position_covariance[0] + message.position_covariance[4]) / 2
    is_known = message.position_covariance_type != NavSatFix.COVARIANCE_TYPE_UNKNOWN
    return math.sqrt(variance) if is_known and variance > 0 else math.nan


def _track(frame: MapFrame, stamps: Sequence[int], poses: Sequence, sigmas: Sequence,
           lever_m: tuple[float, float] = (0.0, 0.0)) -> PoseTrack:
    stamp_ns, first = np.unique(np.array(stamps, np.int64), return_index=True)
    return PoseTrack(frame, stamp_ns, np.array(poses, float)[first], lever_m,
                     np.array(sigmas, float)[first])
