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

"""The two views show the same geometry where the conventions say, and nothing else in common."""

import cv2
from fg2_ros.simulation.appearance import ground_pyramid, paint_ground
from fg2_ros.simulation.cameras import CameraPose, PanoramaCamera, PinholeCamera
from fg2_ros.simulation.drive import DriveSettings, simulate_drive
from fg2_ros.simulation.meshes import Beacon, building
from fg2_ros.simulation.scenes import Scene
from fg2_ros.simulation.shapes import Building, corners, Ground
from fg2_ros.simulation.worlds import WORLDS
import numpy as np
import pytest

MAGENTA, GREEN, CYAN = (1.6, 0.0, 1.6), (0.0, 1.8, 0.0), (0.0, 1.6, 1.6)


def centroid(image, colour):
    """Return (column, row) of the pixels of a pure colour; the pixel centre convention is .5."""
    pixels = image.astype(int)
    on, off = [k for k in range(3) if colour[k]], [k for k in range(3) if not colour[k]]
    mask = (pixels[..., on].min(axis=-1) - pixels[..., off].max(axis=-1)) > 140
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    assert count > 1, 'the beacon is not in the picture'
    return centres[1 + stats[1:, cv2.CC_STAT_AREA].argmax()] + .5


def open_spot(scene):
    """Return a pose on a street."""
    return scene.camera_poses(1, np.random.default_rng(3))[0]


@pytest.mark.parametrize('difficulty', ['standard', 'hard'])
def test_beacons_appear_where_the_maths_says_in_both_views(difficulty):
    pose = open_spot(Scene(5, difficulty))
    tilted = CameraPose(
        pose.east_m, pose.north_m, 2.5, pose.yaw_rad, roll_rad=.03, pitch_rad=-.04)
    forward = np.array([np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)])
    right = np.array([forward[1], -forward[0]])
    beacons = []
    for along, across, colour in ((6, 0, MAGENTA), (-5, 1, GREEN), (2, 5, CYAN)):
        spot = [pose.east_m, pose.north_m] + along * forward + across * right
        beacons.append(Beacon((*spot, .7), .6, colour))
    scene = Scene(5, difficulty, beacons)
    orthophoto = scene.orthophoto()
    pinhole = PinholeCamera(640, 480, fx=300.0, fy=310.0, cx=330.0, cy=200.0)
    cameras = {camera: scene.view(tilted, camera)
               for camera in (PanoramaCamera(1024, 512), pinhole)}
    for beacon in beacons:
        column, row = centroid(orthophoto.image, beacon.colour)
        east = (column - orthophoto.image.shape[1] / 2) * orthophoto.resolution_m
        north = (orthophoto.image.shape[0] / 2 - row) * orthophoto.resolution_m
        assert np.allclose([east, north], beacon.position[:2], atol=1.25 * orthophoto.resolution_m)
        body = (np.array(beacon.position) - tilted.position) @ tilted.rotation
        for camera, image in cameras.items():
            expected = camera.project(body)
            if np.isfinite(expected[0]) and 0 < expected[0] < camera.width:
                assert np.allclose(centroid(image, beacon.colour), expected, atol=1.5)


def test_a_camera_that_turns_left_moves_the_city_right():
    scene = Scene(8)
    pose = open_spot(scene)
    east = CameraPose(pose.east_m, pose.north_m, 2.0, 0.0)
    north = CameraPose(pose.east_m, pose.north_m, 2.0, np.pi / 2)
    image = scene.panorama(east, 512, 256).astype(int)
    turned = scene.panorama(north, 512, 256).astype(int)
    difference = np.abs(np.roll(turned, -128, axis=1) - image)[20:200]
    assert np.median(difference) < 12  # columns grow clockwise


def test_a_seed_gives_the_same_pictures_and_another_seed_others():
    pose = open_spot(Scene(11))
    first, again, other = (Scene(seed).panorama(pose, 128, 64) for seed in (11, 11, 12))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    above, above_again = (Scene(11).orthophoto(1.0).image for _ in range(2))
    assert np.array_equal(above, above_again)


def test_surfaces_share_meaning_not_pixels():
    """Ground colours of the two days are as good as unrelated over many cities."""
    correlations = []
    for seed in range(12):
        scene = Scene(seed)
        ground = [
            ground_pyramid(paint_ground(scene.city, look))[3].astype(np.float32)
            for look in (scene.aerial_look, scene.ground_look)]
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel() for image in ground]
        correlations.append(np.corrcoef(*grey)[0, 1])
    assert abs(np.median(correlations)) < .5


@pytest.mark.parametrize('difficulty, heights, tilt_deg', [
    ('standard', (1.7, 2.3), 0.4), ('hard', (1.4, 3.2), 2.0)])
def test_cameras_are_mounted_as_the_difficulty_says(difficulty, heights, tilt_deg):
    poses = Scene(3, difficulty).camera_poses(400, np.random.default_rng(0))
    height_m = [pose.height_m for pose in poses]
    assert heights[0] <= min(height_m) and max(height_m) <= heights[1]
    assert np.ptp(height_m) > 0.9 * (heights[1] - heights[0])
    tilts = np.degrees([(pose.roll_rad, pose.pitch_rad) for pose in poses])
    assert np.std(tilts) == pytest.approx(tilt_deg, rel=0.1)


def test_hard_views_are_of_two_seasons_and_standard_ones_of_one():
    for seed in range(6):
        standard, hard = Scene(seed), Scene(seed, 'hard')
        assert standard.aerial_look.season == standard.ground_look.season
        assert hard.aerial_look.season != hard.ground_look.season


@pytest.mark.parametrize('seed', [*range(17, 10 ** 6, 250_013), 10 ** 6])
def test_every_seed_is_a_city_to_drive_in(seed):
    scene = Scene(seed)
    city = scene.city
    assert len(city.buildings) > 20 and len(city.trees) > 10
    assert {Ground.ASPHALT, Ground.KERB, Ground.PAVEMENT} <= set(np.unique(city.ground))
    assert city.markings.any()
    for pose in scene.camera_poses(20, np.random.default_rng(0)):
        assert not any(
            is_inside(building, (pose.east_m, pose.north_m)) for building in city.buildings)
    drive = simulate_drive(city, seed, DriveSettings(frames=20))
    assert len(drive.cameras) == 20


def is_inside(building, point) -> bool:
    """Return whether a point lies within a building's footprint."""
    outline = corners(building.centre, building.size, building.yaw_rad).astype(np.float32)
    return cv2.pointPolygonTest(outline, tuple(map(float, point)), False) > 0


def test_another_world_has_the_same_plan_and_another_look():
    known, other = Scene(5), Scene(5, world='B')
    pose = open_spot(known)
    assert np.array_equal(known.city.ground, other.city.ground)
    for first, second in (
            (known.panorama(pose, 256, 128), other.panorama(pose, 256, 128)),
            (known.orthophoto(1.0).image, other.orthophoto(1.0).image)):
        assert np.median(np.abs(first.astype(int) - second)) > 10


def test_the_vehicle_hides_what_its_world_says():
    """Straight down always; ahead more than to the side."""
    world = WORLDS['B']
    directions = PanoramaCamera(256, 128).directions()
    hidden, elevation = world.is_body(directions), np.arcsin(directions[..., 2])
    assert hidden[-1].all() and not hidden[elevation > 0].any()
    for column, sine in zip((128, 64), world.body_sine):  # ahead, and to the left
        highest = elevation[hidden[:, column], column].max()
        assert highest == pytest.approx(np.arcsin(sine), abs=2 * np.pi / 256)


def test_cameras_of_another_world_are_carried_as_it_says():
    heights = [DriveSettings.drawn(seed, world='B').camera_m[2] for seed in range(50)]
    low, high = WORLDS['B'].camera_height_m
    assert low <= min(heights) < max(heights) <= high
    poses = Scene(3, world='B').camera_poses(50, np.random.default_rng(0))
    assert all(low <= pose.height_m <= high for pose in poses)


def test_the_ridge_of_a_hipped_roof_is_shorter_by_the_width():
    shape = Building((3.0, 4.0), (12.0, 8.0), 0.3, 6.0, 2.5)
    for hipped in (False, True):
        triangles = building(shape, hipped).triangles
        corner_m = triangles.reshape(-1, 3)
        ridge_m = corner_m[corner_m[:, 2] > shape.height_m + shape.roof_m - 1e-3]
        length_m = np.linalg.norm(np.ptp(ridge_m[:, :2], axis=0))
        assert length_m == pytest.approx(12.0 - 8.0 * hipped, abs=2e-3)


def test_an_unknown_difficulty_is_named():
    with pytest.raises(ValueError, match='easy'):
        Scene(1, 'easy')
