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

"""Cameras of every kind over real DDS: what the localizer is shown of what they send."""

from array import array
import math
from test.helpers.fisheyes import fisheye_image, write_calibration
from test.helpers.spheres import colour, largest_difference, picture
from test.helpers.vehicle import (
    at, FakeImagery, fix, FRAME, imu, odometry, RELIABLE, transform)

import cv2
from fg2_ros.geometry.panorama import pixel_directions, rotation3
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.conversions import image_from_rgb
from fg2_ros.ros.loading import Loaded
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header

DATUM = list(FRAME.datum)
WIDTH, HEIGHT = 256, 128
SPHERE = colour(pixel_directions(WIDTH, HEIGHT))


@pytest.fixture
def onlooker(vehicle):
    """Return the localizer of a vehicle, which notes what it is shown."""
    return vehicle.localizer


def mounted(rotation) -> list:
    """Return the static transform of a camera that is turned by (3, 3)."""
    message = transform('base_link', 'camera', at(0.0), Pose2(1.5, 0.2, 0.0))
    turn = message.transform.rotation
    turn.x, turn.y, turn.z, turn.w = map(float, Rotation.from_matrix(rotation).as_quat())
    return [message]


def tilted_imu(stamp, tilt):
    """Return the orientation of a vehicle that is tilted by (3, 3)."""
    message = imu(stamp)
    turn = message.orientation
    turn.x, turn.y, turn.z, turn.w = map(float, Rotation.from_matrix(tilt).as_quat())
    message.orientation_covariance = np.diag([0.01] * 3).ravel()
    return message


def show(vehicle, rgb, mount=np.eye(3), tilt=np.eye(3), **parameters):
    """Let a node with these parameters see a picture; return it as the localizer is shown it."""
    stamp = at(1.0)
    vehicle.start(datum=DATUM, **parameters)
    vehicle.send_transforms(mounted(mount))
    vehicle.send_odometry_tf(stamp)
    for message in (fix(stamp), tilted_imu(stamp, tilt), odometry(stamp)):
        vehicle.send(message)
    vehicle.until(lambda: vehicle.is_ready(stamp), 'the prior has arrived')
    vehicle.send(image_from_rgb(rgb, Header(stamp=stamp, frame_id='camera')))
    vehicle.until(lambda: vehicle.localizer.panoramas or vehicle.logged('no pose'), 'it is seen')
    return vehicle.localizer


def get_ready(vehicle) -> None:
    """Send everything but the image, of an upright camera."""
    vehicle.send_transforms(mounted(np.eye(3)))
    vehicle.send_odometry_tf(at(1.0))
    vehicle.send_prior(at(1.0))
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')


def level_sphere(shape, base_from_camera: Pose2):
    """Return what a level camera sees of the sphere that the vehicle is in."""
    return picture(pixel_directions(shape[1], shape[0]), rotation3(0, 0, base_from_camera.yaw))


@pytest.mark.parametrize('mount_deg', [(180, 0, 30), (0, 44, 0), (-160, 35, -75)])
def test_any_mount_is_levelled(vehicle, onlooker, mount_deg):
    """Upside down as well, and with a vehicle that leans on a slope besides."""
    mount, tilt = rotation3(*np.radians(mount_deg)), rotation3(math.radians(6), -0.1, 0)
    taken = picture(pixel_directions(WIDTH, HEIGHT), tilt @ mount)
    shown = show(vehicle, taken, mount, tilt).panoramas[0]
    assert largest_difference(shown, level_sphere(shown.shape, onlooker.mounts[0])) <= 6


def test_a_cropped_panorama_is_whole_with_the_rest_masked(vehicle, onlooker):
    """What the stated angles leave out has no say."""
    show(vehicle, SPHERE[21:85], camera__vertical_fov_deg=[-30.0, 60.0])
    shown, seen = onlooker.panoramas[0], onlooker.masks[0]
    rows = np.flatnonzero(seen.all(1))
    assert 90 - 180 * (rows[-1] + 1) / len(seen) == pytest.approx(-30, abs=2)
    assert 90 - 180 * rows[0] / len(seen) == pytest.approx(60, abs=2)
    assert largest_difference(shown, level_sphere(shown.shape, onlooker.mounts[0]),
                              cv2.resize(seen.astype(np.uint8), shown.shape[1::-1]) > 0) <= 8


def test_a_cropped_panorama_is_never_stretched_silently(vehicle, onlooker):
    """Without the angles it is refused, and told what to set."""
    show(vehicle, SPHERE[21:85])
    assert 'camera.vertical_fov_deg' in vehicle.until_logged('twice as wide as high').msg
    assert not onlooker.panoramas


@pytest.mark.parametrize('stated', [{}, {'camera__bars_px': [8, 8, 0, 0]}])
def test_black_bars_are_cut_off(vehicle, onlooker, stated):
    """Those that are found as those that are stated."""
    show(vehicle, cv2.copyMakeBorder(SPHERE, 8, 8, 0, 0, cv2.BORDER_CONSTANT), **stated)
    np.testing.assert_array_equal(onlooker.panoramas[0], SPHERE)


def test_two_fisheye_circles_become_a_panorama(vehicle, onlooker, tmp_path):
    """By their calibration file."""
    show(vehicle, fisheye_image(), camera__layout='fisheye',
         camera__calibration=write_calibration(tmp_path))
    shown = onlooker.panoramas[0]
    assert largest_difference(shown, level_sphere(shown.shape, onlooker.mounts[0])) <= 12


@pytest.mark.parametrize('damage, words', [
    ({'lenses': [{'centre_px': [1, 2]}]}, "'fov_deg' is missing"),
    ({'lenses': 'two'}, 'must be a list'),
    ({'width': 'wide'}, "width must be a number, not 'wide'")])
def test_a_calibration_that_is_none_keeps_the_node_unconfigured(vehicle, tmp_path, damage, words):
    """The log names the file and what is wrong in it."""
    path = write_calibration(tmp_path, **damage)
    node = vehicle.start(active=False, datum=DATUM, camera__layout='fisheye',
                         camera__calibration=path)
    assert not vehicle.change(node, 'configure')
    said = vehicle.until_logged('cannot configure: ').msg
    assert path in said and words in said and 'Traceback' not in said


def test_the_vehicle_in_the_picture_is_masked(vehicle, onlooker, tmp_path):
    """By a picture of any size that is black there."""
    mask = np.full((64, 128), 255, np.uint8)
    mask[48:, 32:64] = 0
    cv2.imwrite(str(tmp_path / 'body.png'), mask)
    show(vehicle, SPHERE, camera__masks=[str(tmp_path / 'body.png')])
    seen = cv2.resize(onlooker.masks[0].astype(np.uint8), (128, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(seen > 0, mask > 0)


@pytest.mark.parametrize('pixels', [
    np.dstack([SPHERE[..., ::-1], np.full((HEIGHT, WIDTH), 9, np.uint8)]),
    SPHERE[..., ::-1].astype(np.uint16) * 257])
def test_transparent_and_deep_png_are_pictures(vehicle, onlooker, pixels):
    """An opacity has no say, and 16 bits become 8."""
    vehicle.start(datum=DATUM)
    get_ready(vehicle)
    message = CompressedImage(header=Header(stamp=at(1.0), frame_id='camera'), format='png')
    message.data = array('B', cv2.imencode('.png', pixels)[1].tobytes())
    vehicle.send(message)
    vehicle.until(lambda: onlooker.panoramas, 'it is seen')
    np.testing.assert_array_equal(onlooker.panoramas[0], SPHERE)


def test_a_pinhole_camera_with_distortion_is_rectified(vehicle, onlooker):
    """To the projection matrix of its camera_info, as OpenCV does."""
    infos = vehicle.node.create_publisher(CameraInfo, 'camera_info', RELIABLE)
    node = vehicle.start(lambda settings: Loaded(onlooker, FakeImagery(), needs_intrinsics=True),
                         datum=DATUM)
    vehicle.until(lambda: infos.get_subscription_count() > 0, 'the node hears camera_info')
    matrix, distortion = np.array([[100.0, 0, 79.5], [0, 100, 59.5], [0, 0, 1]]), [-0.4, 0.1, 0, 0]
    infos.publish(CameraInfo(
        width=160, height=120, k=matrix.ravel(), d=distortion, distortion_model='plumb_bob',
        r=np.eye(3).ravel(), p=np.hstack([matrix, np.zeros((3, 1))]).ravel()))
    intrinsics = node.parts.pipeline.cameras.intrinsics[0]
    vehicle.until(lambda: intrinsics._newest is not None, 'the calibration has arrived')
    get_ready(vehicle)
    raw = cv2.resize(SPHERE, (160, 120), interpolation=cv2.INTER_AREA)
    vehicle.send(image_from_rgb(raw, Header(stamp=at(1.0), frame_id='camera')))
    vehicle.until(lambda: onlooker.panoramas, 'it is seen')
    shown, inner = onlooker.panoramas[0], np.s_[10:-10, 10:-10]
    expected = cv2.undistort(raw, matrix, np.array(distortion))
    assert largest_difference(shown[inner], expected[inner]) <= 8
    assert largest_difference(shown[inner], raw[inner]) > 30
