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

"""ROS messages of a simulated drive, made without ROS (``rosbags``' Jazzy types)."""

from __future__ import annotations

from typing import Any, Sequence

import cv2
import numpy as np
from rosbags.typesys import get_typestore, Stores
from scipy.spatial.transform import Rotation

TYPESTORE = get_typestore(Stores.ROS2_JAZZY)

BASE, ODOM, MAP = 'base_link', 'odom', 'map'
CAMERA, GNSS, IMU = 'camera', 'gnss', 'imu'


def message(kind: str, **fields: Any) -> Any:
    """Return a message of a kind such as ``std_msgs/Header``, all fields given."""
    package, name = kind.split('/')
    return TYPESTORE.types[f'{package}/msg/{name}'](**fields)


def header(stamp_ns: int, frame_id: str) -> Any:
    """Return a header."""
    sec, nanosec = divmod(stamp_ns, 10 ** 9)
    stamp = message('builtin_interfaces/Time', sec=sec, nanosec=nanosec)
    return message('std_msgs/Header', stamp=stamp, frame_id=frame_id)


def raw_image(stamp_ns: int, image: np.ndarray, encoding: str = 'rgb8') -> Any:
    """Return a ``sensor_msgs/Image`` of a (H, W, 3) uint8 image."""
    height, width, channels = image.shape
    return message(
        'sensor_msgs/Image', header=header(stamp_ns, CAMERA), height=height, width=width,
        encoding=encoding, is_bigendian=0, step=width * channels,
        data=np.ascontiguousarray(image).reshape(-1))


def jpeg_image(stamp_ns: int, image: np.ndarray, quality: int = 92) -> Any:
    """Return a ``sensor_msgs/CompressedImage`` of a (H, W, 3) uint8 RGB image."""
    _, jpeg = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return message(
        'sensor_msgs/CompressedImage', header=header(stamp_ns, CAMERA), format='jpeg',
        data=jpeg.ravel())


def nav_sat_fix(stamp_ns: int, frame_id: str, latitude_deg: float, longitude_deg: float,
                sigma_m: float) -> Any:
    """Return a fix whose vertical error is twice the horizontal; NaN degrees mean no fix."""
    good = np.isfinite(latitude_deg) and np.isfinite(longitude_deg)
    status = message('sensor_msgs/NavSatStatus', status=0 if good else -1, service=1)
    variances = sigma_m ** 2 * np.diag([1.0, 1.0, 4.0]) if good else np.zeros((3, 3))
    return message(
        'sensor_msgs/NavSatFix', header=header(stamp_ns, frame_id), status=status,
        latitude=float(latitude_deg), longitude=float(longitude_deg),
        altitude=0.0 if good else np.nan, position_covariance=variances.ravel(),
        position_covariance_type=2 if good else 0)


def odometry(stamp_ns: int, x_m: float, y_m: float, yaw_rad: float, speed_mps: float,
             yaw_rate_radps: float, travelled_m: float) -> Any:
    """Return a ``nav_msgs/Odometry`` whose pose grows worse with the distance travelled."""
    twist = message(
        'geometry_msgs/Twist', linear=_vector('Vector3', speed_mps, 0, 0),
        angular=_vector('Vector3', 0, 0, yaw_rate_radps))
    drift_m = 0.01 + 0.02 * travelled_m
    return message(
        'nav_msgs/Odometry', header=header(stamp_ns, ODOM), child_frame_id=BASE,
        pose=message(
            'geometry_msgs/PoseWithCovariance', pose=_pose(x_m, y_m, quaternion(0, 0, yaw_rad)),
            covariance=_planar_covariance(drift_m, 0.01 + 0.001 * travelled_m)),
        twist=message(
            'geometry_msgs/TwistWithCovariance', twist=twist,
            covariance=_planar_covariance(0.1, 0.01)))


def imu(stamp_ns: int, roll_rad: float, pitch_rad: float, yaw_rad: float, yaw_rate_radps: float,
        yaw_sigma_rad: float) -> Any:
    """Return a ``sensor_msgs/Imu`` with an ENU attitude and without accelerations."""
    no_acceleration = np.zeros(9)
    no_acceleration[0] = -1
    tilt_variance, rate_variance = np.radians(0.2) ** 2, np.radians(0.3) ** 2
    return message(
        'sensor_msgs/Imu', header=header(stamp_ns, IMU),
        orientation=quaternion(roll_rad, pitch_rad, yaw_rad),
        orientation_covariance=np.diag(
            [tilt_variance, tilt_variance, yaw_sigma_rad ** 2]).ravel(),
        angular_velocity=_vector('Vector3', 0, 0, yaw_rate_radps),
        angular_velocity_covariance=np.diag([rate_variance] * 3).ravel(),
        linear_acceleration=_vector('Vector3', 0, 0, 0),
        linear_acceleration_covariance=no_acceleration)


def pose_stamped(stamp_ns: int, east_m: float, north_m: float, roll_rad: float, pitch_rad: float,
                 yaw_rad: float) -> Any:
    """Return a ``geometry_msgs/PoseStamped`` in the map."""
    return message(
        'geometry_msgs/PoseStamped', header=header(stamp_ns, MAP),
        pose=_pose(east_m, north_m, quaternion(roll_rad, pitch_rad, yaw_rad)))


def transforms(*stamped: Any) -> Any:
    """Return a ``tf2_msgs/TFMessage``."""
    return message('tf2_msgs/TFMessage', transforms=list(stamped))


def transform(stamp_ns: int, parent: str, child: str, translation_m: Sequence[float],
              yaw_rad: float = 0.0) -> Any:
    """Return a ``geometry_msgs/TransformStamped`` from (x, y, z) metres and a yaw."""
    return message(
        'geometry_msgs/TransformStamped', header=header(stamp_ns, parent), child_frame_id=child,
        transform=message(
            'geometry_msgs/Transform', translation=_vector('Vector3', *translation_m),
            rotation=quaternion(0, 0, yaw_rad)))


def quaternion(roll_rad: float, pitch_rad: float, yaw_rad: float) -> Any:
    """Return a ``geometry_msgs/Quaternion`` of fixed-axis roll, pitch, yaw (REP-103)."""
    x, y, z, w = Rotation.from_euler('xyz', [roll_rad, pitch_rad, yaw_rad]).as_quat()
    return message('geometry_msgs/Quaternion', x=float(x), y=float(y), z=float(z), w=float(w))


def _pose(x_m: float, y_m: float, orientation: Any) -> Any:
    return message(
        'geometry_msgs/Pose', position=_vector('Point', x_m, y_m, 0), orientation=orientation)


def _vector(name: str, x: float, y: float, z: float) -> Any:
    return message(f'geometry_msgs/{name}', x=float(x), y=float(y), z=float(z))


def _planar_covariance(position_sigma: float, yaw_sigma: float) -> np.ndarray:
    """Return 36 entries: x, y and yaw as given, and z, roll, pitch as not measured."""
    not_measured = 1e3
    return np.diag([
        position_sigma ** 2, position_sigma ** 2, not_measured, not_measured, not_measured,
        yaw_sigma ** 2]).ravel()
