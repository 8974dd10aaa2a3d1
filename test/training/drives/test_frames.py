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

"""Keyframes become samples whose truth fits their images."""

import pickle
from test.helpers.beacon_drive import POSE, write_beacon_drive
from test.helpers.beacon_scene import COLOURS, find

from fg2_ros.datasets.drives import IMAGES, MASKS
from fg2_ros.geometry.panorama import pixel_from_direction
from fg2_ros.network.config import FG2Config
from fg2_ros.training.drives.frames import identity_of, RecordedFrames
from fg2_ros.training.panorama.samples import FrameDataset, SampleSettings
import numpy as np
from PIL import Image
import pytest

CONFIG = FG2Config.preset('sim')
PLAIN = SampleSettings(vary_colours=False)


@pytest.fixture(scope='module')
def data_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drives')
    write_beacon_drive(folder / 'first', ['train', 'validation', 'train', ''])
    return folder


def missed_px(sample) -> float:
    """Return by how many columns the aerial beacons miss those of the panorama at most."""
    height, width = sample.ground.shape[:2]
    misses = []
    for colour in COLOURS:
        column, row = find(sample.aerial, colour)
        aerial_m = (np.array([row, column]) / len(sample.aerial) - 0.5) * CONFIG.grid_extent_m
        down_m, right_m = sample.rotation @ aerial_m + sample.translation
        expected, _ = pixel_from_direction(
            np.array([-down_m, -right_m, -POSE.height_m]), width, height)
        misses.append((find(sample.ground, colour)[0] - expected + width / 2) % width - width / 2)
    return np.abs(misses).max()


@pytest.mark.parametrize('number', range(6))
def test_truth_maps_the_ground_onto_the_panorama(data_set, number):
    """Mount, turned and mirrored worlds and wrong priors included."""
    frames = RecordedFrames(data_set, 'train', CONFIG)
    assert missed_px(FrameDataset(frames, CONFIG, PLAIN, seed=0)[number]) < 2.0


def test_nobody_knows_the_layers_of_samples(data_set):
    sample = FrameDataset(RecordedFrames(data_set, 'train', CONFIG), CONFIG, PLAIN, 0)[0]
    assert sample.has_layers == 0 and not sample.coverage.any()


@pytest.fixture(scope='module')
def quarters(tmp_path_factory):
    """Return data sets of the same images, without and with a mask: one quarter is a picture."""
    seen = np.tile(np.arange(1280) < 320, (640, 1))
    folders = [tmp_path_factory.mktemp(name) for name in ('whole', 'masked')]
    for folder in folders:
        drive = write_beacon_drive(folder / 'first', ['train'], 64)
        Image.fromarray(np.where(seen[..., None], np.uint8([250, 220, 200]), np.uint8(60))).save(
            drive / IMAGES / '0.png')
    (drive / MASKS).mkdir()
    Image.fromarray(np.uint8(255) * seen).save(drive / MASKS / '0.png')
    return folders


@pytest.mark.parametrize('settings', [
    PLAIN, SampleSettings(), SampleSettings(vary_cameras=True)])
def test_what_no_camera_saw_is_black_whatever_is_varied(quarters, settings):
    """As in use, turned and mirrored with the panorama, whose other parts are as they were."""
    for number in range(4):
        whole, masked = (FrameDataset(
            RecordedFrames(folder, 'train', CONFIG), CONFIG, settings, seed=0)[number].ground
            for folder in quarters)
        black = ~masked.any(-1)
        assert black.all(0).mean() == pytest.approx(0.75, abs=0.01)
        assert np.array_equal(masked[:, ~black.all(0)], whole[:, ~black.all(0)])
        if settings is PLAIN:
            assert not masked[whole[..., 0] < 100].any() and masked[whole[..., 0] > 245].all()


def test_frames_are_those_of_the_split(data_set):
    assert [len(RecordedFrames(data_set, split, CONFIG)) for split in ('train', 'validation')] == [
        2, 1]
    with pytest.raises(ValueError, match='no keyframe of .* is of the split "test"'):
        RecordedFrames(data_set, 'test', CONFIG)


def test_frames_go_to_other_processes(data_set):
    frames = pickle.loads(pickle.dumps(RecordedFrames(data_set, 'train', CONFIG)))
    assert frames[1].panorama.shape == (*CONFIG.ground_image_hw, 3)


def test_identity_changes_with_the_keyframes(data_set, tmp_path):
    write_beacon_drive(tmp_path / 'first', ['train', 'validation', 'train', 'train'], 64)
    one, other = (RecordedFrames(folder, 'train', CONFIG).drives for folder in (
        data_set, tmp_path))
    assert identity_of(one) == identity_of(one) != identity_of(other)
