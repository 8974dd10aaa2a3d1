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

"""Panoramas tell by how much the camera turned; and files of panoramas."""

import math
from test.helpers.recorded_bag import FRAME, panorama

from fg2_ros.datasets.drives import (
    DriveFacts, Keyframe, RecordedDrive, SensorReadings, write_drive)
from fg2_ros.datasets.ground_cells import CellLayout
from fg2_ros.drives.optical import strip_of, turn_between, turns
from fg2_ros.drives.panoramas import turned, write_panorama
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.camera_images import CameraImage
import numpy as np
import pytest


@pytest.mark.parametrize('turn_deg', [0.0, 3.3, -20.0, 90.0, -179.0])
def test_a_turn_is_seen(turn_deg):
    before, after = (strip_of(panorama(yaw)) for yaw in (0.4, 0.4 + math.radians(turn_deg)))
    assert math.degrees(turn_between(before, after)) == pytest.approx(turn_deg, abs=0.5)


def test_images_without_anything_in_common_tell_nothing():
    rng = np.random.default_rng(0)
    strips = [strip_of(rng.integers(0, 255, (128, 256, 3), np.uint8)) for _ in range(2)]
    assert math.isnan(turn_between(*strips)) or abs(turn_between(*strips)) <= math.pi
    assert math.isnan(turn_between(*[strip_of(np.full((128, 256, 3), 9, np.uint8))] * 2))


def test_turns_are_those_of_the_vehicle_between_images_that_are_near():
    stamps = [0, 10 ** 9, 2 * 10 ** 9, 9 * 10 ** 9]
    yaws = [0.0, 0.2, 0.2, 1.0]
    mounts = [0.0, 0.0, 0.5, 0.0]  # of the third image the centre column looks elsewhere
    images = [CameraImage(stamp, panorama(yaw + mount), Pose2(0.0, 0.0, mount))
              for stamp, yaw, mount in zip(stamps, yaws, mounts)]
    begin_ns, end_ns, turn_rad = turns(images)
    assert (begin_ns.tolist(), end_ns.tolist()) == (stamps[:2], stamps[1:3])
    assert turn_rad == pytest.approx([0.2, 0.0], abs=0.01)


def test_a_panorama_is_turned_to_where_the_others_look():
    straight, left = panorama(0.0), panorama(math.radians(45.0))
    off = turned(left, math.radians(45.0)).astype(float) - straight
    assert np.abs(off).max() <= 1.0


def test_images_and_masks_are_read_as_they_were_written(tmp_path):
    seen = np.ones((32, 64), bool)
    seen[20:] = False
    write_panorama(tmp_path, '1.jpg', panorama(0.0), seen, 64)
    write_panorama(tmp_path, '2.jpg', panorama(0.0), None, 512)
    write_drive(tmp_path, DriveFacts(
        FRAME.datum, Pose2(0, 0, 0), (0, 0), CellLayout(0.2, 64, 'survey')), [
            Keyframe(name, stamp, Pose2(0, 0, 0), 0.02, 0.01)
            for stamp, name in enumerate(('1.jpg', '2.jpg'))], SensorReadings())
    drive = RecordedDrive(tmp_path)
    first, second = drive.keyframes
    np.testing.assert_array_equal(drive.seen(first), seen)
    assert drive.seen(second) is None
    assert drive.panorama(first).shape == (64, 128, 3)
    assert drive.panorama(second).shape == (128, 256, 3)
