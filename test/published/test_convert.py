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

"""Published checkpoints become files of this package; what is no checkpoint is refused."""

import argparse
from dataclasses import replace
import hashlib
import io
import os
import pickle
import re
from test.helpers import reference_weights
from test.helpers.truthful_network import FRAME, orthophoto, panorama_at, prior_at
import warnings
import zipfile

from fg2_ros.commands import main
from fg2_ros.localizer import Localizer
from fg2_ros.network import FG2Network
from fg2_ros.network.dinov2 import DinoV2
from fg2_ros.network.weights import load_network, read_metadata
from fg2_ros.published.convert import convert, published_config
from fg2_ros.published.files import read_state_dict
import numpy as np
import pytest
import torch

BACKBONE = 'dinov2_vits14'
SMALL = replace(published_config('vigor', BACKBONE), grid_cells=9, height_count=3)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with a ViT-S and two heads for its 384 channels."""
    folder = tmp_path_factory.mktemp('checkpoints')
    with torch.device('meta'):
        shapes = {name: value.shape for name, value in DinoV2(BACKBONE).state_dict().items()}
    generator = torch.Generator().manual_seed(3)
    torch.save({name: 0.05 * torch.randn(shape, generator=generator)
                for name, shape in shapes.items()}, folder / 'vits14.pth')
    for preset, cells in (('vigor', 9), ('kitti', 41)):
        torch.save(official_head(preset, cells), folder / f'{preset}.pt')
    return folder


def official_head(preset, cells):
    """Return a head under its official names."""
    shapes = reference_weights.narrow_shapes(preset, cells, 384)
    return {name: reference_weights.tensor(name, shape) for name, shape in shapes.items()}


def sha256(path):
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_converted_file_holds_the_checkpoints(folder, tmp_path):
    """Tensor by tensor, and says where they come from."""
    out = tmp_path / 'new' / 'fg2.safetensors'
    done = convert(folder / 'vigor.pt', folder / 'vits14.pth', SMALL, out)
    network = load_network(out)
    assert network.config == SMALL
    backbone = torch.load(folder / 'vits14.pth', weights_only=True)
    assert set(network.backbone.state_dict()) == set(backbone)
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, backbone[name]), name
    head = torch.load(folder / 'vigor.pt', weights_only=True)
    assert torch.equal(network.lifting.queries, head['grd_grid_queries'])
    assert torch.equal(
        network.aerial_head.blocks[0].conv1.weight, head['sat_projector.resblock1.conv1.weight'])
    assert done.tensors == len(backbone) + len(head) - 4
    metadata = read_metadata(out)
    assert metadata == done.metadata
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert metadata['origin'] == {
        'head': {'file': 'vigor.pt', 'sha256': sha256(folder / 'vigor.pt')},
        'backbone': {'file': 'vits14.pth', 'sha256': sha256(folder / 'vits14.pth')}}
    assert metadata['trained_on'] == 'VIGOR'
    assert metadata['queries'] == 'of the checkpoint'
    assert len(metadata['unused']) == 5 and 'mask_token' in metadata['unused']
    assert 'GPL-3.0' in metadata['licence_note'] and 'Apache-2.0' in metadata['licence_note']
    assert str(folder) not in str(metadata)


def test_a_converted_head_gives_the_published_scores(folder, tmp_path):
    """The narrow reference head, through a file."""
    convert(folder / 'vigor.pt', folder / 'vits14.pth', SMALL, tmp_path / 'fg2.safetensors')
    converted = load_network(tmp_path / 'fg2.safetensors')
    direct = FG2Network(replace(SMALL, backbone='cnn')).eval()
    reference_weights.load_reference_head(direct, official_head('vigor', 9))
    tokens = [reference_weights.tokens(seed, (1, 384, *hw))
              for seed, hw in ((1, (9, 18)), (2, (10, 10)))]
    with torch.inference_mode():
        assert torch.equal(converted.head(*tokens).scores, direct.head(*tokens).scores)


@pytest.mark.parametrize('preset', ['vigor', 'kitti'])
def test_the_localizer_takes_a_converted_file(folder, tmp_path, preset):
    """It decides image sizes, grid and camera; the images may have any size."""
    config = replace(
        published_config(preset, BACKBONE), grid_cells=9, ground_image_hw=(70, 140),
        aerial_image_hw=(84, 84), grid_extent_m=30.0)
    torch.save(official_head(preset, 9), tmp_path / 'head.pt')
    convert(tmp_path / 'head.pt', folder / 'vits14.pth', config, tmp_path / 'fg2.safetensors')
    localizer = Localizer.load(tmp_path / 'fg2.safetensors', orthophoto(), FRAME, 'cpu')
    assert localizer.metadata['trained_on'] == preset.upper()
    assert localizer.needs_intrinsics == (preset == 'kitti')
    intrinsics = [np.array([[90.0, 0, 130], [0, 90, 60], [0, 0, 1]])] * localizer.needs_intrinsics
    for width in (100, 256, 140):
        estimate = localizer.estimate(panorama_at(1.0, width), prior_at(0, 0, 1.0), *intrinsics)
        assert np.isfinite(estimate.covariance).all()
        assert estimate.patch.resolution_m == pytest.approx(30.0 / 84)


def test_the_command(folder, tmp_path, capsys):
    """It says what was made of what, and under which terms."""
    out = tmp_path / 'fg2_kitti.safetensors'
    assert main(['convert', '--head', str(folder / 'kitti.pt'), '--backbone',
                 str(folder / 'vits14.pth'), '--preset', 'kitti', '--backbone-name', BACKBONE,
                 '--out', str(out)]) == 0
    said = capsys.readouterr().out
    for words in (sha256(folder / 'kitti.pt'), 'GPL-3.0', 'grd_ffn4', 'mask_token', out.name):
        assert words in said
    network = load_network(out)
    assert network.config == published_config('kitti', BACKBONE)
    assert network.config.camera == 'pinhole' and network.lifting.queries.shape == (21, 41, 384)
    assert main(['convert', '--head', str(folder / 'kitti.pt'), '--backbone',
                 str(folder / 'vits14.pth'), '--preset', 'vigor', '--backbone-name', BACKBONE,
                 '--out', str(out)]) == 1
    assert 'grd_grid_queries has shape (21, 41, 384), not (41, 41, 384)' in capsys.readouterr().err
    assert load_network(out).config.name == 'kitti'


def test_all_misfits_are_named(folder, tmp_path):
    """Of the head and of the backbone."""
    head = official_head('vigor', 9)
    del head['dustbin_score'], head['grd_ffn2.layers.1.bias']
    head |= {'colour': torch.zeros(1), 'size': torch.zeros(1),
             'grd_layer_norm11.bias': torch.zeros(2), 'grd_layer_norm12.bias': torch.zeros(3)}
    torch.save(head, tmp_path / 'head.pt')
    with pytest.raises(ValueError) as caught:
        convert(tmp_path / 'head.pt', folder / 'vits14.pth', SMALL, tmp_path / 'out')
    assert str(caught.value) == (
        f'{tmp_path}/head.pt does not fit the network: '
        'it lacks tensors dustbin_score, grd_ffn2.layers.1.bias; '
        'it has the unknown tensors colour, size; '
        'tensor grd_layer_norm11.bias has shape (2,), not (384,); '
        'tensor grd_layer_norm12.bias has shape (3,), not (384,)')
    with_registers = torch.load(folder / 'vits14.pth', weights_only=True)
    with_registers['register_tokens'] = torch.zeros(1, 4, 384)
    torch.save(with_registers, tmp_path / 'reg4.pth')
    with pytest.raises(ValueError, match='reg4.pth does not fit .*unknown tensor register_tokens'):
        convert(folder / 'vigor.pt', tmp_path / 'reg4.pth', SMALL, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_numbers_that_are_not_finite(folder, tmp_path):
    """A training that diverged is no network."""
    head = official_head('vigor', 9)
    head['dustbin_score'] = torch.tensor(float('nan'))
    torch.save(head, tmp_path / 'head.pt')
    with pytest.raises(ValueError, match='not finite, in dustbin_score'):
        convert(tmp_path / 'head.pt', folder / 'vits14.pth', SMALL, tmp_path / 'out')


def test_a_checkpoint_is_never_replaced(folder, tmp_path):
    """Not even by a slip in --out."""
    head = tmp_path / 'head.pt'
    head.write_bytes((folder / 'vigor.pt').read_bytes())
    before = head.read_bytes()
    with pytest.raises(ValueError, match='would replace a checkpoint'):
        convert(head, folder / 'vits14.pth', SMALL, head)
    assert head.read_bytes() == before


def test_unknown_presets_and_backbones():
    """The known ones are listed."""
    with pytest.raises(ValueError, match="'sim': choose from vigor, kitti"):
        published_config('sim')
    with pytest.raises(ValueError, match="'dinov3': choose from dinov2_vits14"):
        published_config('vigor', 'dinov3')


# Files -----------------------------------------------------------------------------------------

TENSORS = {'a.weight': torch.arange(500.0), 'b': torch.ones(3)}


@pytest.mark.parametrize('wrap', [
    lambda tensors: tensors,
    lambda tensors: {'state_dict': tensors, 'epoch': 7},
    lambda tensors: {'model': tensors, 'optimizer': {'state': {}, 'lr': 0.1}},
    lambda tensors: {f'module.{name}': tensor for name, tensor in tensors.items()},
    lambda tensors: {'model_state_dict': {
        f'module._orig_mod.{name}': tensor for name, tensor in tensors.items()}},
])
@pytest.mark.parametrize('archive', [True, False])
def test_what_trainers_wrap_around_is_taken_off(tmp_path, wrap, archive):
    """In files of today's format and of the old one."""
    path = tmp_path / 'model.pt'
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=archive)
    found = read_state_dict(path)
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def prefixed(prefix):
    """Return the tensors under names with a prefix."""
    return {f'{prefix}{name}': tensor for name, tensor in TENSORS.items()}


@pytest.mark.parametrize('content', [
    pytest.param(content, id=name) for name, content in {
        'numpy numbers': {'state_dict': TENSORS, 'best': np.float64(0.5), 'step': np.int32(7),
                          'flag': np.bool_(True), 'rate': np.float16(0.1)},
        'numpy arrays': {'model': TENSORS, 'history': np.arange(6).reshape(2, 3),
                         'names': np.array(['a', 'bc']), 'mixed': np.array([1, None, 'x'])},
        'numbers among tensors': {**TENSORS, 'epoch': 7, 'n_averaged': torch.tensor(3)},
        'net': {'net': TENSORS, 'acc': 0.5}, 'nested': {'model': {'state_dict': TENSORS}},
        'deep': {'checkpoint': {'model': {'module': TENSORS}}, 'epoch': 1},
        'lightning': {'state_dict': prefixed('model.'), 'optimizer_states': [{'state': {}}],
                      'callbacks': {'early': {'best': torch.tensor(0.1)}}},
        'net in lightning': {'state_dict': prefixed('model.net.')},
        'dinov2 training': {'teacher': {**prefixed('backbone.'),
                                        'dino_head.mlp.0.weight': torch.ones(1),
                                        'ibot_head.last_layer.weight': torch.ones(1)}},
        'swa': {**prefixed('module.'), 'n_averaged': torch.tensor(5)},
        'swa of compiled': {'state_dict': {**prefixed('module._orig_mod.'),
                                           'n_averaged': torch.tensor(5)}},
        'ema alone': {'ema': prefixed('module.'), 'epoch': 3},
        'network and ema': {'model': TENSORS, 'model_ema': {'a.weight': torch.zeros(1)}},
        'average beside it': {**prefixed('model.'), 'ema_model.a.weight': torch.zeros(1)},
        'ema and its online network': {**prefixed('ema_model.'), 'step': torch.tensor(9),
                                       'online_model.a.weight': torch.zeros(1)},
        'nested with module': {'state_dict': {'model': prefixed('module.backbone.')}},
        'an entry of another name': {'generator': TENSORS, 'optimizer': {'m': torch.ones(2)}},
    }.items()])
@pytest.mark.parametrize('archive', [True, False])
def test_what_else_trainers_wrap_around_is_taken_off(tmp_path, content, archive):
    path = tmp_path / 'model.pt'
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    found = read_state_dict(path)
    assert set(found) == set(TENSORS)
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_several_networks_are_named(tmp_path):
    content = {'generator': TENSORS, 'critic': {'layers': TENSORS}, 'optimizer': TENSORS}
    torch.save(content, tmp_path / 'gan.pt')
    with pytest.raises(ValueError, match='gan.pt holds several state dicts: generator, critic'):
        read_state_dict(tmp_path / 'gan.pt')


def test_a_content_that_holds_itself(tmp_path):
    content = {'epoch': 3}
    content['model'] = content
    torch.save(content, tmp_path / 'model.pt')
    with pytest.raises(ValueError, match='holds no state dict, but: epoch, model'):
        read_state_dict(tmp_path / 'model.pt')


def test_a_namespace_is_refused_with_what_to_do(tmp_path):
    torch.save({'state_dict': TENSORS, 'args': argparse.Namespace(lr=0.1)}, tmp_path / 'model.pt')
    with pytest.raises(ValueError, match=r'call argparse.Namespace.*torch.save\(model.state_dict'):
        read_state_dict(tmp_path / 'model.pt')


@pytest.mark.parametrize('version', ['2.5.1', '2.5.1+cu124', '1.13.0', '2.4.0a0+git1'])
def test_a_torch_that_runs_code_reads_no_checkpoint(tmp_path, monkeypatch, version):
    torch.save(TENSORS, tmp_path / 'model.pt')
    for safe in ('2.6.0', '2.13.0+cpu', '2.10.0', '3.0'):
        monkeypatch.setattr(torch, '__version__', safe)
        assert set(read_state_dict(tmp_path / 'model.pt')) == set(TENSORS)
    monkeypatch.setattr(torch, '__version__', version)
    monkeypatch.setattr(torch, 'load', None)
    with pytest.raises(ValueError, match=r'model.pt is not read .*CVE-2025-32434.*"torch>=2.6"'):
        read_state_dict(tmp_path / 'model.pt')


def test_blocks_that_were_trained_in_chunks(folder, tmp_path):
    """Twelve blocks in three chunks: the numbers of the blocks go on."""
    tensors = torch.load(folder / 'vits14.pth', weights_only=True)
    chunked = {re.sub(r'^blocks\.(\d+)', lambda match: (
        f'blocks.{int(match[1]) // 4}.{match[1]}'), name): tensor
        for name, tensor in tensors.items()}
    assert 'blocks.2.11.attn.qkv.weight' in chunked
    torch.save({'teacher': {f'backbone.{name}': tensor for name, tensor in chunked.items()}},
               tmp_path / 'teacher.pth')
    convert(folder / 'vigor.pt', tmp_path / 'teacher.pth', SMALL, tmp_path / 'out')
    loaded = load_network(tmp_path / 'out').backbone.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_packed_archive_is_refused_by_what_it_claims(tmp_path):
    """Before a terabyte is unpacked."""
    torch.save({'a': torch.zeros(5_000_000)}, tmp_path / 'model.pt')
    with zipfile.ZipFile(tmp_path / 'model.pt') as stored, zipfile.ZipFile(
            tmp_path / 'packed.pt', 'w', zipfile.ZIP_DEFLATED) as packed:
        for part in stored.namelist():
            packed.writestr(part, stored.read(part))
    data = bytearray((tmp_path / 'packed.pt').read_bytes())
    with pytest.raises(ValueError, match=r'packed.pt is no checkpoint of torch.save: its 0.0 MB '
                                         'claim to hold 20.0 MB'):
        read_state_dict(tmp_path / 'packed.pt')
    at = data.index(b'PK\x01\x02')
    data[at + 10:at + 12] = b'\x63\0'  # a way of packing that nobody knows
    (tmp_path / 'packed.pt').write_bytes(data)
    with pytest.raises(ValueError, match='packed.pt is (damaged|no checkpoint)'):
        read_state_dict(tmp_path / 'packed.pt')


def test_a_prefix_that_some_names_lack_is_part_of_the_names(tmp_path):
    """So what does not fit is named as it is."""
    torch.save({'module.a': torch.zeros(1), 'b': torch.zeros(1)}, tmp_path / 'model.pt')
    assert set(read_state_dict(tmp_path / 'model.pt')) == {'module.a', 'b'}


class Payload:
    """A pickle that makes a folder when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        """Return what the reader is to call."""
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize('kind', ['archive', 'old', 'plain'])
@pytest.mark.parametrize('place', ['beside', 'instead'])
def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path, kind, place):
    """It does not run; that it would is shown afterwards."""
    marker, path = tmp_path / 'ran', tmp_path / 'model.pt'
    content = TENSORS | {'extra': Payload(marker)} if place == 'beside' else Payload(marker)
    if kind == 'plain':
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == 'archive')
    with pytest.raises(ValueError, match='model.pt is refused: it wants to call (.*)') as caught:
        read_state_dict(path)
    assert kind == 'plain' or 'mkdir' in str(caught.value)
    assert not marker.exists()
    if kind == 'plain':
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.is_dir()


def test_the_command_refuses_code(folder, tmp_path, capsys):
    """With one sentence, and nothing is written."""
    marker, head, out = (tmp_path / name for name in ('ran', 'model.pt', 'out.safetensors'))
    torch.save({'state_dict': Payload(marker)}, head)
    assert main(['convert', '--head', str(head), '--backbone', str(folder / 'vits14.pth'),
                 '--preset', 'vigor', '--out', str(out)]) == 1
    said = capsys.readouterr().err
    assert 'is refused' in said and 'Traceback' not in said
    assert not marker.exists() and not out.exists()


def damaged(kind):
    """Return the bytes of a file that is no good checkpoint."""
    if kind in ('empty', 'text'):
        return b'' if kind == 'empty' else b'<html>404: not found</html>' * 40
    content = torch_bytes(TENSORS, kind.startswith('archive'))
    if kind.endswith('cut'):
        return content[:-300]
    flipped = content.index(TENSORS['a.weight'].numpy().tobytes()) + 1234
    return content[:flipped] + bytes([content[flipped] ^ 1]) + content[flipped + 1:]


def torch_bytes(content, archive):
    """Return what `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


@pytest.mark.parametrize('kind', ['empty', 'text', 'archive cut', 'old cut', 'archive flipped'])
def test_damaged_files(tmp_path, kind):
    """They are named, whatever torch makes of them."""
    path = tmp_path / 'model.pt'
    path.write_bytes(damaged(kind))
    with pytest.raises(ValueError, match='model.pt is damaged'):
        read_state_dict(path)


def test_other_archives(tmp_path):
    """A zip file of something else, and a program of TorchScript."""
    path = tmp_path / 'model.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    with pytest.raises(ValueError, match='model.pt is damaged or not a checkpoint'):
        read_state_dict(path)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
        with pytest.raises(ValueError, match='not a checkpoint .*TorchScript'):
            read_state_dict(path)


@pytest.mark.parametrize('content, said', [
    (torch.zeros(3), 'holds a Tensor, not a state dict'),
    ([1, 2], 'holds a list'),
    ({'epoch': 3, 'lr': 0.1}, 'holds no state dict, but: epoch, lr'),
    ({}, 'holds no state dict, but: nothing')])
def test_no_state_dict(tmp_path, content, said):
    """What is there instead is said."""
    torch.save(content, tmp_path / 'model.pt')
    with pytest.raises(ValueError, match=f'model.pt {said}'):
        read_state_dict(tmp_path / 'model.pt')


def test_missing_checkpoint(tmp_path):
    """The path is named; a folder is not a checkpoint."""
    for path in (tmp_path / 'nowhere.pt', tmp_path):
        with pytest.raises(ValueError, match=f'there is no checkpoint {path}'):
            read_state_dict(path)
