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

"""A whole run on recorded drives, with weights of a tiny network."""

from dataclasses import replace
import json
from test.helpers.beacon_drive import POSE, write_beacon_drive
from test.helpers.beacon_scene import BeaconScene
from test.helpers.tiny_run import CONFIG

from fg2_ros.datasets.simulated import cities, RenderSettings, write_city
from fg2_ros.network import FG2Network
from fg2_ros.network.weights import load_network, read_metadata, save_weights
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
from fg2_ros.training.drives.run import train_on_drives
from fg2_ros.training.drives.settings import DrivesRun
import pytest
import torch

KNOWN = Calibration(odds_begin=0.7, strength=33.0, bias_m=0.2, fitted_on='streets')


@pytest.fixture(scope='module')
def start(tmp_path_factory):
    path = tmp_path_factory.mktemp('start') / 'start.safetensors'
    torch.manual_seed(0)
    save_weights(FG2Network(CONFIG), path, {
        'trained_on': 'nothing', METADATA_KEY: KNOWN.to_dict()})
    return path


@pytest.fixture(scope='module')
def run(tmp_path_factory, start):
    """Return a run with a data set and rendered frames."""
    folder = tmp_path_factory.mktemp('run')
    write_beacon_drive(folder / 'drives/morning', ['train', 'train', 'validation', ''], 64)
    city, = cities(0, 0)
    write_city(city, folder, RenderSettings(2, CONFIG.ground_image_hw), BeaconScene(POSE),
               [POSE] * 2)
    return DrivesRun(
        folder / 'drives', folder / 'out', start, steps=6, batch=2, validate_every=3, threads=1,
        simulated_share=0.5, cities=(0, 0), frames_per_city=2, cache=folder, device='cpu')


@pytest.fixture(scope='module')
def weights(run):
    return train_on_drives(run, command='fg2 train drives')


def test_weights_say_what_they_are_made_of(weights, start):
    metadata = read_metadata(weights)
    assert load_network(weights).config == CONFIG
    assert metadata['trained_on'] == 'recorded drives and simulation'
    assert metadata['drives'] == {
        'morning': {'train': 2, 'validation': 1, 'left out between the splits': 1}}
    assert metadata['attributions'] == ['the surveyors']
    assert metadata['started_from']['file'] == start.name
    assert metadata['started_from']['trained_on'] == 'nothing'
    assert metadata['command'] == 'fg2 train drives'


def test_weights_are_believed_with_caution_until_drives_calibrate_them(weights, run, tmp_path):
    """What tells right places from wrong ones stays as it was, if it was known."""
    found = Calibration.of(read_metadata(weights))
    assert (found.odds_begin, found.strength) == (KNOWN.odds_begin, KNOWN.strength)
    assert (found.bias_m, found.fitted_on) == (Calibration.bias_m, '')
    unknown = tmp_path / 'unknown.safetensors'
    save_weights(load_network(run.start_from), unknown, {'trained_on': 'nothing'})
    again = train_on_drives(replace(run, out=tmp_path / 'out', start_from=unknown, steps=1))
    assert METADATA_KEY not in read_metadata(again)


def test_the_card_tells_before_and_after(weights):
    card, metadata = weights.with_suffix('.md').read_text(), read_metadata(weights)
    before, after = (metadata[name]['validation_pose'] for name in (
        'validation_before', 'validation'))
    assert f'| pose loss [nats] | {before:.3g} | {after:.3g} |' in card
    assert '| morning | 2 train, 1 validation, 1 left out between the splits |' in card
    assert 'a survey 2024' in card and 'the surveyors' in card and 'cities 0-0' in card


def test_the_best_of_all_validations_is_kept(run, weights):
    records = [json.loads(line) for line in (run.out / 'log.jsonl').read_text().splitlines()]
    losses = {each['step']: each['validation_pose'] for each in records
              if 'validation_pose' in each}
    assert list(losses) == [0, 3, 6]
    assert read_metadata(weights)['validation']['step'] == min(losses, key=losses.get)


def test_a_run_goes_on_with_the_same_drives_only(run, weights, tmp_path):
    train_on_drives(run, resume=True)
    write_beacon_drive(tmp_path / 'drives/evening', ['train', 'validation'], 64)
    with pytest.raises(ValueError, match='other settings'):
        train_on_drives(replace(run, drives=tmp_path / 'drives'), resume=True)


def test_a_pinholes_weights_are_refused(run, tmp_path):
    path = tmp_path / 'pinhole.safetensors'
    save_weights(FG2Network(replace(CONFIG, camera='pinhole')), path, {})
    with pytest.raises(ValueError, match='train networks for panoramas only'):
        train_on_drives(replace(run, start_from=path, out=tmp_path / 'out'))


def test_a_backbone_that_others_trained_stays_as_it_is(run, tmp_path):
    config = replace(
        CONFIG, name='vigor', backbone='dinov2_vits14', channels=384,
        ground_image_hw=(28, 56), aerial_image_hw=(28, 28), aerial_sampling='resize',
        panorama_wrap_tokens=0)
    path = tmp_path / 'vigor.safetensors'
    torch.manual_seed(0)
    save_weights(FG2Network(config), path, {'trained_on': 'VIGOR'})
    weights = train_on_drives(replace(
        run, start_from=path, out=tmp_path / 'out', steps=2, validate_every=2,
        simulated_share=0.0))
    log = [json.loads(line) for line in (weights.parent / 'log.jsonl').read_text().splitlines()]
    kept = torch.load(weights.parent / 'checkpoint.pt')['network']
    before = load_network(path).state_dict()
    assert [each['step'] for each in log] == [0, 2]
    assert all(torch.equal(kept[name], value) for name, value in before.items()
               if name.startswith('backbone.'))
    assert not torch.equal(kept['lifting.queries'], before['lifting.queries'])
