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

"""The published training: exact in parts, in several processes and after a kill; it learns."""

from dataclasses import replace
import os
import signal
import socket
import subprocess
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import ended
from test.helpers.vigor_kitti_tiny import (
    DROPPING, FRAMES, learned, MACHINE, make_network, make_trainer, NoiseFrames, PANORAMA, PINHOLE,
    RECIPE, VALIDATION_FRAMES, VARIED)

from fg2_ros.training.processes import join_processes, Processes
from fg2_ros.training.vigor_kitti.samples import Key, Schedule
from fg2_ros.training.vigor_kitti.trainer import (
    freeze, head_state, is_better, pose_errors, validation_record)
import numpy as np
import pytest
import torch

ROUNDING = {'rtol': 1e-4, 'atol': 3e-6}  # of Adam's steps, which small gradients double

# The script has one, too, and their number changes the rounding.
pytestmark = pytest.mark.usefixtures('one_thread')


def started(*arguments, **environment):
    """Start the tiny training in a process of its own."""
    return subprocess.Popen(
        [sys.executable, '-m', 'test.helpers.vigor_kitti_tiny', *map(str, arguments)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=os.environ | {'PYTHONPATH': str(ROOT)} | environment)


@pytest.fixture
def pair(monkeypatch):
    """Return the environments of two processes that train together; this one is the first."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = str(free.getsockname()[1])
    both = [{'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': '2',
             'MASTER_ADDR': 'localhost', 'MASTER_PORT': port} for rank in range(2)]
    for name, value in both[0].items():
        monkeypatch.setenv(name, value)
    return both


def assert_same(learned_here, learned_there):
    """Check that two trainings logged and learned the same but for rounding."""
    (records, tensors), (others, other_tensors) = learned_here, learned_there
    for record, other in zip(records, others, strict=True):
        assert record == pytest.approx(other, rel=1e-5, abs=1e-6)
    for name, value in tensors.items():
        torch.testing.assert_close(other_tensors[name], value, **ROUNDING, msg=name)


def test_killed_and_resumed_run_ends_as_the_uninterrupted_one(tmp_path):
    """With dropout, random rolls and features on disk; bit by bit."""
    straight, killed = tmp_path / 'straight', tmp_path / 'killed'

    def run(folder, resume):
        make_trainer(folder, resume, VARIED, MACHINE, DROPPING, cache=folder / 'features').run()
    process = started(killed, '--kill-after', 3)
    ended(process)
    assert process.returncode == -signal.SIGKILL
    assert torch.load(killed / 'checkpoint.pt')['step'] == 2
    run(killed, resume=True)
    run(straight, resume=False)
    ends = [torch.load(folder / 'checkpoint.pt') for folder in (straight, killed)]
    assert [end['step'] for end in ends] == [VARIED.epochs * (FRAMES // VARIED.batch)] * 2
    for name, expected in ends[0]['head'].items():
        assert torch.equal(ends[1]['head'][name], expected), name
    assert ends[0]['best'] == ends[1]['best'] != 'null'
    logs = [(folder / 'log.jsonl').read_text() for folder in (straight, killed)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize('config', [PANORAMA, PINHOLE], ids=['panorama', 'pinhole'])
def test_parts_give_what_the_whole_batch_gives(config):
    """Batch normalisation sees the whole batch in either case."""
    whole = learned(make_trainer(config=config), 2)
    for size in (1, 3):
        machine = replace(MACHINE, micro_batch=size)
        assert_same(whole, learned(make_trainer(config=config, machine=machine), 2))


def test_parts_compute_the_lifting_again_instead_of_keeping_it():
    trainer = make_trainer(machine=replace(MACHINE, micro_batch=1))
    batches = []
    trainer.network.lifting.register_forward_pre_hook(
        lambda module, inputs: batches.append(len(inputs[0])))
    learned(trainer, 1)
    assert batches == [1] * (2 * RECIPE.batch)


def test_two_processes_give_what_one_gives_and_end_together(tmp_path, pair):
    """Even if one of them can read nothing of the second step."""
    schedule = Schedule(FRAMES, RECIPE.batch, RECIPE.epochs, RECIPE.seed)
    unreadable = [key.frame for key in list(schedule.keys(0, 1, 2))[1]]
    frames = NoiseFrames(FRAMES, unreadable=unreadable)
    other = started(
        tmp_path, '--learn', '--unreadable', *unreadable, '--fail-in', 1, **pair[1])
    with pytest.raises(ValueError, match='process 1 of 2: this data set is not what it seems'):
        with join_processes('cpu') as processes:
            assert (processes.count, processes.is_first) == (2, True)
            here = learned(make_trainer(processes=processes, frames=frames), 3)
            measured = make_trainer(processes=processes).validate()
            make_trainer(tmp_path, recipe=VARIED, config=DROPPING, processes=processes).run()
    ended(other)
    assert other.returncode != 0
    assert [record['frames'] for record in here[0][:2]] == [RECIPE.batch, RECIPE.batch // 2]
    assert_same(here, learned(make_trainer(frames=frames), 3))
    assert measured == pytest.approx(make_trainer().validate(), rel=1e-5)


def test_what_does_not_go_together_is_a_sentence():
    with pytest.raises(ValueError, match='fp16 needs a GPU'):
        make_trainer(recipe=replace(RECIPE, precision='fp16'))
    with pytest.raises(ValueError, match='4 frames cannot be divided among 3 processes'):
        make_trainer(processes=Processes(0, 3))


def test_a_repeated_batch_is_learned():
    recipe = replace(RECIPE, rate=1e-2, batch=2)
    records, _ = learned(make_trainer(recipe=recipe, frames=NoiseFrames(2)), 15)
    loss = [record['info_nce'] + record['pose_m'] for record in records]
    assert np.mean(loss[-3:]) < np.mean(loss[:3]) - 1


def test_only_the_head_learns():
    trainer = make_trainer(recipe=replace(RECIPE, queries='learned'))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    _, after = learned(trainer, 2)
    head = set(head_state(trainer.network))
    idle = {name for name, value in after.items() if torch.equal(value, before[name])}
    # What all heights share cannot change their softmax.
    assert idle & head == {'lifting.stages.0.height_score.bias'}
    assert {name for name in after if 'backbone' in name} == idle - head


def test_published_queries_stay_as_they_were_made():
    trained = freeze(make_network(), with_queries=False)
    assert not any(parameter.shape == (5, 5, 8) for parameter in trained)


def test_mixed_precision_is_close():
    exact, _ = learned(make_trainer(), 1)
    mixed, _ = learned(make_trainer(recipe=replace(RECIPE, precision='bf16')), 1)
    assert mixed[0]['info_nce'] == pytest.approx(exact[0]['info_nce'], rel=0.05)
    assert mixed[0]['info_nce'] != exact[0]['info_nce']


def test_scaled_gradients_change_nothing():
    """A power of two is exact."""
    plain = learned(make_trainer(), 2)
    trainer = make_trainer()
    trainer.scaler = torch.amp.GradScaler('cpu')
    scaled = learned(trainer, 2)
    assert plain[0] == scaled[0] and trainer.state()['scaler']['scale'] == 2 ** 16
    assert all(torch.equal(scaled[1][name], value) for name, value in plain[1].items())


def test_an_overflow_is_skipped_in_half_precision_and_ends_a_run_in_full():
    trainer = make_trainer()
    before = trainer.network.dustbin_score.item()
    trainer.network.dustbin_score.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(ValueError, match='not finite in step 1'):
        learned(trainer, 1)
    trainer.scaler = torch.amp.GradScaler('cpu')
    learned(trainer, 1)
    assert trainer.scaler.get_scale() == 2 ** 15
    assert trainer.network.dustbin_score.item() == before


def test_gradients_are_clipped_only_if_asked():
    lengths = []
    for clip_norm in (0.0, 1e-3):
        trainer = make_trainer(recipe=replace(RECIPE, clip_norm=clip_norm))
        learned(trainer, 1)
        lengths.append(torch.stack([
            parameter.grad.norm() for parameter in trainer.head if parameter.grad is not None
        ]).norm().item())
    assert lengths[1] == pytest.approx(1e-3, rel=1e-3) and lengths[0] > 0.1


def test_unreadable_frames_are_named_once_and_skipped(caplog, tmp_path):
    trainer = make_trainer(tmp_path, frames=NoiseFrames(FRAMES, unreadable={2}))
    records = []
    trainer.run(records.append)
    assert caplog.text.count('there is no image of frame 2') == 1
    assert records[-1]['skipped'] == 1
    # Two batches of four hold frame 2 in at most one of them; an epoch leaves two of ten out.
    assert {record['frames'] for record in records} == {3, 4}


def test_a_step_without_any_frame_ends_the_run_in_a_sentence():
    trainer = make_trainer(frames=NoiseFrames(FRAMES, unreadable=range(FRAMES)))
    with pytest.raises(ValueError, match='no frame of step 1 could be read'):
        trainer.run()


def test_best_epoch_is_told_before_the_checkpoint_says_so(tmp_path):
    trainer = make_trainer(tmp_path)
    best = []
    trainer.run(on_best=lambda record: best.append(record['epoch']))
    measured = [record for record in trainer.folder.records() if 'validation_mean_m' in record]
    errors = [record['validation_mean_m'] for record in measured]
    assert len(measured) == RECIPE.epochs
    assert best == [index + 1 for index in range(3) if errors[index] == min(errors[:index + 1])]
    assert trainer.best['validation_mean_m'] == min(errors)
    assert 'class="chart"' in (tmp_path / 'curves.html').read_text()


def test_other_runs_are_not_overwritten(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.folder.write_checkpoint(trainer.state())
    with pytest.raises(ValueError, match='holds a run already'):
        make_trainer(tmp_path)
    with pytest.raises(ValueError, match='other settings'):
        make_trainer(tmp_path, True, replace(RECIPE, beta=7.0))


def test_errors_are_the_published_ones():
    """Those of t and of R's angle; without a pose those of the patch's centre and up."""
    trainer = make_trainer()
    samples = [trainer.data.validation[Key(0, index)] for index in (0, 1)]
    batch = trainer._batch(samples)
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    losses = trainer.loss(batch, 2)._replace(
        rotation=quarter @ batch.rotation, translation=batch.translation + torch.tensor([3., 4.]),
        ok=torch.tensor([True, False]))
    error_m, error_deg = pose_errors(losses, batch)
    assert error_m.tolist() == pytest.approx([5.0, batch.translation[1].norm().item()])
    assert error_deg.tolist() == pytest.approx([90.0, np.degrees(0.2)], abs=1e-3)
    assert trainer._measured(samples).shape == (4, 2)


def test_the_best_is_that_of_the_smallest_error():
    first, second = ({'validation_mean_m': metres, 'validation_mean_deg': degrees}
                     for metres, degrees in ((3.0, 5.0), (2.0, 6.0)))
    assert is_better(first, None, 'position')
    assert is_better(second, first, 'position') and not is_better(second, first, 'orientation')
    assert is_better({}, {}, 'position')
    assert validation_record(np.zeros((4, 0))) == {}
    assert validation_record(np.ones((4, VALIDATION_FRAMES)))['validation_frames'] == 3
