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

"""What the pipeline makes of images: level panoramas of any camera, mount and tilt."""

from array import array
import math
from test.helpers.spheres import colour, largest_difference, picture, TURNS
from test.helpers.vehicle import at

import cv2
from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.geometry.panorama import pixel_directions, rotation3
from fg2_ros.ros.attitude import Attitude, up_of
from fg2_ros.ros.camera_images import Cameras
from fg2_ros.ros.conversions import stamp_ns
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.image_sets import ImageSet
from fg2_ros.ros.node_settings import NodeSettings
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Imu
from std_msgs.msg import Header

DIRECTIONS = pixel_directions(256, 128)
LEVEL_BODY = (0.0, 0.0, 0.0, 1.0)


class Mounts:
    """Knows the rotations of frames; all sit at (1, 2, 3) m."""

    def __init__(self, **rotations):
        """Take (3, 3) rotations by frame."""
        self.rotations = rotations

    def mount(self, base_frame, sensor_frame):
        """Return translation and quaternion."""
        rotation = self.rotations.get(sensor_frame, np.eye(3))
        return np.array([1.0, 2.0, 3.0]), Rotation.from_matrix(rotation).as_quat()


def cameras(mounts=None, is_pinhole=False, heard=(), node=None, **settings):
    """Return the cameras of a vehicle."""
    return Cameras(NodeSettings(camera=CameraSettings(**settings), **(node or {})), is_pinhole,
                   rows=64, mounts=mounts or Mounts(), topics=heard)


def message(rgb, frame='camera', stamp=None):
    """Return an image message."""
    header = Header(frame_id=frame, stamp=stamp or at(1.0))
    data = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
    return CompressedImage(header=header, format='png', data=array('B', data))


def imu(rotation, stamp=None, sigma_rad=0.01, imu_from_base=np.eye(3)):
    """Return the orientation of an IMU on a vehicle that is turned."""
    result = Imu(header=Header(stamp=stamp or at(1.0)))
    quaternion = Rotation.from_matrix(rotation @ np.asarray(imu_from_base).T).as_quat()
    orientation = result.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
    result.orientation_covariance = np.diag([sigma_rad ** 2] * 3).ravel()
    return result


@pytest.mark.parametrize('turn', TURNS)
def test_any_mount_is_levelled_and_its_heading_kept(turn):
    mount = rotation3(*np.radians(TURNS[turn]))
    image = cameras(Mounts(camera=mount)).image_of(message(picture(DIRECTIONS, mount)))
    assert image.base_from_camera[:2] == (1.0, 2.0) and image.seen is None
    shape = image.image.shape[:2]
    expected = picture(pixel_directions(shape[1], shape[0]),
                       rotation3(0, 0, image.base_from_camera.yaw))
    assert largest_difference(image.image, expected) <= 6
    if turn in ('upright', 'turned', 'tilted', 'steep', 'upside down'):
        ahead = mount[:, 0]
        assert image.base_from_camera.yaw == pytest.approx(math.atan2(ahead[1], ahead[0]))


@pytest.mark.parametrize('yaw_deg', [0.0, 70.0])
@pytest.mark.parametrize('with_imu', [True, False])
def test_the_tilt_of_the_vehicle_is_taken_out_unless_that_is_switched_off(with_imu, yaw_deg):
    """Its yaw in the world does not matter; the camera is mounted upside down."""
    mount, tilt = rotation3(math.pi, 0, 0.5), rotation3(math.radians(8), math.radians(-6), 0)
    taken = picture(DIRECTIONS, tilt @ mount)
    one = cameras(Mounts(camera=mount), level_with_imu=with_imu)
    one.attitude.add(imu(rotation3(0, 0, math.radians(yaw_deg)) @ tilt), LEVEL_BODY)
    image = one.image_of(message(taken))
    shape = image.image.shape[:2]
    expected = picture(pixel_directions(shape[1], shape[0]),
                       rotation3(0, 0, image.base_from_camera.yaw))
    difference = largest_difference(image.image, expected)
    assert difference <= 6 if with_imu else difference > 15


def test_a_level_panorama_is_not_touched():
    one = cameras()
    one.attitude.add(imu(rotation3(math.radians(0.5), 0, 1.0)), LEVEL_BODY)
    sphere = colour(DIRECTIONS)
    np.testing.assert_array_equal(one.image_of(message(sphere)).image, sphere)


def test_axes_that_are_taken_for_others_are_noticed():
    optical = rotation3(-math.pi / 2, 0, -math.pi / 2)
    sphere = message(colour(DIRECTIONS), 'camera_optical_frame')
    mounts = Mounts(camera_optical_frame=optical)
    with pytest.raises(Rejected, match='is camera_axes'):
        cameras(mounts).image_of(sphere)
    image = cameras(mounts, node={'camera_axes': 'optical'}).image_of(sphere)
    np.testing.assert_array_equal(image.image, colour(DIRECTIONS))


def test_refusals_are_rejections_of_the_image():
    with pytest.raises(Rejected, match='twice as wide as high, not 256x144') as error:
        cameras().image_of(message(np.full((144, 256, 3), 90, np.uint8)))
    assert error.value.kind == 'image'


@pytest.mark.parametrize('settings, is_pinhole, words', [
    ({'layout': 'ring'}, False, 'camera.topics'), ({'topics': ('a',)}, False, 'camera.topics'),
    ({'layout': 'fisheye'}, False, 'camera.calibration'),
    ({'layout': 'ring', 'topics': ('a',)}, True, 'pinhole'),
    ({'masks': ('/nowhere.png',)}, False, 'camera.masks')])
def test_settings_that_do_not_fit_are_refused_at_once(settings, is_pinhole, words):
    with pytest.raises(ValueError, match=words):
        cameras(is_pinhole=is_pinhole, **settings)


# The IMU ---------------------------------------------------------------------------------------

def test_up_is_found_through_the_mount_of_the_imu():
    mount = rotation3(0.3, -1.1, 2.0)
    tilt = rotation3(0.2, -0.1, 0.7)
    found = up_of(imu(tilt, imu_from_base=mount.T), Rotation.from_matrix(mount).as_quat())
    np.testing.assert_allclose(found, tilt[2], atol=1e-9)


@pytest.mark.parametrize('change', ['none', 'default', 'unsure', 'zero', 'nan'])
def test_an_imu_that_knows_no_orientation_says_nothing(change):
    broken = imu(rotation3(0.2, 0.1, 0))
    if change == 'none':
        broken.orientation_covariance[0] = -1.0
    if change == 'default':
        broken = Imu()
        broken.orientation.w = 1.0
    if change == 'unsure':
        broken.orientation_covariance = np.diag([4.0, 4.0, 4.0]).ravel()
    if change in ('zero', 'nan'):
        broken.orientation.w = 0.0 if change == 'zero' else math.nan
        broken.orientation.x = broken.orientation.y = broken.orientation.z = 0.0
    assert up_of(broken, LEVEL_BODY) is None


def test_attitude_is_that_of_the_images_stamp():
    attitude = Attitude()
    for index in range(11):
        attitude.add(imu(rotation3(0.02 * index, 0, 1.0), at(1.0 + 0.01 * index)), LEVEL_BODY)
    found = attitude.level_from_base(stamp_ns(at(1.055)))
    np.testing.assert_allclose(found, rotation3(0.11, 0, 0), atol=1e-4)
    found = attitude.level_from_base(stamp_ns(at(1.15)))
    np.testing.assert_allclose(found, rotation3(0.2, 0, 0), atol=1e-4)
    np.testing.assert_array_equal(attitude.level_from_base(stamp_ns(at(1.3))), np.eye(3))
    attitude.clear()
    np.testing.assert_array_equal(attitude.level_from_base(stamp_ns(at(1.05))), np.eye(3))


# Pinhole cameras and rings ---------------------------------------------------------------------

def info(d=(), model='plumb_bob', p=True):
    """Return a camera_info."""
    matrix = [100.0, 0.0, 79.5, 0.0, 100.0, 59.5, 0.0, 0.0, 1.0]
    result = CameraInfo(width=160, height=120, k=matrix, d=list(d), distortion_model=model,
                        r=np.eye(3).ravel())
    if p:
        result.p = np.insert(np.reshape(matrix, (3, 3)), 3, 0, axis=1).ravel()
    return result


def rays_picture(turn):
    """Return what the camera of `info` sees of the sphere."""
    column, row = np.meshgrid(np.arange(160), np.arange(120))
    rays = np.stack([(column - 79.5) / 100, (row - 59.5) / 100, np.ones_like(row)], -1)
    return picture(rays, turn)


@pytest.mark.parametrize('topic, rectified, is_changed', [
    ('/camera/image_raw', 'auto', True), ('/camera/image_rect_color', 'auto', False),
    ('/camera/image_raw', 'yes', False), ('/camera/image_rect', 'no', True)])
def test_distorted_images_are_rectified_once(topic, rectified, is_changed):
    one = cameras(is_pinhole=True, heard=(topic,), rectified=rectified)
    one.intrinsics[0].update(info((-0.4, 0.1, 0.0, 0.0, 0.0)))
    rgb = rays_picture(rotation3(-math.pi / 2, 0, -math.pi / 2))
    image = one.image_of(message(rgb))
    assert np.array_equal(image.image, rgb) != is_changed
    assert image.camera_k[0, 0] == 100.0


def test_a_ring_of_cameras_is_one_panorama_around_their_middle():
    optical = rotation3(-math.pi / 2, 0, -math.pi / 2)
    turns = {f'camera{index}': rotation3(0, 0, index * math.pi / 3) @ optical
             for index in range(6)}
    topics = tuple(f'{name}/image_raw' for name in turns)
    one = cameras(Mounts(**turns), layout='ring', topics=topics)
    images = tuple(message(rays_picture(turn), name) for name, turn in turns.items())
    with pytest.raises(Rejected, match='no camera_info yet') as error:
        one.image_of(ImageSet(images))
    assert error.value.kind == 'camera_info'
    for each in one.intrinsics:
        each.update(info())
    image = one.image_of(ImageSet(images))
    height = len(image.image)
    assert image.base_from_camera == (1.0, 2.0, 0.0)
    assert image.seen[height // 2].all() and not image.seen[:height // 4].any()
    expected = colour(pixel_directions(2 * height, height))
    assert largest_difference(image.image, expected, image.seen) <= 6
    missing = one.image_of(ImageSet((None, *images[1:])))
    assert not missing.seen[:, height - 20:height + 20].any()
