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

"""Simulated drives as rosbag2 recordings (MCAP), written and read without ROS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import heapq
from pathlib import Path
import struct
from typing import Any

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.simulation import bag_messages as msgs
from fg2_ros.simulation.bag_messages import TYPESTORE
from fg2_ros.simulation.drive import Drive
from fg2_ros.simulation.sensors import sample_times
import numpy as np
from rosbags.interfaces import (
    Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

Stream = Iterator[tuple[int, str, Any]]  # of (stamp, topic, message)
START_NS = 1_700_000_000 * 10 ** 9  # any time will do, but the same for the same drive
LATCHED = ('/tf_static', '/ground_truth/datum')
TYPES = {
    '/tf_static': 'tf2_msgs/msg/TFMessage',
    '/tf': 'tf2_msgs/msg/TFMessage',
    '/image': 'sensor_msgs/msg/Image',
    '/image/compressed': 'sensor_msgs/msg/CompressedImage',
    '/fix': 'sensor_msgs/msg/NavSatFix',
    '/odom': 'nav_msgs/msg/Odometry',
    '/imu': 'sensor_msgs/msg/Imu',
    '/ground_truth/pose': 'geometry_msgs/msg/PoseStamped',
    '/ground_truth/datum': 'sensor_msgs/msg/NavSatFix',
    '/rtk/fix': 'sensor_msgs/msg/NavSatFix',
    '/rtk/heading': 'sensor_msgs/msg/Imu',
}


@dataclass(frozen=True)
class Rtk:
    """
    A receiver with two antennas that knows where the vehicle was, but not quite when.

    :param sigma_m: of white noise on each axis; ``sigma_rad`` of the heading.
    :param clock_ahead_s: how much later its stamps are than those of all other sensors.
    """

    sigma_m: float = 0.02
    sigma_rad: float = float(np.radians(0.2))
    rate_hz: float = 10.0
    clock_ahead_s: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class BagMessage:
    """One recorded message: ``data`` is its CDR serialization."""

    topic: str
    type_name: str
    stamp_ns: int
    data: bytes


def write_drive(path: Path, drive: Drive, map_frame: MapFrame, images: Iterable[np.ndarray],
                compressed: bool = True, rtk: Rtk | None = None) -> None:
    """
    Write a drive as a new bag folder.

    Images go to ``/image/compressed`` (JPEG) or ``/image`` (rgb8), the sensors to ``/fix``,
    ``/odom`` and ``/imu``, ``odom -> base_link`` to ``/tf``, the sensors' places to
    ``/tf_static``, and the truth to ``/ground_truth/pose`` (``base_link`` in the map at the
    images' times) and ``/ground_truth/datum`` (the map's origin).

    :param images: (H, W, 3) uint8 RGB, one for each of the drive's cameras; may be a generator.
    :param rtk: writes ``/rtk/fix`` and ``/rtk/heading``, too, if it is given.
    :raises ValueError: if the bag exists already.
    """
    if Path(path).exists():
        raise ValueError(f'{path} exists already: name another bag or remove this one')
    streams = [
        _static(drive, map_frame), _images(drive, images, compressed), _fixes(drive, map_frame),
        _odometry(drive), _imu(drive), _truth(drive)]
    if rtk:
        streams.append(_rtk(drive, map_frame, rtk))
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(
                topic, type_name, typestore=TYPESTORE,
                offered_qos_profiles=[_qos(latched=topic in LATCHED)])
            for topic, type_name in TYPES.items()
            if topic != ('/image' if compressed else '/image/compressed')
            and (rtk or not topic.startswith('/rtk/'))}
        for stamp_ns, topic, message in heapq.merge(*streams, key=lambda each: each[0]):
            writer.write(
                connections[topic], stamp_ns, TYPESTORE.serialize_cdr(message, TYPES[topic]))


def read_bag(path: Path) -> Iterator[BagMessage]:
    """Yield the messages of a bag in the order of their times."""
    with Reader(path) as reader:
        for connection, stamp_ns, data in reader.messages():
            yield BagMessage(connection.topic, connection.msgtype, stamp_ns, bytes(data))


def restamped(message: BagMessage, stamp_ns: int) -> bytes:
    """
    Return a message's CDR with another header stamp.

    Works on the serialized bytes, so that replaying an image costs a copy and no conversion:
    after four bytes of encapsulation come the header's seconds and nanoseconds; a transform
    message counts its transforms first, and only the first one is stamped.
    """
    offset = 8 if message.type_name == TYPES['/tf'] else 4
    data = bytearray(message.data)
    endianness = '<' if data[1] & 1 else '>'
    struct.pack_into(endianness + 'iI', data, offset, *divmod(stamp_ns, 10 ** 9))
    return bytes(data)


def _stamps_ns(time_s: np.ndarray) -> list[int]:
    return [START_NS + round(float(each) * 1e9) for each in time_s]


def _static(drive: Drive, map_frame: MapFrame) -> Stream:
    """Yield what is latched: where the sensors are, and the origin of the map."""
    settings = drive.settings
    places = {
        msgs.CAMERA: settings.camera_m, msgs.GNSS: settings.sensors.gnss.antenna_m,
        msgs.IMU: (0.0, 0.0, 0.0)}
    yield START_NS, '/tf_static', msgs.transforms(*(
        msgs.transform(START_NS, msgs.BASE, child, place) for child, place in places.items()))
    latitude_deg, longitude_deg = map_frame.datum
    yield START_NS, '/ground_truth/datum', msgs.nav_sat_fix(
        START_NS, msgs.MAP, latitude_deg, longitude_deg, sigma_m=0.0)


def _images(drive: Drive, images: Iterable[np.ndarray], compressed: bool) -> Stream:
    make, topic = (
        (msgs.jpeg_image, '/image/compressed') if compressed else (msgs.raw_image, '/image'))
    for stamp_ns, image in zip(_stamps_ns(drive.frames.time_s), images, strict=True):
        yield stamp_ns, topic, make(stamp_ns, image)


def _fixes(drive: Drive, map_frame: MapFrame) -> Stream:
    latitude, longitude = map_frame.geodetic_from_map(*drive.gnss.position_m.T)
    lost = np.isnan(drive.gnss.position_m[:, 0])
    latitude[lost] = longitude[lost] = np.nan
    rows = zip(_stamps_ns(drive.gnss.time_s), latitude, longitude)
    for stamp_ns, latitude_deg, longitude_deg in rows:
        yield stamp_ns, '/fix', msgs.nav_sat_fix(
            stamp_ns, msgs.GNSS, latitude_deg, longitude_deg, sigma_m=drive.gnss.sigma_m)


def _odometry(drive: Drive) -> Stream:
    """Yield each odometry reading twice: as a transform and as a message."""
    track = drive.odometry
    travelled_m = np.concatenate([
        [0.0], np.cumsum(np.hypot(np.diff(track.x_m), np.diff(track.y_m)))])
    rows = zip(
        _stamps_ns(track.time_s), track.x_m, track.y_m, track.yaw_rad, track.speed_mps,
        track.yaw_rate_radps, travelled_m)
    for stamp_ns, x_m, y_m, yaw_rad, speed_mps, yaw_rate_radps, path_m in rows:
        yield stamp_ns, '/tf', msgs.transforms(
            msgs.transform(stamp_ns, msgs.ODOM, msgs.BASE, (x_m, y_m, 0), yaw_rad))
        yield stamp_ns, '/odom', msgs.odometry(
            stamp_ns, x_m, y_m, yaw_rad, speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps,
            travelled_m=path_m)


def _imu(drive: Drive) -> Stream:
    track = drive.imu
    rows = zip(
        _stamps_ns(track.time_s), track.roll_rad, track.pitch_rad, track.yaw_rad,
        track.yaw_rate_radps)
    for stamp_ns, roll_rad, pitch_rad, yaw_rad, yaw_rate_radps in rows:
        yield stamp_ns, '/imu', msgs.imu(
            stamp_ns, roll_rad, pitch_rad, yaw_rad, yaw_rate_radps=yaw_rate_radps,
            yaw_sigma_rad=track.yaw_sigma_rad)


def _truth(drive: Drive) -> Stream:
    frames = drive.frames
    rows = zip(
        _stamps_ns(frames.time_s), frames.east_m, frames.north_m, frames.roll_rad,
        frames.pitch_rad, frames.yaw_rad)
    for stamp_ns, *pose in rows:
        yield stamp_ns, '/ground_truth/pose', msgs.pose_stamped(stamp_ns, *pose)


def _rtk(drive: Drive, map_frame: MapFrame, rtk: Rtk) -> Stream:
    """Yield places of the antenna and headings of base_link."""
    rng = np.random.default_rng([rtk.seed, 0x72746B])
    track = drive.trajectory.at(sample_times(drive.trajectory.duration_s, rtk.rate_hz))
    ahead_m, left_m, _ = drive.settings.sensors.gnss.antenna_m
    cosine, sine = np.cos(track.yaw_rad), np.sin(track.yaw_rad)
    east_m, north_m = rng.normal(0, rtk.sigma_m, (2, len(track.time_s))) + (
        track.east_m + cosine * ahead_m - sine * left_m,
        track.north_m + sine * ahead_m + cosine * left_m)
    latitudes, longitudes = map_frame.geodetic_from_map(east_m, north_m)
    yaw_rad = track.yaw_rad + rng.normal(0, rtk.sigma_rad, track.yaw_rad.shape)
    rows = zip(_stamps_ns(track.time_s + rtk.clock_ahead_s), latitudes, longitudes, yaw_rad,
               track.yaw_rate_radps)
    for stamp_ns, latitude_deg, longitude_deg, yaw, yaw_rate_radps in rows:
        yield stamp_ns, '/rtk/fix', msgs.nav_sat_fix(
            stamp_ns, msgs.GNSS, latitude_deg, longitude_deg, sigma_m=rtk.sigma_m)
        yield stamp_ns, '/rtk/heading', msgs.imu(
            stamp_ns, 0.0, 0.0, yaw, yaw_rate_radps=yaw_rate_radps, yaw_sigma_rad=rtk.sigma_rad)


def _qos(latched: bool) -> Qos:
    forever, default = QosTime(0, 0), QosLiveliness.SYSTEM_DEFAULT
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        history=QosHistory.KEEP_LAST, depth=1 if latched else 10,
        reliability=QosReliability.RELIABLE, durability=durability, deadline=forever,
        lifespan=forever, liveliness=default, liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False)
