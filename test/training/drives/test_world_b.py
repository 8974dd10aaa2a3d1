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

"""The proof of world B, tiny: drives are painted, and a stand-in for a localizer reads them."""

from dataclasses import replace
from functools import cache
import math
import runpy
from test.helpers.ground_reader import GroundReader
from test.helpers.paths import ROOT
from test.helpers.tiny_run import CONFIG

import cv2
from fg2_ros.datasets.drives import open_drives
from fg2_ros.evaluation.drives import (
    calibrate, calibration, recorded, rendered, samples, sources)
from fg2_ros.evaluation.drives.rendered import DriveSpec, RenderedDrive
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.localizer import Localizer
from fg2_ros.network import FG2Network
from fg2_ros.network.weights import read_metadata, save_weights
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
import numpy as np
import pytest

IMAGES, SHORT = 32, 44
CLOCK_AHEAD_S = 0.1
DIGIT_PX, DIGITS = 32, 6  # of what is written into an image: city, image and world
TRUSTING = replace(Calibration(), odds_begin=10.0)


def painted(size: int, seed: int) -> np.ndarray:
    """Return a smooth square image."""
    coarse = np.random.default_rng(seed).integers(80, 176, (size // 48, size // 48, 3))
    return cv2.resize(coarse.astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)


def panorama(drive: RenderedDrive, index: int) -> np.ndarray:
    """Return a smooth image with grey squares that tell which it is."""
    image = painted(256, index)[:128]
    number = (drive.spec.seed * 100 + index) * 2 + (drive.spec.world == 'B')
    for place in range(DIGITS):
        image[48:80, place * DIGIT_PX:(place + 1) * DIGIT_PX] = 8 + number // 16 ** place % 16 * 15
    return image


@cache
def short_drive(seed: int, world: str) -> RenderedDrive:
    """Return the simulated drive through a city."""
    return RenderedDrive(DriveSpec(seed, frames=SHORT, world=world), None)


class SquareReader(GroundReader):
    """Reads the squares of an image, and knows the simulated drives."""

    def truth(self, image) -> Pose2:
        """Return where the camera was, whatever map the drive was recorded in."""
        image = cv2.resize(image, (256, 128), interpolation=cv2.INTER_AREA)
        middles = np.array([image[60:68, left + 12:left + 20].mean() for left in range(
            0, DIGITS * DIGIT_PX, DIGIT_PX)])
        digits = np.round((middles - 8) / 15).astype(int)
        number, is_b = divmod(sum(int(digit) * 16 ** place for place, digit in enumerate(digits)),
                              2)
        seed, index = divmod(number, 100)
        drive = short_drive(seed, 'AB'[is_b])
        base = drive.drive.frames.poses()[index]
        place = drive.map_frame.geodetic_from_map(*base[:2])
        camera_x_m, camera_y_m, _ = drive.drive.settings.camera_m
        return Pose2(*map(float, self.map_frame.map_from_geodetic(*place)), base.yaw).compose(
            Pose2(camera_x_m, camera_y_m, 0.0))


@pytest.fixture(scope='module')
def example():
    return runpy.run_path(str(ROOT / 'examples/world_b.py'))


@pytest.fixture(scope='module')
def world(example, tmp_path_factory):
    """Return the proof while its drives are painted; nothing is done yet."""
    made = example['Proof'](
        tmp_path_factory.mktemp('proof'), drives=2, images=IMAGES, rate_hz=4.0, steps=2, batch=2,
        validation_frames=2, simulated_cities=1, simulated_share=0.0, threads=1, calibrating=2,
        held_out=1, short_images=SHORT)
    shipped = made.folder / 'shipped.safetensors'
    save_weights(FG2Network(CONFIG), shipped, {
        'trained_on': 'nothing', METADATA_KEY: TRUSTING.to_dict()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(made.run.__globals__, 'SHIPPED_WEIGHTS', shipped)
        patch.setattr(rendered, 'City', cache(rendered.City))
        patch.setattr(RenderedDrive, 'is_complete', lambda drive: True)
        patch.setattr(RenderedDrive, 'panorama', panorama)
        patch.setattr(RenderedDrive, 'orthophoto', lambda drive: painted(1920, drive.spec.seed))
        patch.setattr(sources, 'render_missing', lambda *others: None)
        patch.setattr(Localizer, 'load', lambda weights, imagery, **others: SquareReader(
            imagery, read_metadata(weights)))
        few_images_will_do(patch)
        yield made


@pytest.fixture(scope='module')
def trained(world):
    """Return the weights of the training."""
    return world._train()


@pytest.fixture(scope='module')
def figures(world, trained):
    """Return what the whole proof found, which goes on after the training."""
    return world.run()


def few_images_will_do(patch: pytest.MonkeyPatch) -> None:
    """Let drives of seconds calibrate, with one temper and one kind of wrong drives."""
    patch.setattr(recorded, 'SHORTEST_M', 5.0)
    patch.setattr(calibrate, 'LEAST_RUNS', 2)
    patch.setattr(calibrate, 'LEAST_IMAGES', 20)
    patch.setattr(calibrate, 'WRONG', ('prior_30m',))
    patch.setattr(calibrate, 'WRONG_RUNS', 1)
    patch.setattr(samples, 'LEAST_LENGTH_M', 2.0)
    patch.setattr(calibration.calibrated, '__defaults__', (calibration.UNCALIBRATED, (1.0,)))


def test_recordings_become_a_data_set_whose_clock_is_known(world, trained):
    drives = open_drives(world.folder / 'drives')
    assert [{keyframe.split for keyframe in drive.keyframes} for drive in drives] == [
        {'train'}, {'validation'}]
    clocks = [drive.facts.truth['clock']['by_odometry'] for drive in drives]
    told = [clock for clock in clocks if clock is not None]
    assert told  # not every drive of eight seconds has the turns that tell it
    for clock in told:
        assert abs(clock['offset_s'] - CLOCK_AHEAD_S) < 3 * clock['sigma_s'] < 0.15


def test_weights_are_trained_on_the_recordings(trained):
    metadata = read_metadata(trained)
    assert metadata['trained_on'] == 'recorded drives'
    assert list(metadata['drives']) == ['city-5000', 'city-5001']


def test_weights_are_calibrated_on_drives_of_their_own(world, figures):
    short = open_drives(world.folder / 'calibration')
    assert [drive.name for drive in short] == ['city-5100', 'city-5101']
    assert {keyframe.split for drive in short for keyframe in drive.keyframes} == {'validation'}
    found = Calibration.of(read_metadata(world.folder / 'world_b.safetensors'))
    assert found.fitted_on.startswith(
        'recorded drives of calibration, validation: 2 drives, 2 pieces of road, ')
    assert found.bias_m < TRUSTING.bias_m, 'errors are less than caution has them'
    assert found.odds_begin == TRUSTING.odds_begin, 'too few wrong places to fit them'


def test_held_out_drives_of_both_worlds_are_followed(figures):
    assert list(figures) == ['A before', 'A after', 'B before', 'B after']
    for found in figures.values():
        assert 0.05 < found['median_error_m'] < found['p95_error_m'] < 2.0
        assert math.isfinite(found['anees_track'])
    for before, after in (('A before', 'A after'), ('B before', 'B after')):
        assert figures[before]['anees_track'] != figures[after]['anees_track']


def test_the_table_says_how_much_of_the_gap_is_closed(example):
    worse = {'median_error_m': 1.5, 'p95_error_m': 2.0, 'anees_track': 3.0, 'anees_pose': 2.0}
    better = {'median_error_m': 0.5, 'p95_error_m': 1.0, 'anees_track': 1.0, 'anees_pose': 1.0}
    figures = {'A before': better, 'A after': better | {'p95_error_m': 1.1}, 'B before': worse,
               'B after': better | {'median_error_m': 0.8}}
    printed = example['table'](figures)
    assert 'gap between the worlds closed: 70% (median_error_m), 100% (p95_error_m)' in printed
    assert 'change in world A: +0% (median_error_m), +10% (p95_error_m)' in printed
    assert math.isnan(example['gap_closed'](figures | {'B before': better}, 'p95_error_m'))
