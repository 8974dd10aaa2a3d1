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

"""Training is reproducible, survives a kill, and learns."""

from dataclasses import replace
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import ended, run_to_its_end
from test.helpers.tiny_run import CONFIG, make_trainer, NoiseDataset, SETTINGS

from fg2_ros.network import FG2Network
from fg2_ros.training.panorama.optimisation import learning_rate
from fg2_ros.training.panorama.trainer import image_batch, PanoramaTrainer, TrainSettings
from fg2_ros.training.processes import join_processes, Processes
import numpy as np
import pytest
import torch

ONE_EXACT_STEP = '--steps', '1', '--exact'


def train(folder: Path, *arguments: str) -> int:
    """Run the tiny training in a process of its own; return its exit code."""
    return run_to_its_end(
        [sys.executable, '-m', 'test.helpers.tiny_run', str(folder), *arguments],
        cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)}).returncode


def test_killed_and_resumed_run_ends_as_the_uninterrupted_one(tmp_path):
    straight, killed = tmp_path / 'straight', tmp_path / 'killed'
    assert train(straight) == 0
    assert train(killed, '--kill-after', '7') == -signal.SIGKILL
    assert train(killed, '--resume') == 0
    ends = [torch.load(folder / 'checkpoint.pt') for folder in (straight, killed)]
    assert [end['step'] for end in ends] == [SETTINGS.steps] * 2
    for part in ('network', 'average', 'reader', 'contrast'):
        for name, expected in ends[0][part].items():
            assert torch.equal(ends[1][part][name], expected), name
    logs = [(folder / 'log.jsonl').read_text() for folder in (straight, killed)]
    assert logs[0] == logs[1]


def test_run_writes_log_curves_and_learns_a_repeated_batch(tmp_path):
    settings = replace(SETTINGS, steps=40, validate_every=20, checkpoint_every=40, peak_rate=5e-3)
    trainer = make_trainer(tmp_path, settings=settings, kinds=settings.batch)
    losses = []
    last = trainer.run(lambda record: losses.append(record['info_nce']))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert last['step'] == 40 and np.isfinite(last['validation_median_m'])
    page = (tmp_path / 'curves.html').read_text()
    assert 'class="chart"' in page and 'http' not in page


def test_pairs_are_learned_and_told_apart(tmp_path):
    settings = replace(SETTINGS, steps=40, validate_every=40, peak_rate=5e-3, pairs=True)
    trainer = make_trainer(tmp_path, settings=settings, kinds=settings.batch)
    records: list[dict] = []
    trainer.run(records.append)
    for loss in ('info_nce', 'pose'):
        values = [record[loss] for record in records]
        assert np.mean(values[-5:]) < np.mean(values[:5]) - 0.3


@pytest.mark.parametrize('batch, processes', [(3, Processes()), (4, Processes(count=2))])
def test_what_does_not_come_in_pairs_is_refused(tmp_path, batch, processes):
    with pytest.raises(ValueError, match='pairs'):
        make_trainer(tmp_path, settings=replace(SETTINGS, batch=batch, pairs=True),
                     processes=processes)


def test_average_follows_the_network_and_its_statistics(tmp_path):
    trainer = make_trainer(tmp_path, settings=replace(SETTINGS, ema_decay=0.0, steps=1))
    trainer.run()
    averaged = trainer.average.state_dict()
    for name, value in trainer.network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(averaged[name], value)


def test_run_starts_with_given_weights_even_of_a_wider_grid(tmp_path):
    torch.manual_seed(7)
    start = FG2Network(replace(CONFIG, grid_extent_m=1.5 * CONFIG.grid_extent_m))
    data = NoiseDataset()
    trainer = PanoramaTrainer(CONFIG, SETTINGS, data, data, tmp_path / 'run', start=start)
    assert trainer.network.config == CONFIG
    for network in (trainer.network, trainer.average):
        assert all(torch.equal(*pair) for pair in zip(network.parameters(), start.parameters()))


def test_weights_of_another_network_are_refused(tmp_path):
    start = FG2Network(replace(CONFIG, height_count=4, temperature=0.3))
    with pytest.raises(ValueError, match='which differs in height_count, temperature'):
        PanoramaTrainer(CONFIG, SETTINGS, None, None, tmp_path / 'run', start=start)
    assert not (tmp_path / 'run').exists()


def test_finished_folder_is_not_overwritten(tmp_path):
    settings = replace(SETTINGS, steps=1)
    make_trainer(tmp_path, settings=settings).run()
    with pytest.raises(ValueError, match='holds a run already'):
        make_trainer(tmp_path, settings=settings)
    with pytest.raises(ValueError, match='other settings'):
        make_trainer(tmp_path, resume=True, settings=replace(settings, peak_rate=0.5))
    with pytest.raises(ValueError, match='other settings'):
        make_trainer(tmp_path, True, settings, origin={'cities': [0, 7]})


def test_a_run_that_gets_worse_ends_early_and_keeps_its_best(tmp_path, monkeypatch):
    settings = replace(SETTINGS, validate_every=2, keep_best=True, patience=2, ema_decay=0.0)
    trainer = make_trainer(tmp_path, settings=settings)
    averages = []

    def validate():
        averages.append({name: value.clone()
                         for name, value in trainer.average.state_dict().items()})
        return {'validation_loss': 1.0, 'validation_pose': [3.0, 2.0, 2.5, 2.1][len(averages) - 1]}
    monkeypatch.setattr(trainer, 'validate', validate)
    record = trainer.run()
    assert (trainer.step, record['step'], record['validation_pose']) == (6, 2, 2.0)
    kept = trainer.average.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in averages[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in averages[3].items())
    again = make_trainer(tmp_path, resume=True, settings=settings)
    assert again.run() == record and again.step == 6
    assert [each['step'] for each in again.folder.records()] == [0, 2, 4, 6]


def test_two_processes_find_the_gradient_that_one_finds(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = str(free.getsockname()[1])
    both = [{'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': '2',
             'MASTER_ADDR': 'localhost', 'MASTER_PORT': port} for rank in range(2)]
    other = subprocess.Popen(
        [sys.executable, '-m', 'test.helpers.tiny_run', str(tmp_path / 'pair'), *ONE_EXACT_STEP],
        cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)} | both[1])
    for name, value in both[0].items():
        monkeypatch.setenv(name, value)
    settings = replace(SETTINGS, steps=1, bfloat16=False, pose_weight=0.0)
    with join_processes('cpu') as processes:
        pair = make_trainer(tmp_path / 'pair', settings=settings, processes=processes)
        pair.run()
    ended(other)
    assert other.returncode == 0
    alone = make_trainer(tmp_path / 'alone', settings=settings)
    alone.run()
    shared = dict(pair.network.named_parameters())
    for name, parameter in alone.network.named_parameters():  # Adam's steps blow up the rounding
        if parameter.grad is not None:
            torch.testing.assert_close(
                shared[name].grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
    statistics = dict(pair.network.named_buffers())
    for name, expected in alone.network.named_buffers():
        torch.testing.assert_close(statistics[name], expected, msg=name)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path):
    with pytest.raises(ValueError, match='cannot be divided among 3 processes'):
        make_trainer(tmp_path, processes=Processes(0, 3))


def test_rates_rise_then_fall():
    settings = TrainSettings(steps=1000)
    rates = [learning_rate(step, 1000, settings.peak_rate, settings.warmup_share)
             for step in range(1000)]
    peak = int(np.argmax(rates))
    assert 35 <= peak <= 41 and rates[peak] == pytest.approx(settings.peak_rate)
    assert np.all(np.diff(rates[:peak]) > 0) and np.all(np.diff(rates[peak:]) < 1e-12)
    assert rates[0] < 0.1 * settings.peak_rate and rates[-1] < 0.02 * settings.peak_rate


def test_image_batch_is_scaled_and_channels_last():
    images = torch.randint(0, 256, (2, 32, 64, 3), dtype=torch.uint8)
    batch = image_batch(images)
    assert batch.shape == (2, 3, *CONFIG.ground_image_hw)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch[1, 2, 3, 4] == images[1, 3, 4, 2] / 255
