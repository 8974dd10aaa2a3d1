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

"""Which frames are learned when, what is random about them, and features that are kept."""

from dataclasses import replace
from test.helpers.vigor_kitti_tiny import (
    learned, make_network, make_trainer, NoiseFrames, PANORAMA, RECIPE)

from fg2_ros.datasets.frames import rolled, rotation_of_yaw
from fg2_ros.training.vigor_kitti.feature_cache import backbone_hash, FeatureCache
from fg2_ros.training.vigor_kitti.samples import (
    CrossViewSamples, Key, load_batches, Schedule, Unreadable, Variation)
import numpy as np
import pytest
import torch


def keys(schedule, first_step=0, rank=0, ranks=1):
    return list(schedule.keys(first_step, rank, ranks))


def test_an_epoch_has_every_frame_at_most_once_in_an_order_of_its_own():
    schedule = Schedule(frames=11, batch=4, epochs=3, seed=5)
    steps = keys(schedule)
    assert schedule.steps == len(steps) == 6
    epochs = [steps[2 * epoch] + steps[2 * epoch + 1] for epoch in range(3)]
    for epoch, frames in enumerate(epochs):
        assert {key.epoch for key in frames} == {epoch}
        assert len({key.frame for key in frames}) == 8
    assert len({tuple(key.frame for key in frames) for frames in epochs}) == 3
    assert steps == keys(schedule) != keys(replace(schedule, seed=6))


@pytest.mark.parametrize('first_step', [0, 3])
def test_processes_divide_each_batch_and_take_it_up_anywhere(first_step):
    schedule = Schedule(frames=11, batch=4, epochs=3, seed=5)
    shares = [keys(schedule, first_step, rank, 2) for rank in range(2)]
    whole = keys(schedule)[first_step:]
    assert [sorted(sum(both, [])) for both in zip(*shares)] == [sorted(batch) for batch in whole]


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match='3 training frames do not fill a batch of 4'):
        Schedule(frames=3, batch=4, epochs=1, seed=0)


def test_panoramas_are_rolled_anew_in_each_epoch_and_the_same_again():
    frames = NoiseFrames(2)
    samples = CrossViewSamples(frames, Variation(90.0, False, 1), None)
    first, again, later = (samples[Key(epoch, 1)] for epoch in (3, 3, 4))
    assert torch.equal(first.ground.content, again.ground.content) and first.seed == again.seed
    assert not torch.equal(first.ground.content, later.ground.content)
    assert first.seed != later.seed
    truth = rotation_of_yaw(np.degrees(-0.2))
    turns = [sample.rotation @ truth.T for sample in (first, later)]
    yaws = [-np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) for turn in turns]
    assert all(1 < abs(yaw) < 90 for yaw in yaws) and abs(yaws[0] - yaws[1]) > 1
    for sample, yaw in zip((first, later), yaws):
        expected = rolled(frames[1], yaw)
        assert np.array_equal(sample.ground.content.numpy(), expected.ground)
        assert sample.translation == pytest.approx(expected.translation, abs=1e-5)


def test_drawn_patches_differ_from_epoch_to_epoch():
    samples = CrossViewSamples(NoiseFrames(2), Variation(0.0, True, 1), None)
    first, again, later = (samples[Key(epoch, 1)] for epoch in (3, 3, 4))
    assert torch.equal(first.aerial.content, again.aerial.content)
    assert not torch.equal(first.aerial.content, later.aerial.content)


def test_workers_read_what_this_process_would():
    samples = CrossViewSamples(NoiseFrames(5, unreadable={3}), Variation(20.0, False, 1), None)
    wanted = [[Key(0, 4), Key(0, 0)], [Key(1, 3)]]
    here, there = (list(load_batches(samples, iter(wanted), workers)) for workers in (0, 1))
    assert [len(batch) for batch in there] == [2, 1]
    for one, other in zip(here[0], there[0]):
        assert one.name == other.name and one.seed == other.seed
        assert torch.equal(one.ground.content, other.ground.content)
    assert here[1] == there[1] == [Unreadable('there is no image of frame 3')]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / 'features', 'ab' * 32)


def test_features_are_found_by_the_image(cache):
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    features = torch.randn(8, 2, 3).half()
    assert cache.read(cache.path(image)) is None
    cache.write(cache.path(image), features)
    assert torch.equal(cache.read(cache.path(image.copy())), features)
    others = [image + 1, np.roll(image, 1, 1), image.reshape(5, 4, 3)]
    assert not any(cache.path(other).exists() for other in others)
    assert FeatureCache(cache.folder.parent, 'cd' * 32).path(image) != cache.path(image)


def test_damaged_features_are_made_anew(cache, caplog):
    path = cache.path(np.zeros((4, 4, 3), np.uint8))
    cache.write(path, torch.zeros(8, 2, 2).half())
    for content in (path.read_bytes()[:50], b'', b'nonsense'):
        path.write_bytes(content)
        assert cache.read(path) is None
    assert caplog.text.count('is damaged and made anew') == 3


def test_a_full_disk_ends_keeping_but_not_training(cache, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(np, 'save', full)
    path = cache.path(np.zeros((4, 4, 3), np.uint8))
    for _ in range(2):
        cache.write(path, torch.zeros(8, 2, 2).half())
    assert caplog.text.count('no more features are kept') == 1
    assert not list(cache.folder.rglob('*.*'))


def test_hash_of_a_backbone_knows_its_weights():
    network = make_network()
    before = backbone_hash(network)
    network.dustbin_score.data += 1
    assert backbone_hash(network) == before
    network.aerial_backbone.stem[0].conv.weight.data[0, 0, 0, 0] += 1
    assert backbone_hash(network) != before


def counted(trainer):
    """Return a dictionary that counts the images that go through the backbones."""
    counts = {'ground': 0, 'aerial': 0}
    for name, module in (('ground', trainer.network.backbone),
                         ('aerial', trainer.network.aerial_backbone)):
        def count(module, inputs, name=name):
            counts[name] += len(inputs[0])
        module.register_forward_pre_hook(count)
    return counts


@pytest.mark.parametrize('yaw_range_deg, config, expected', [
    (0.0, PANORAMA, {'ground': 4, 'aerial': 4}),
    (90.0, PANORAMA, {'ground': 8, 'aerial': 4}),
    (0.0, replace(PANORAMA, camera='pinhole'), {'ground': 4, 'aerial': 8})],
    ids=['fixed', 'rolled panoramas', 'drawn patches'])
def test_the_backbone_sees_an_image_that_stays_the_same_once(
        tmp_path, yaw_range_deg, config, expected):
    recipe = replace(RECIPE, random_orientation=yaw_range_deg)
    frames = NoiseFrames(4, config)
    trainer = make_trainer(recipe=recipe, config=config, cache=tmp_path, frames=frames)
    counts = counted(trainer)
    learned(trainer, 2)
    assert counts == expected


def test_kept_features_change_nothing(tmp_path):
    """Neither against fresh ones of a run that keeps them, nor, but for half precision, at all."""
    first, again = (
        learned(make_trainer(cache=tmp_path), 2) for _ in range(2))
    assert first[0] == again[0]
    assert all(torch.equal(first[1][name], again[1][name]) for name in first[1])
    without, _ = learned(make_trainer(), 2)
    assert first[0][1]['info_nce'] == pytest.approx(without[1]['info_nce'], rel=2e-3)
