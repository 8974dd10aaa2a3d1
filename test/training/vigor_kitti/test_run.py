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

"""`fg2 train vigor` and `kitti` on the made-up data sets: what goes in, and what comes out."""

from pathlib import Path
import shutil
import struct
from test.helpers.paths import REFERENCE
from test.helpers.vigor_kitti_tiny import make_network, PANORAMA, PINHOLE

from fg2_ros.commands import main as fg2
from fg2_ros.network.weights import load_network, read_metadata, save_weights
from fg2_ros.training.event_files import EventFiles
from fg2_ros.training.vigor_kitti.run import make_network as network_of_run, split
from fg2_ros.training.vigor_kitti.run_config import RunConfig
import pytest
from tensorboardX.proto.event_pb2 import Event
import torch
import yaml

CONFIGS = {'vigor': PANORAMA, 'kitti': PINHOLE}


def scalars(folder):
    """Return {(tag, step): value} of the event files in a folder."""
    found = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # records of TensorFlow: length, checksum, message, checksum
            length, = struct.unpack('<Q', content[:8])
            event = Event.FromString(content[12:12 + length])
            content = content[16 + length:]
            found |= {(value.tag, event.step): value.simple_value
                      for value in event.summary.value}
    return found


@pytest.fixture
def run_file(tmp_path):
    """Return a function that writes the settings of a tiny run on a data set."""
    def write(data_set):
        config = CONFIGS[data_set]
        save_weights(make_network(config), tmp_path / 'backbone.safetensors', {})
        path = tmp_path / 'settings.yaml'
        path.write_text(yaml.safe_dump({
            'root': str(REFERENCE / f'{data_set}_mini'), 'out': str(tmp_path / 'run'),
            'backbone': str(tmp_path / 'backbone.safetensors'), 'epochs': 2, 'batch': 2,
            'workers': 0, 'validation_share': 0.25, 'network': config.to_dict()}))
        return str(path)
    return write


@pytest.mark.parametrize('data_set', ['vigor', 'kitti'])
def test_a_run_leaves_weights_that_say_where_they_are_from(tmp_path, run_file, data_set):
    command = ['train', data_set, '--config', run_file(data_set), '--beta', '3']
    assert fg2(command) == 0
    run = tmp_path / 'run'
    best = run / f'fg2_{data_set}.safetensors'
    metadata = read_metadata(best)
    assert metadata['trained_on'] == data_set.upper() and metadata['recipe']['beta'] == 3
    assert metadata['validation']['mean_m'] > 0 and metadata['epoch'] in (1, 2)
    assert load_network(best).config == CONFIGS[data_set]
    last = load_network(run / f'fg2_{data_set}_last.safetensors').state_dict()
    given = load_network(tmp_path / 'backbone.safetensors').state_dict()
    kept = {name for name, value in last.items() if torch.equal(value, given[name])}
    assert {name for name in last if 'backbone' in name} <= kept
    assert 'ground_head.blocks.0.conv1.weight' not in kept
    events = scalars(run / 'tensorboard')
    assert ('training/info_nce', 1) in events
    assert any(tag == 'validation/mean_m' for tag, _ in events)
    assert (run / 'curves.html').exists()
    # What the run says of itself makes the same run, which is over.
    assert fg2(['train', data_set, '--config', str(run / 'run.yaml'), '--resume']) == 0
    assert fg2(['train', data_set, '--config', str(run / 'run.yaml')]) == 1


def test_training_can_start_from_weights(tmp_path, run_file):
    run_file('vigor')
    start = str(tmp_path / 'backbone.safetensors')
    common = {'root': str(REFERENCE / 'vigor_mini'), 'out': 'unused', 'start_from': start}
    network = network_of_run(RunConfig.of('vigor', common))
    for name, value in make_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    with pytest.raises(ValueError, match='its own backbone'):
        network_of_run(RunConfig.of('vigor', common | {'backbone': start}))
    with pytest.raises(ValueError, match='for a panorama, not for KITTI'):
        network_of_run(RunConfig.of('kitti', common))


def test_queries_are_published_ones_unless_they_learn(run_file):
    settings = yaml.safe_load(Path(run_file('vigor')).read_text())
    random, again, equal = (
        network_of_run(RunConfig.of('vigor', settings | {'queries': kind})).lifting.queries
        for kind in ('fixed', 'fixed', 'learned'))
    assert torch.equal(random, again) and 0 <= random.min() < 0.1 < 0.9 < random.max() <= 1
    assert random.std(dim=(0, 1)).min() > 0.1 and equal.std(dim=(0, 1)).max() < 1e-6


def test_missing_and_wrong_backbones_are_named(run_file, tmp_path):
    settings = yaml.safe_load(Path(run_file('vigor')).read_text())
    (tmp_path / 'wrong.pth').write_bytes(b'nonsense')
    for backbone, sentence in (
            ('', 'a backbone is needed'), ('none.safetensors', 'there is no weights file'),
            (str(tmp_path / 'wrong.pth'), 'wrong.pth is damaged')):
        with pytest.raises(ValueError, match=sentence):
            network_of_run(RunConfig.of('vigor', settings | {'backbone': backbone}))


def test_broken_labels_are_named_and_what_cannot_be_told_is_a_sentence(
        tmp_path, run_file, caplog, capsys):
    root = shutil.copytree(REFERENCE / 'vigor_mini', tmp_path / 'vigor')
    labels = root / 'splits' / 'Seattle' / 'same_area_balanced_train.txt'
    labels.write_text('nonsense\n' + labels.read_text())
    settings = run_file('vigor')
    command = ['train', 'vigor', '--config', settings, '--root', str(root), '--epochs', '1',
               '--batch', '4', '--validation-share', '0']
    assert fg2(command) == 0
    assert 'same_area_balanced_train.txt, line 1' in caplog.text
    assert fg2([*command, '--backbone', 'none.pth']) == 1
    assert 'there is no checkpoint none.pth' in capsys.readouterr().err


class Numbers(list):
    """A data set of numbers."""

    def subset(self, indices):
        """Return some of them."""
        return [self[index] for index in indices]


def test_frames_are_split_at_random_and_completely():
    frames = Numbers(range(50))
    training, validation = split(frames, 0.2, seed=1)
    assert sorted(training + validation) == frames and len(validation) == 10
    assert (training, validation) == split(frames, 0.2, seed=1) != split(frames, 0.2, seed=2)


def test_event_files_take_back_what_a_killed_run_wrote_beyond_its_checkpoint(tmp_path):
    for step, records in ((0, range(1, 6)), (3, range(4, 6))):
        events = EventFiles(tmp_path, step)
        for index in records:
            events.write({'step': index, 'info_nce': step + index / 8, 'kind': 'text'})
        events.close()
    assert scalars(tmp_path)['training/info_nce', 5] == 3.625
    assert not any('kind' in tag for tag, _ in scalars(tmp_path))


def test_runs_go_on_without_tensorboard(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(__import__('sys').modules, 'tensorboardX', None)
    caplog.set_level('INFO')
    events = EventFiles(tmp_path / 'events', 0)
    events.write({'step': 1, 'info_nce': 1.0})
    events.close()
    assert 'pip install tensorboardX' in caplog.text and not (tmp_path / 'events').exists()
