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

"""The proof of world B, tiny: painted drives are recorded, built and trained on."""

import json
import runpy
from test.helpers.paths import ROOT
from test.helpers.tiny_run import CONFIG

import cv2
from fg2_ros import commands
from fg2_ros.datasets.drives import open_drives
from fg2_ros.evaluation.drives.rendered import RenderedDrive
from fg2_ros.network import FG2Network
from fg2_ros.network.weights import read_metadata, save_weights
import numpy as np
import pytest

IMAGES = 32
CLOCK_AHEAD_S = 0.1


class PaintedDrive(RenderedDrive):
    """A drive whose images are painted, not rendered."""

    def panorama(self, index: int) -> np.ndarray:
        """Return a smooth image of its number's own."""
        coarse = np.random.default_rng(index).integers(0, 256, (8, 16, 3)).astype(np.uint8)
        return cv2.resize(coarse, (256, 128), interpolation=cv2.INTER_CUBIC)

    def orthophoto(self) -> np.ndarray:
        """Return a smooth image."""
        coarse = np.random.default_rng(self.spec.seed).integers(0, 256, (40, 40, 3))
        return cv2.resize(coarse.astype(np.uint8), (1920, 1920), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope='module')
def example():
    return runpy.run_path(str(ROOT / 'examples/world_b.py'))


@pytest.fixture(scope='module')
def proof(example, tmp_path_factory):
    """Return the proof and what it found; only calibration and evaluation are not done."""
    made = example['Proof'](
        tmp_path_factory.mktemp('proof'), drives=2, images=IMAGES, rate_hz=4.0, steps=2, batch=2,
        validation_frames=2, simulated_cities=0, calibrating=1, held_out=3, short_images=20)
    there = made.run.__globals__
    shipped = made.folder / 'shipped.safetensors'
    save_weights(FG2Network(CONFIG), shipped, {'trained_on': 'nothing'})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(there, 'open_drive', PaintedDrive)
        patch.setitem(there, 'SHIPPED_WEIGHTS', shipped)
        patch.setitem(there, 'fg2', lambda *words: follow(example['fg2'], shipped, words))
        return made, made.run()


def follow(fg2, shipped, words):
    """Run a command; of those that follow drives, only see that it would be understood."""
    if words[0] not in ('calibrate', 'evaluate'):
        return fg2(*words)
    commands.make_parser().parse_args([str(word) for word in words])
    said = dict(zip(words, words[1:]))
    if words[0] == 'evaluate':
        before = said['--world'] == 'B' and said['--weights'] == shipped
        said['--json'].write_text(json.dumps({
            'median_error_m': 1.5 if before else 0.5, 'p95_error_m': 2.0 if before else 1.0,
            'anees_track': 1.0}))
    return None


def test_recordings_become_a_data_set_whose_clock_is_known(proof):
    made, _ = proof
    drives = open_drives(made.folder / 'drives')
    assert [{keyframe.split for keyframe in drive.keyframes} for drive in drives] == [
        {'train'}, {'validation'}]
    short, = open_drives(made.folder / 'calibration')
    assert {keyframe.split for keyframe in short.keyframes} == {'validation'}
    clocks = [drive.facts.truth['clock']['by_odometry'] for drive in drives]
    told = [clock for clock in clocks if clock is not None]
    assert told  # not every drive of eight seconds has the turns that tell it
    for clock in told:
        assert abs(clock['offset_s'] - CLOCK_AHEAD_S) < 3 * clock['sigma_s'] < 0.15


def test_weights_are_trained_on_the_recordings(proof):
    made, _ = proof
    metadata = read_metadata(made.folder / 'run/fg2_drives.safetensors')
    assert metadata['trained_on'] == 'recorded drives'
    assert list(metadata['drives']) == ['city-5000', 'city-5001']


def test_the_table_says_how_much_of_the_gap_is_closed(proof, example):
    _, figures = proof
    assert list(figures) == ['A before', 'A after', 'B before', 'B after']
    printed = example['table'](figures)
    assert 'gap between the worlds closed: 100% (median_error_m), 100% (p95_error_m)' in printed
    assert 'change of the median in world A: +0%' in printed
    figures['B after'] |= {'median_error_m': 0.8}
    assert example['gap_closed'](figures, 'median_error_m') == pytest.approx(0.7)
