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

"""ROS messages to arrays and poses, and back; every message is checked on entry."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
import re

from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from fg2_ros.cameras.compressed import decoded
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2, wrap_angle, yaw_from_bearing
from fg2_ros.ros.fix_guard import Position
from fg2_ros.ros.image_encodings import ENCODINGS, rgb_of
from fg2_ros.ros.node_settings import SensorSettings
from fg2_ros.ros.serialized_image import ImageView
from fg2_ros.tracker.inputs import Odometry
from geometry_msgs.msg import PoseWithCovariance, PoseWithCovarianceStamped, Quaternion
from nav_msgs.msg import Odometry as OdometryMessage
import numpy as np
from sensor_msgs.msg import CompressedImage, Image, Imu, NavSatFix, NavSatStatus
from tf_transformations import (
    euler_from_quaternion, quaternion_from_euler, quaternion_inverse, quaternion_matrix,
    quaternion_multiply)

UNMEASURED_HEIGHT_M2 = 1e4  # we do not measure height: 100 m
UNMEASURED_TWIST = 1e4  # nor velocities
UNMEASURED_TILT_RAD2 = np.pi ** 2  # nor roll and pitch: anything is possible
MAX_YAW_SIGMA_RAD = 1.0  # a heading with a larger sigma carries no information
LARGEST_ODOMETRY = 1e7  # metres or metres a second
NOT_NORMALISED = 0.02  # error of a quaternion's length that rounding to two digits leaves
NANOSECONDS = 1_000_000_000

_bridge = CvBridge()


class NoHeading(ValueError):
    """A sensor gives no heading, which is no fault."""


def stamp_ns(stamp) -> int:
    """Return a builtin_interfaces Time as whole nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def stamp_message(nanoseconds: int) -> Time:
    """Return whole nanoseconds as a builtin_interfaces Time."""
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)


# Images ----------------------------------------------------------------------------------------

def rgb_from_image(message: Image | ImageView | CompressedImage) -> np.ndarray:
    """
    Return a (H, W, 3) uint8 RGB array of an image message, be it compressed or not.

    What image_transport says in the format of a compressed one is heeded: a Bayer pattern, and
    red and blue that were taken for each other.

    :raises ValueError: if its encoding or format is not known, or it is damaged.
    """
    if not isinstance(message, CompressedImage):
        return rgb_of(message)
    label = message.format
    pattern = re.search(r'compressed (bayer_\w+?)(8|16)\b', label)
    if pattern and f'{pattern[1]}8' in ENCODINGS:
        grey = decoded(message.data, label, grey=True)
        return rgb_of(_bridge.cv2_to_imgmsg(grey, f'{pattern[1]}8'))
    rgb = decoded(message.data, label)
    return np.ascontiguousarray(rgb[..., ::-1]) if 'compressed rgb' in label else rgb


def image_from_rgb(rgb: np.ndarray, header) -> Image:
    """Return an rgb8 image message of a (H, W, 3) uint8 array."""
    height, width = rgb.shape[:2]
    message = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    message.data = array('B', np.ascontiguousarray(rgb).tobytes())
    return message


# What the prior is made of ---------------------------------------------------------------------

def position_from_fix(message: NavSatFix, settings: SensorSettings) -> Position:
    """
    Return the position of a fix with its horizontal standard deviation.

    :raises ValueError: if the receiver has no fix.
    """
    if message.status.status == NavSatStatus.STATUS_NO_FIX:  # "unknown" is many drivers' default
        raise ValueError('the GNSS receiver has no fix')
    variances = np.array([message.position_covariance[0], message.position_covariance[4]])
    known = message.position_covariance_type != NavSatFix.COVARIANCE_TYPE_UNKNOWN \
        and np.all(np.isfinite(variances) & (variances > 0))
    sigma_m = float(np.sqrt(variances.mean())) if known else settings.default_fix_sigma_m
    return Position(stamp_ns(message.header.stamp), message.latitude, message.longitude, sigma_m)


@dataclass(frozen=True)
class Altitude:
    """Height above the ellipsoid."""

    height_m: float
    variance_m2: float


def altitude_from_fix(message: NavSatFix, antenna_m: float) -> Altitude | None:
    """
    Return the altitude of base_link by a fix; None if the fix has none.

    :param antenna_m: height of the antenna above base_link.
    """
    if not np.isfinite(message.altitude):
        return None
    variance = message.position_covariance[8]
    is_known = (message.position_covariance_type != NavSatFix.COVARIANCE_TYPE_UNKNOWN
                and np.isfinite(variance) and variance > 0)
    return Altitude(message.altitude - float(antenna_m),
                    float(variance) if is_known else UNMEASURED_HEIGHT_M2)


def heading_from_imu(message: Imu, settings: SensorSettings,
                     base_from_imu=(0.0, 0.0, 0.0, 1.0)) -> tuple[float, float]:
    """
    Return (map yaw of base_link, its standard deviation) in radians of an IMU's orientation.

    :param base_from_imu: (4,) quaternion x, y, z, w of the IMU's mount.
    :raises NoHeading: if the IMU gives no heading.
    :raises ValueError: if the quaternion is not of length 1.
    """
    if lacking := _lacking_orientation(message):
        raise NoHeading(f'the IMU gives no orientation ({lacking}): it is no source of headings')
    orientation = quaternion_multiply(
        _checked_quaternion(message.orientation, 'IMU'), quaternion_inverse(base_from_imu))
    yaw = euler_from_quaternion(orientation)[2] + np.radians(settings.imu_yaw_offset_deg)
    variance = message.orientation_covariance[8]
    known = np.isfinite(variance) and variance > 0
    sigma = np.sqrt(variance) if known else np.radians(settings.default_heading_sigma_deg)
    return float(yaw), float(sigma)


def _lacking_orientation(message: Imu) -> str:
    """Return how an IMU says that it does not know its yaw; '' if it does not say so."""
    covariance, turn = message.orientation_covariance, message.orientation
    for index in (0, 8):
        if covariance[index] < 0:
            return f'orientation_covariance[{index}] is {covariance[index]:g}'
    if covariance[8] > MAX_YAW_SIGMA_RAD ** 2:
        return f'its yaw may be {np.degrees(np.sqrt(covariance[8])):.3g} degrees off'
    if is_unset(turn, covariance):
        return 'it is the identity with a covariance of zeros, which drivers leave that have none'
    return ''


def is_unset(orientation: Quaternion, covariance: np.ndarray) -> bool:
    """Return whether a driver left the orientation unset: the identity, without a covariance."""
    q = orientation
    return (q.x, q.y, q.z) == (0.0, 0.0, 0.0) and abs(q.w) == 1.0 and not np.any(
        np.nan_to_num(covariance))


def heading_of(orientation: Quaternion, variance: float, settings: SensorSettings,
               base_from_sensor=(0.0, 0.0, 0.0, 1.0)) -> tuple[float, float]:
    """
    Return (map yaw of base_link, its standard deviation) in radians of an orientation.

    :param variance: of the yaw in square radians; 0 where it is not known.
    :param base_from_sensor: (4,) quaternion x, y, z, w of the sensor's mount.
    :raises ValueError: if the quaternion is not of length 1, or the variance is too large.
    """
    if not 0 <= variance <= np.pi ** 2:
        raise ValueError(f'a heading with a variance of {variance:g} says nothing')
    yaw = euler_from_quaternion(_checked_quaternion(orientation, 'heading'))[2]
    if settings.heading_axes == 'ned':
        yaw = yaw_from_bearing(yaw)
    yaw += np.radians(settings.heading_offset_deg) - euler_from_quaternion(base_from_sensor)[2]
    sigma = np.sqrt(variance) or np.radians(settings.default_heading_sigma_deg)
    return wrap_angle(yaw), float(sigma)


def odometry_from_message(
        message: OdometryMessage, translation_m=(0.0, 0.0, 0.0),
        base_from_child=(0.0, 0.0, 0.0, 1.0)) -> Odometry:
    """
    Return the planar pose and velocity of base_link that an odometry message gives.

    :param translation_m: (3,) of the frame whose motion it describes (`child_frame_id`) in
        base_link.
    :param base_from_child: (4,) quaternion x, y, z, w of how that frame is turned.
    :raises ValueError: if numbers are not finite or absurdly large, or the quaternion is not of
        length 1.
    """
    pose, twist = message.pose.pose, message.twist.twist
    numbers = np.array([_vector(pose.position), _vector(twist.linear), _vector(twist.angular)])
    out_of_plane = ([0, 1, 2, 2], [2, 2, 0, 1])  # which those who drive in it may leave unset
    numbers[out_of_plane] = np.nan_to_num(numbers[out_of_plane], posinf=0.0, neginf=0.0)
    if not np.all(np.isfinite(numbers)):
        raise ValueError('the odometry is not finite: it is not used')
    if np.abs(numbers).max() > LARGEST_ODOMETRY:
        raise ValueError(f'the odometry holds {np.abs(numbers).max():.3g}, which is no vehicle: '
                         'it is not used')
    odom_from_base = quaternion_multiply(
        _checked_quaternion(pose.orientation, 'odometry'), quaternion_inverse(base_from_child))
    position = numbers[0] - quaternion_matrix(odom_from_base)[:3, :3] @ translation_m
    linear, angular = (quaternion_matrix(base_from_child)[:3, :3] @ numbers[1:].T).T
    linear = linear - np.cross(angular, translation_m)
    yaw = euler_from_quaternion(odom_from_base)[2]
    return Odometry(Pose2(float(position[0]), float(position[1]), float(yaw)),
                    Pose2(float(linear[0]), float(linear[1]), float(angular[2])))


def _vector(point) -> tuple[float, float, float]:
    return point.x, point.y, point.z


def pose_from_message(message: PoseWithCovariance, of: str) -> tuple[Pose2, np.ndarray]:
    """
    Return the planar pose of a message and its (3, 3) covariance of (x m, y m, yaw rad).

    :param of: its name in error messages.
    :raises ValueError: if numbers are not finite or the quaternion is not of length 1.
    """
    position = message.pose.position
    yaw = euler_from_quaternion(_checked_quaternion(message.pose.orientation, of))[2]
    if not np.all(np.isfinite((position.x, position.y))):
        raise ValueError(f'the position of the {of} is not finite')
    covariance = np.reshape(message.covariance, (6, 6))[np.ix_((0, 1, 5), (0, 1, 5))]
    if not np.all(np.isfinite(covariance)):
        raise ValueError(f'the covariance of the {of} is not finite')
    return Pose2(position.x, position.y, float(yaw)), sound_covariance(covariance)


def _checked_quaternion(quaternion, of: str) -> np.ndarray:
    values = np.array([quaternion.x, quaternion.y, quaternion.z, quaternion.w])
    with np.errstate(over='ignore'):
        length = np.linalg.norm(values)
    if not abs(length - 1) <= NOT_NORMALISED:
        raise ValueError(f'the orientation of the {of} is no quaternion of length 1: '
                         f'{values.tolist()}')
    return values / length


# What the node publishes -----------------------------------------------------------------------

def pose_message(header, pose: Pose2, covariance: np.ndarray, height_m: float = 0.0,
                 tilt_rad: tuple[float, float] = (0.0, 0.0)) -> PoseWithCovarianceStamped:
    """
    Return a pose message; height, roll and pitch are passed on, not measured.

    :param header: the image's stamp and the map frame.
    :param pose: of base_link in the map frame.
    :param covariance: (3, 3) of east m, north m, yaw rad.
    :param tilt_rad: roll and pitch.
    """
    message = PoseWithCovarianceStamped(header=header)
    position, orientation = message.pose.pose.position, message.pose.pose.orientation
    position.x, position.y, position.z = float(pose.x), float(pose.y), float(height_m)
    orientation.x, orientation.y, orientation.z, orientation.w = (
        float(value) for value in quaternion_from_euler(*tilt_rad, pose.yaw))
    full = np.diag([0.0, 0.0, UNMEASURED_HEIGHT_M2, UNMEASURED_TILT_RAD2, UNMEASURED_TILT_RAD2,
                    0.0])
    full[np.ix_((0, 1, 5), (0, 1, 5))] = covariance
    message.pose.covariance = full.ravel()
    return message


def odometry_message(header, child_frame: str, pose: PoseWithCovariance) -> OdometryMessage:
    """Return the pose of a frame; its velocity is not measured."""
    message = OdometryMessage(header=header, child_frame_id=child_frame, pose=pose)
    message.twist.covariance = np.diag([UNMEASURED_TWIST] * 6).ravel()
    return message


def fix_message(header, pose: Pose2, covariance: np.ndarray, frame: MapFrame,
                altitude: Altitude | None = None) -> NavSatFix:
    """
    Return the geodetic position of base_link.

    :param header: the image's stamp and the base frame.
    :param altitude: passed on from the receiver; None for NaN, which says unmeasured.
    """
    latitude, longitude = frame.geodetic_from_map(pose.x, pose.y)
    altitude = altitude or Altitude(float('nan'), UNMEASURED_HEIGHT_M2)
    full = np.diag([0.0, 0.0, altitude.variance_m2])
    full[:2, :2] = covariance[:2, :2]
    return NavSatFix(
        header=header, status=NavSatStatus(status=NavSatStatus.STATUS_FIX),
        latitude=latitude, longitude=longitude, altitude=altitude.height_m,
        position_covariance=full.ravel(),
        position_covariance_type=NavSatFix.COVARIANCE_TYPE_KNOWN)


def datum_message(header, frame: MapFrame) -> NavSatFix:
    """Return the origin of the map frame, on the ellipsoid."""
    return NavSatFix(header=header, status=NavSatStatus(status=NavSatStatus.STATUS_FIX),
                     latitude=frame.latitude_deg, longitude=frame.longitude_deg)


def sound_covariance(covariance: np.ndarray) -> np.ndarray:
    """
    Return a (3, 3) covariance made exactly symmetric and positive definite.

    :raises ValueError: if it is not finite, or not of that shape.
    """
    covariance = np.asarray(covariance, float)
    if covariance.shape != (3, 3) or not np.all(np.isfinite(covariance)):
        raise ValueError('the covariance of the estimate is not finite')
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    sound = (vectors * np.maximum(values, 1e-8)) @ vectors.T
    return (sound + sound.T) / 2
