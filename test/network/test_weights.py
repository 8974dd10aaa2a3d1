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

"""Weights on disk, and weights of others."""

from dataclasses import replace
import json
from test.helpers import reference_weights

from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import (
    load_network, network_without_weights, read_metadata, save_weights, with_metadata)
from fg2_ros.published import names
from fg2_ros.published.checkpoints import load_reference_backbone, load_reference_head
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
import torch

CONFIG = replace(FG2Config.preset('sim'), grid_cells=9, height_count=3)
METADATA = {'trained_on': 'simulation', 'error_m': 0.5, 'seeds': [0, 999]}


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(9)
    return FG2Network(CONFIG).eval()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / 'weights.safetensors'
    save_weights(network, path, METADATA)
    return path


def rewrite(path, change):
    """Change the tensors of a weights file and keep its header."""
    with safe_open(path, 'pt') as file:
        header = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, header)


def test_what_was_saved_is_loaded(network, saved):
    loaded = load_network(saved)
    assert loaded.config == CONFIG
    assert not loaded.training
    assert read_metadata(saved) == METADATA
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_loads_into_another_precision(saved):
    loaded = load_network(saved, dtype=torch.bfloat16)
    assert loaded.dustbin_score.dtype == torch.bfloat16


def test_saving_leaves_no_partial_file(saved):
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match='no weights file .*nowhere.safetensors'):
        load_network(tmp_path / 'nowhere.safetensors')


@pytest.mark.parametrize('size', [0, 5, 2000, -100])
def test_truncated_file(saved, size):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(ValueError, match='weights.safetensors is damaged'):
        load_network(saved)


def test_garbage(saved):
    saved.write_bytes(b'not weights at all' * 100)
    with pytest.raises(ValueError, match='weights.safetensors is damaged'):
        read_metadata(saved)


def test_foreign_safetensors(saved):
    save_file({'x': torch.zeros(1)}, saved)
    with pytest.raises(ValueError, match='weights.safetensors holds no FG2 configuration'):
        load_network(saved)


@pytest.mark.parametrize('config', [
    '{"name": "sim"}', '[]', 'no json', json.dumps(CONFIG.to_dict() | {'channels': 'many'})])
def test_unusable_configuration(saved, config):
    save_file(load_file(saved), saved, {'config': config, 'metadata': '{}'})
    with pytest.raises(ValueError, match='weights.safetensors holds an unusable configuration'):
        load_network(saved)


@pytest.mark.parametrize('values', [
    {'iterations': 10 ** 7}, {'attention_heads': 0}, {'grid_cells': 2 ** 40},
    {'ground_image_hw': [2 ** 31, 2 ** 31]}, {'backbone': 'resnet'},
    {'backbone': 'dinov2_vits14'}, {'temperature': float('nan')}])
def test_a_configuration_that_makes_no_sense(saved, values):
    """It neither hangs nor takes the memory of the machine."""
    save_file(load_file(saved), saved, {
        'config': json.dumps(CONFIG.to_dict() | values), 'metadata': '{}'})
    for read in (load_network, lambda path: with_metadata(path, path, {'more': 1})):
        if 'backbone' in values and read is not load_network:
            continue
        with pytest.raises(ValueError, match='weights.safetensors holds an unusable configuratio'):
            read(saved)


@pytest.mark.parametrize('metadata', ['[]', '7', 'no json', '[' * 100_000, 'null'])
def test_metadata_that_are_none(saved, metadata):
    save_file(load_file(saved), saved, {
        'config': json.dumps(CONFIG.to_dict()), 'metadata': metadata})
    with pytest.raises(ValueError, match='weights.safetensors holds unreadable metadata'):
        read_metadata(saved)


@pytest.mark.parametrize('name, tensor, message', [
    ('dustbin_score', torch.tensor(float('nan')), 'tensor dustbin_score holds numbers that are'),
    ('dustbin_score', torch.tensor(float('-inf')), 'are not finite'),
    ('dustbin_score', torch.tensor(3e38), 'numbers up to 3e[+]38, which is more than 1e[+]12'),
    ('dustbin_score', torch.tensor(-1e300, dtype=torch.float64), 'numbers up to 1e[+]300'),
    ('dustbin_score', torch.tensor(1), 'numbers of type I64, which no weights have'),
    ('dustbin_score', torch.tensor(True), 'numbers of type BOOL'),
    ('dustbin_score', torch.tensor(1, dtype=torch.uint8), 'numbers of type U8')])
def test_numbers_that_no_network_has(saved, name, tensor, message):
    rewrite(saved, lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(ValueError, match=f'weights.safetensors: .*{message}'):
        load_network(saved)


def test_a_negative_variance(saved):
    """Its root would be no number."""
    def change(tensors):
        name, = [name for name in tensors if name.endswith('running_var')][:1]
        tensors[name] = -tensors[name]
    rewrite(saved, change)
    with pytest.raises(ValueError, match='weights.safetensors: .*running_var holds a negative'):
        load_network(saved)


def test_numbers_too_large_for_a_precision(saved):
    rewrite(saved, lambda tensors: tensors.update(dustbin_score=torch.tensor(1e6)))
    assert load_network(saved).dustbin_score == 1e6
    with pytest.raises(ValueError, match='numbers up to 1e[+]06, which is more than 6.55e[+]04'):
        load_network(saved, dtype=torch.float16)


@pytest.mark.parametrize('size', [2 ** 63, 2 ** 64 - 1, 2 ** 40, 100_000_001, 0])
def test_a_header_of_a_size_that_is_none(saved, size):
    saved.write_bytes(size.to_bytes(8, 'little') + saved.read_bytes()[8:])
    for read in (load_network, read_metadata):
        with pytest.raises(ValueError, match='weights.safetensors is damaged'):
            read(saved)


@pytest.mark.parametrize('change, message', [
    (lambda tensors: tensors.pop('lifting.queries'), 'lacks tensor lifting.queries'),
    (lambda tensors: tensors.update(extra=torch.zeros(1)), 'unknown tensor extra'),
    (lambda tensors: tensors.update(dustbin_score=torch.zeros(2)),
     r'tensor dustbin_score has shape \(2,\), not \(\)')])
def test_tensors_that_do_not_fit(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(ValueError, match=f'weights.safetensors does not fit.*{message}'):
        load_network(saved)


def test_every_tensor_that_does_not_fit_is_named(saved):
    def change(tensors):
        del tensors['lifting.queries'], tensors['dustbin_score']
        tensors.update(extra=torch.zeros(1), other=torch.zeros(1))
        for name in ('lifting.stages.0.self_norm.weight', 'lifting.stages.0.self_norm.bias'):
            tensors[name] = torch.zeros(2)
    rewrite(saved, change)
    with pytest.raises(ValueError) as caught:
        load_network(saved)
    for words in ('lacks tensors dustbin_score, lifting.queries', 'unknown tensors extra, other',
                  'self_norm.weight has shape (2,)', 'self_norm.bias has shape (2,)'):
        assert words in str(caught.value)


def test_files_of_earlier_versions_keep_what_they_were_trained_with(network, saved):
    values = CONFIG.to_dict()
    del values['image_resize']
    save_file(load_file(saved), saved, {'config': json.dumps(values), 'metadata': '{}'})
    assert load_network(saved).config.image_resize == 'area'


def test_nothing_of_a_loaded_network_depends_on_its_file(network, saved):
    loaded = load_network(saved)
    saved.write_bytes(bytes(saved.stat().st_size))  # in place: a memory map would see it
    tokens = torch.rand(1, 64, 8, 16), torch.rand(1, 64, 8, 8)
    with torch.inference_mode():
        assert torch.equal(loaded.head(*tokens).scores, network.head(*tokens).scores)


def test_a_network_without_weights_has_names_and_shapes_only():
    bare = network_without_weights(CONFIG)
    assert {parameter.device.type for parameter in bare.parameters()} == {'meta'}
    assert bare.lifting.points.device.type == 'cpu'


@pytest.mark.parametrize('preset', ['vigor', 'kitti'])
def test_official_heads_fit_tensor_by_tensor(preset):
    network = FG2Network(replace(FG2Config.preset(preset), backbone='cnn'))
    shapes = {official: list(network.state_dict()[ours].shape)
              for official, ours in names.official_names(network).items()}
    unused = {name: list(shape) for name, shape in names.unused_shapes(network).items()}
    assert len(unused) == 4  # the feed-forward of iteration 4
    assert shapes | unused == reference_weights.official_shapes(preset)
    assert len(shapes | unused) == 332


@pytest.fixture
def official():
    shapes = reference_weights.narrow_shapes('vigor', 9, 64)
    return {name: reference_weights.tensor(name, shape) for name, shape in shapes.items()}


def test_queries_of_checkpoints_trained_on_a_gpu_are_made():
    network = FG2Network(replace(FG2Config.preset('kitti'), backbone='cnn', iterations=1))
    tensors = {
        official: network.state_dict()[ours]
        for official, ours in names.official_names(network).items()}
    tensors |= {
        name: torch.zeros(shape)
        for name, shape in names.unused_shapes(network).items()}
    del tensors['grd_grid_queries']
    load_reference_head(network, tensors)
    expected = [0.9837028, 0.53005344, 0.81148326, 0.9270982, 0.8349897, 0.12164515]
    assert network.lifting.queries.flatten()[:6].tolist() == pytest.approx(expected, abs=1e-7)


@pytest.fixture
def vigor_like():
    return FG2Network(replace(
        FG2Config.preset('vigor'), backbone='cnn', channels=64, grid_cells=9, height_count=5))


@pytest.mark.parametrize('name', ['dustbin_score', 'grd_ffn4.layers.1.bias', 'grd_grid_queries'])
def test_reference_head_without_a_tensor(vigor_like, official, name):
    del official[name]
    with pytest.raises(ValueError, match=f'lacks tensor {name}'):
        load_reference_head(vigor_like, official)


def test_reference_head_with_wrong_tensors_changes_nothing(vigor_like, official):
    before = vigor_like.dustbin_score.clone() + 0
    official = official | {'grd_layer_norm11.weight': torch.zeros(3), 'dustbin_score':
                           torch.tensor(7.0)}
    with pytest.raises(ValueError, match=r'grd_layer_norm11.weight has shape \(3,\), not \(64,\)'):
        load_reference_head(vigor_like, official)
    assert torch.equal(vigor_like.dustbin_score, before)


def test_reference_backbone_names_what_is_wrong():
    network = FG2Network(replace(
        FG2Config.preset('vigor'), backbone='dinov2_vits14', channels=384, grid_cells=5,
        iterations=1, ffn_of_iteration=(1,)))
    tensors = {name: value + 1 for name, value in network.backbone.state_dict().items()}
    load_reference_backbone(network, tensors)
    assert torch.equal(network.backbone.cls_token, tensors['cls_token'])
    del tensors['blocks.3.attn.qkv.weight']
    with pytest.raises(ValueError, match='lacks tensor blocks.3.attn.qkv.weight'):
        load_reference_backbone(network, tensors)
