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

"""Panoramas as cameras make them: cropped, barred, of fisheyes and of rings of cameras."""

import math
from test.helpers.fisheyes import fisheye_image, LENSES, write_calibration
from test.helpers.spheres import colour, largest_difference, picture, TURNS

import cv2
from fg2_ros.cameras.bars import BarFinder, Bars
from fg2_ros.cameras.calibration import Calibration, lens_of
from fg2_ros.cameras.cameras import (
    EquirectangularCamera, FisheyeCamera, PinholeCamera, read_mask, Ring)
from fg2_ros.cameras.lenses import optical_from_body, Pinhole
from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.geometry.panorama import pixel_directions, rotation3
import numpy as np
import pytest

HEIGHT = 128
DIRECTIONS = pixel_directions(2 * HEIGHT, HEIGHT)
SPHERE = colour(DIRECTIONS)
BODY_FROM_OPTICAL = optical_from_body().T


def camera(**settings):
    """Return a camera of panoramas."""
    return EquirectangularCamera(CameraSettings(**settings), HEIGHT)


# Panoramas -------------------------------------------------------------------------------------

def test_a_whole_panorama_stays_as_it_is():
    level = camera().level(SPHERE, rotation3(0, 0, 0.4))
    assert level.pixels is not None and level.seen is None
    assert np.shares_memory(level.pixels, SPHERE) and level.pixels.shape == SPHERE.shape
    assert level.yaw_rad == pytest.approx(0.4)


@pytest.mark.parametrize('fov, rows', [((90.0,), slice(32, 96)), ((-30.0, 60.0), slice(21, 85))])
def test_a_cropped_panorama_with_its_angles_stated(fov, rows):
    cropped = np.ascontiguousarray(SPHERE[rows])
    level = camera(vertical_fov_deg=fov).level(cropped, np.eye(3))
    assert level.pixels.shape == SPHERE.shape
    assert largest_difference(level.pixels, SPHERE, level.seen) <= 6
    assert level.seen.mean() == pytest.approx(0.5, abs=0.02)


def test_a_squeezed_panorama_with_its_angles_stated():
    squeezed = cv2.resize(SPHERE, (256, 96), interpolation=cv2.INTER_AREA)
    level = camera(vertical_fov_deg=(180.0,)).level(squeezed, np.eye(3))
    assert level.seen is None or level.seen.all()
    assert np.abs(cv2.resize(level.pixels, (256, 128)).astype(int) - SPHERE).mean() < 3


@pytest.mark.parametrize('shape', [(144, 256), (96, 256), (200, 256), (128, 128)])
def test_another_aspect_is_refused_with_what_to_set(shape):
    image = cv2.resize(SPHERE, shape[::-1])
    with pytest.raises(ValueError) as error:
        camera().level(image, np.eye(3))
    assert f'not {shape[1]}x{shape[0]}' in str(error.value)
    assert 'camera.vertical_fov_deg' in str(error.value) and 'camera.bars_px' in str(error.value)


@pytest.mark.parametrize('bars', [Bars(8, 8, 0, 0), Bars(0, 16, 0, 0), Bars(0, 0, 20, 30)])
@pytest.mark.parametrize('stated', [False, True])
def test_black_bars_are_cut_off(bars, stated):
    """As compressed images have them: not quite black."""
    noise = np.random.default_rng(0)
    image = noise.integers(0, 6, (HEIGHT + bars.top + bars.bottom,
                                  2 * HEIGHT + bars.left + bars.right, 3), np.uint8)
    bars.without(image)[:] = SPHERE
    level = camera(bars_px=tuple(bars) if stated else ()).level(image, np.eye(3))
    np.testing.assert_array_equal(level.pixels, SPHERE)
    assert level.seen is None


def test_a_stated_angle_and_bars_around_what_has_it():
    image = np.zeros((100, 256, 3), np.uint8)
    image[20:84] = SPHERE[32:96]
    level = camera(vertical_fov_deg=(90.0,)).level(image, np.eye(3))
    assert largest_difference(level.pixels, SPHERE, level.seen) <= 6


def test_what_is_always_black_in_a_whole_panorama_is_masked():
    """A camera that does not see the nadir; the sky of a night is one only until a light shows."""
    image = SPHERE.copy()
    image[:30] = image[120:] = 3
    one = camera()
    seen = one.level(image, np.eye(3)).seen
    assert not seen[:30].any() and not seen[120:].any() and seen[30:120].all()
    image[10, 50] = 200
    seen = one.level(image, np.eye(3)).seen
    assert not seen[:10].any() and seen[10:120].all() and not seen[120:].any()


def test_bars_of_a_black_image_are_none():
    finder = BarFinder()
    assert finder.find(np.zeros((8, 16, 3), np.uint8)) == Bars()
    assert finder.find(np.full((8, 16, 3), 99, np.uint8)) == Bars()


def test_the_mask_of_a_user(tmp_path):
    mask = np.full((64, 128), 255, np.uint8)
    mask[48:, 32:64] = 0
    cv2.imwrite(str(tmp_path / 'body.png'), mask)
    level = camera(masks=(str(tmp_path / 'body.png'),)).level(SPHERE, np.eye(3))
    assert np.shares_memory(level.pixels, SPHERE)
    expected = cv2.resize(mask, (256, 128), interpolation=cv2.INTER_NEAREST) > 0
    np.testing.assert_array_equal(level.seen, expected)
    with pytest.raises(ValueError, match='camera.masks'):
        read_mask(str(tmp_path / 'other.png'))


@pytest.mark.parametrize('settings, words', [
    ({'vertical_fov_deg': (50.0, -40.0)}, 'vertical_fov_deg'),
    ({'vertical_fov_deg': (200.0,)}, 'vertical_fov_deg'),
    ({'vertical_fov_deg': (1.0, 2.0, 3.0)}, 'vertical_fov_deg'),
    ({'bars_px': (1, 2)}, 'bars_px'), ({'bars_px': (1, -2, 0, 0)}, 'bars_px')])
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(ValueError, match=words):
        camera(**settings)


# Fisheyes --------------------------------------------------------------------------------------

def inner(seen):
    """Return what is seen but for the edge, which is mixed with what is beyond it."""
    return cv2.erode(seen.astype(np.uint8), np.ones((5, 5))).astype(bool)


def test_two_fisheye_circles_become_a_panorama(tmp_path):
    settings = CameraSettings(layout='fisheye', calibration=write_calibration(tmp_path))
    level = FisheyeCamera(settings, HEIGHT).level(fisheye_image(), np.eye(3))
    assert level.seen is None and level.pixels.shape == SPHERE.shape
    assert largest_difference(level.pixels, SPHERE) <= 8


def test_one_circle_shows_half_and_a_tilted_mount_is_levelled(tmp_path):
    settings = CameraSettings(
        layout='fisheye', calibration=write_calibration(tmp_path, LENSES[:1]))
    one = FisheyeCamera(settings, HEIGHT)
    level = one.level(fisheye_image(LENSES[:1]), np.eye(3))
    share = np.average(level.seen, weights=np.hypot(DIRECTIONS[..., 0], DIRECTIONS[..., 1]))
    assert share == pytest.approx((1 - math.cos(math.radians(100))) / 2, abs=0.01)
    assert largest_difference(level.pixels, SPHERE, inner(level.seen)) <= 8
    turn = rotation3(*np.radians((12, -7, 40)))
    tilted = one.level(fisheye_image(LENSES[:1]), turn)
    expected = picture(DIRECTIONS, turn.T @ rotation3(0, 0, tilted.yaw_rad))
    assert largest_difference(tilted.pixels, expected, inner(tilted.seen)) <= 12


@pytest.mark.parametrize('lenses, words', [
    ([], 'lenses must be a list'), ([{}], "'centre_px' is missing"),
    ([LENSES[0] | {'fov_deg': 0}], 'fov_deg'), ([LENSES[0] | {'center': 1}], 'center is unknown'),
    ([LENSES[0] | {'distortion': [1]}], 'distortion must be 4 numbers'),
    ([LENSES[0] | {'centre_px': 'left'}], "centre_px must be 2 numbers, not 'left'"),
    ([LENSES[0] | {'rotation_deg': [0, 90]}], 'rotation_deg must be 3 numbers'),
    ([LENSES[0] | {'focal_px': [100, math.nan]}], 'focal_px must be 2 numbers'),
    ([LENSES[0] | {'radius_px': -3}], 'focal_px'), (None, 'lenses must be a list')])
def test_a_calibration_that_is_none_is_named(tmp_path, lenses, words):
    path = write_calibration(tmp_path, lenses)
    with pytest.raises(ValueError, match='lenses.yaml') as error:
        FisheyeCamera(CameraSettings(layout='fisheye', calibration=path), HEIGHT)
    assert words in str(error.value)
    with pytest.raises(ValueError, match='camera.calibration'):
        FisheyeCamera(CameraSettings(layout='fisheye'), HEIGHT)


def test_an_image_of_another_size_than_the_calibration_is_refused(tmp_path):
    settings = CameraSettings(layout='fisheye', calibration=write_calibration(tmp_path))
    with pytest.raises(ValueError, match='256x128.*400x200'):
        FisheyeCamera(settings, HEIGHT).level(SPHERE, np.eye(3))


# Rings -----------------------------------------------------------------------------------------

FACE_PX = 160
FACE_K = np.array([[FACE_PX / 2, 0, FACE_PX / 2 - 0.5], [0, FACE_PX / 2, FACE_PX / 2 - 0.5],
                   [0, 0, 1.0]])
CUBE = [(0, 0, 0), (0, 0, 90), (0, 0, 180), (0, 0, -90), (0, -90, 0), (0, 90, 0)]


def face(turn_deg, matrix=FACE_K, hw=(FACE_PX, FACE_PX)):
    """Return what a pinhole camera sees, and the rotation of its optical axes."""
    column, row = np.meshgrid(np.arange(hw[1]), np.arange(hw[0]))
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(matrix).T
    turn = rotation3(*np.radians(turn_deg)) @ BODY_FROM_OPTICAL
    return picture(rays, turn), turn


def calibration_of(matrix=FACE_K, hw=(FACE_PX, FACE_PX)):
    """Return the calibration of a rectified camera."""
    return Calibration(hw[1], hw[0], matrix, Pinhole(hw[1], hw[0], matrix))


def ring(count, **settings):
    """Return a ring of cameras."""
    topics = tuple(f'camera{index}/image' for index in range(count))
    return Ring(CameraSettings(layout='ring', topics=topics, **settings), HEIGHT)


def test_six_faces_of_a_cube_are_a_panorama():
    images, turns = zip(*map(face, CUBE))
    level = ring(6).level(images, [calibration_of()] * 6, np.stack(turns), np.eye(3))
    assert level.seen is None and level.yaw_rad == 0
    assert largest_difference(level.pixels, SPHERE) <= 6


@pytest.mark.parametrize('turn', ['tilted', 'steep', 'upside down'])
def test_a_tilted_vehicle_with_a_cube(turn):
    images, turns = zip(*map(face, CUBE))
    tilt = rotation3(*np.radians(TURNS[turn]))
    level = ring(6).level(images, [calibration_of()] * 6, np.stack(turns), tilt)
    expected = picture(DIRECTIONS, tilt.T @ rotation3(0, 0, level.yaw_rad))
    assert largest_difference(level.pixels, expected) <= 10


def test_what_a_ring_does_not_see_is_masked_and_so_is_a_camera_that_is_silent():
    images, turns = map(list, zip(*map(face, CUBE[:4])))
    one = ring(4)
    level = one.level(images, [calibration_of()] * 4, np.stack(turns), np.eye(3))
    azimuth_rows = level.seen[HEIGHT // 2]
    assert azimuth_rows.all() and not level.seen[:10].any() and not level.seen[-10:].any()
    assert largest_difference(level.pixels, SPHERE, level.seen) <= 6
    images[1] = None
    calibrations = [calibration_of(), None, calibration_of(), calibration_of()]
    level = one.level(images, calibrations, np.stack(turns), np.eye(3))
    assert not level.seen[:, 40:88].any()
    assert level.seen[HEIGHT // 2, 100:].all() and level.seen[HEIGHT // 2, :30].all()


def test_overlapping_cameras_share_what_they_both_see():
    """Each direction comes from the camera in whose middle it is nearer."""
    wide = np.array([[40.0, 0, 79.5], [0, 40.0, 79.5], [0, 0, 1]])
    views = [face((0, 0, degrees), wide) for degrees in (0, 120, 240)]
    images, turns = zip(*views)
    images = [np.full_like(image, 80 * (index + 1)) for index, image in enumerate(images)]
    level = ring(3).level(images, [calibration_of(wide)] * 3, np.stack(turns), np.eye(3))
    middle = level.pixels[HEIGHT // 2, :, 0]
    edges = np.flatnonzero(np.diff(middle.astype(int)))
    np.testing.assert_allclose((edges + 1) / 256 * 360, [120, 240], atol=1.5)


def test_masks_of_a_ring_are_one_for_each_camera(tmp_path):
    cv2.imwrite(str(tmp_path / 'none.png'), np.zeros((8, 8), np.uint8))
    images, turns = zip(*map(face, CUBE))
    masks = ('', str(tmp_path / 'none.png'), '', '', '', '')
    level = ring(6, masks=masks).level(images, [calibration_of()] * 6, np.stack(turns), np.eye(3))
    assert not level.seen[50:78, 40:88].any() and level.seen.mean() > 0.7
    with pytest.raises(ValueError, match='2 files for 6 cameras'):
        ring(6, masks=('', ''))


# Pinhole cameras -------------------------------------------------------------------------------

K = np.array([[200.0, 0, 159.5], [0, 200.0, 119.5], [0, 0, 1]])
HW = (240, 320)


def distorted_image(model, distortion, turn=np.eye(3)):
    """Return what a distorted camera sees of the sphere."""
    row, column = np.mgrid[0:240, 0:320].astype(float)
    pixels = np.stack([column, row], -1).reshape(-1, 1, 2)
    undistort = cv2.fisheye.undistortPoints if model == 'equidistant' else cv2.undistortPoints
    plane = undistort(pixels, K, np.array(distortion))
    rays = np.concatenate([plane[:, 0], np.ones((len(plane), 1))], -1).reshape(240, 320, 3)
    return picture(rays, turn @ BODY_FROM_OPTICAL)


@pytest.mark.parametrize('model, distortion', [
    ('plumb_bob', (-0.2, 0.05, 0.001, -0.001, 0.0)),
    ('rational_polynomial', (0.1, -0.05, 0.0, 0.001, 0.0, 0.2, -0.02, 0.001)),
    ('equidistant', (0.02, -0.01, 0.003, -0.001))])
def test_distortion_is_taken_out(model, distortion):
    lens = lens_of(model, distortion, K, 320, 240)
    calibration = Calibration(320, 240, K, lens, is_raw=True)
    level = PinholeCamera(CameraSettings()).level(
        distorted_image(model, distortion), calibration, np.eye(3))
    expected, _ = face((0, 0, 0), K, HW)
    middle = np.s_[50:190, 60:260]
    assert largest_difference(level.pixels[middle], expected[middle]) <= 6
    np.testing.assert_array_equal(level.camera_k, K)


def test_a_rectified_camera_that_looks_down_is_turned_upright():
    image, _ = face((0, 15, 0), K, HW)
    turn = rotation3(0, math.radians(15), math.radians(20))
    level = PinholeCamera(CameraSettings()).level(image, calibration_of(K, HW), turn)
    expected, _ = face((0, 0, 0), K, HW)
    assert level.yaw_rad == pytest.approx(math.radians(20))
    shown = np.s_[70:230, 50:270]
    assert largest_difference(level.pixels[shown], expected[shown]) <= 6


def test_a_rectified_upright_camera_stays_as_it_is():
    image, _ = face((0, 0, 0), K, HW)
    level = PinholeCamera(CameraSettings()).level(image, calibration_of(K, HW), np.eye(3))
    assert level.pixels is image


@pytest.mark.parametrize('model, distortion', [
    ('plumb_bob', (1, 2, 3)), ('equidistant', (1, 2)), ('mei', (0, 0, 0, 0))])
def test_models_that_are_not_known_are_named(model, distortion):
    with pytest.raises(ValueError, match=model):
        lens_of(model, distortion, K, 320, 240)
