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

"""Varied images are those of the same view."""

from dataclasses import replace
from test.helpers.beacon_scene import BeaconScene, COLOURS, find

from fg2_ros.simulation.cameras import CameraPose
from fg2_ros.training.panorama.variation import (
    another_camera, another_survey, in_another_season, recompressed, tilted)
import numpy as np

LEVEL = CameraPose(1.0, 2.0, 2.0, 0.4)


def test_a_tilted_panorama_is_what_a_tilted_camera_sees():
    scene = BeaconScene(LEVEL)
    roll, pitch = np.radians([4.0, -3.0])
    found = tilted(scene.panorama(LEVEL, 640, 320), roll, pitch)
    expected = scene.panorama(replace(LEVEL, roll_rad=roll, pitch_rad=pitch), 640, 320)
    for colour in COLOURS:
        assert np.abs(np.subtract(find(found, colour), find(expected, colour))).max() < 1.0
    level = scene.panorama(LEVEL, 640, 320)
    moved = [np.abs(np.subtract(find(found, each), find(level, each))).max() for each in COLOURS]
    assert max(moved) > 3


def test_seasons_change_what_is_green_and_nothing_else():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :40], image[:, 40:] = (60, 140, 50), (150, 150, 155)
    changed = np.stack([in_another_season(image, np.random.default_rng(seed)).astype(int)
                        for seed in range(20)])
    assert np.abs(changed[:, :, 40:] - image[:, 40:]).max() <= 3
    assert np.ptp(changed[:, 0, 0], axis=0).min() > 30


def test_jpeg_keeps_the_picture():
    image = np.full((64, 64, 3), (200, 120, 40), np.uint8)
    assert np.abs(recompressed(image, np.random.default_rng(0)).astype(int) - image).max() < 12


def test_other_cameras_and_surveys_keep_sizes_and_do_differ():
    panorama = BeaconScene(LEVEL).panorama(LEVEL, 128, 64)
    aerial = np.full((50, 50, 3), (60, 140, 50), np.uint8)
    cameras = [another_camera(panorama, np.random.default_rng(seed)) for seed in range(30)]
    surveys = [another_survey(aerial, np.random.default_rng(seed)) for seed in range(30)]
    assert {(each.shape, each.dtype.name) for each in cameras} == {((64, 128, 3), 'uint8')}
    assert {(each.shape, each.dtype.name) for each in surveys} == {((50, 50, 3), 'uint8')}
    assert len({each.tobytes() for each in cameras}) > 20
    assert 10 < len({each.tobytes() for each in surveys})
    hidden = [len(np.unique(each[-1], axis=0)) == 1 and each[-1].any() for each in cameras]
    assert 2 < sum(map(bool, hidden)) < 20
