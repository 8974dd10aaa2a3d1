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

"""Exported networks, run by ONNX Runtime."""

from dataclasses import replace
import json

from fg2_ros.commands import main
from fg2_ros.network import dinov2, export, FG2Config, FG2Network
from fg2_ros.network.export import branches_of, export_onnx
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.weights import save_weights
import numpy as np
import pytest
import torch

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')

TINY = {
    'backbone': 'dinov2_tiny', 'channels': 128, 'grid_cells': 9, 'height_count': 3,
    'iterations': 2, 'ffn_of_iteration': (1, 2), 'feedforward_channels': 64,
    'descriptor_widths': (64, 32), 'ground_image_hw': (56, 112), 'aerial_image_hw': (70, 70)}
CONFIGS = {
    'panorama': replace(FG2Config.preset('vigor'), **TINY),
    'pinhole': replace(FG2Config.preset('kitti'), **TINY)}
MEET_VALUES = {'If', 'Loop', 'NonZero', 'Scan', 'Unique'}  # what fixed shapes rule out


@pytest.fixture
def tiny_transformer(monkeypatch):
    """Have a DINOv2 of two blocks."""
    monkeypatch.setitem(dinov2.SIZES, 'dinov2_tiny', (128, 2))


def tiny_network(camera):
    torch.manual_seed(0)
    network = FG2Network(CONFIGS[camera])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
    return network


def run(path, inputs):
    """Return the outputs by name."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {
        name: value.numpy() for name, value in inputs.items()})))


def assert_is_plain(path):
    """Shapes are fixed, operators standard ones, and none depends on values."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(used.domain, used.version) for used in model.opset_import] == [('', export.OPSET)]
    for value in (*model.graph.input, *model.graph.output):
        assert all(size.dim_value > 0 for size in value.type.tensor_type.shape.dim)
    assert not MEET_VALUES & {node.op_type for node in model.graph.node}


@pytest.mark.usefixtures('tiny_transformer')
@pytest.mark.parametrize('camera', CONFIGS)
def test_branches_give_what_the_network_gives(camera, tmp_path):
    network = optimise_for_inference(tiny_network(camera))
    torch.manual_seed(1)
    for branch in branches_of(network):
        path = tmp_path / f'{branch.name}.onnx'
        assert export_onnx(branch, path) < 1e-4
        assert_is_plain(path)
        inputs = {name: torch.rand_like(value) if name == 'image' else value * 1.1
                  for name, value in branch.inputs.items()}
        with torch.inference_mode():
            expected = dict(zip(branch.outputs, branch.module(*inputs.values())))
        found = run(path, inputs)
        assert list(found) == list(expected)
        np.testing.assert_allclose(found['descriptors'], expected['descriptors'], atol=1e-4)
        for name in set(found) - {'descriptors'}:
            assert (found[name] == expected[name].numpy()).mean() > 0.98
    assert ('visible' in branches_of(network)[0].outputs) == (camera == 'pinhole')


def test_shipped_network_as_files(tmp_path, capsys):
    assert main(['export', '--out', str(tmp_path / 'made' / 'here')]) == 0
    folder = tmp_path / 'made' / 'here'
    said = json.loads((folder / 'network.json').read_text())
    assert said['opset'] == export.OPSET and len(said['weights']['sha256']) == 64
    assert said['config']['name'] == 'sim' and said['temperature'] == 0.1
    assert set(said['files']) == {'ground.onnx', 'aerial.onnx'}
    for name, file in said['files'].items():
        assert_is_plain(folder / name)
        assert file['largest_difference'] < 1e-4
        images = {key: torch.rand(about['shape']) for key, about in file['inputs'].items()}
        outputs = run(folder / name, images)
        assert {key: (list(value.shape), str(value.dtype)) for key, value in outputs.items()} == {
            key: (about['shape'], about['type']) for key, about in file['outputs'].items()}
    assert capsys.readouterr().out.count('ONNX Runtime') == 2


def test_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, 'find_spec', lambda name: None if name == 'onnxscript' else name)
    assert main(['export', '--out', str(tmp_path)]) == 1
    assert 'onnxscript: pip install -r requirements/export.txt' in capsys.readouterr().err


@pytest.mark.usefixtures('tiny_transformer')
def test_a_wrong_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(export, '_difference', lambda *_: float('nan'))
    branch = branches_of(optimise_for_inference(tiny_network('panorama')))[1]
    with pytest.raises(ValueError, match='aerial branch differs'):
        export_onnx(branch, tmp_path / 'aerial.onnx')


@pytest.mark.usefixtures('tiny_transformer')
def test_any_weights_file_will_do(tmp_path):
    save_weights(tiny_network('pinhole'), tmp_path / 'weights', {'trained_on': 'nothing'})
    arguments = ['--format', 'onnx', '--weights', str(tmp_path / 'weights')]
    assert main(['export', *arguments, '--out', str(tmp_path)]) == 0
    said = json.loads((tmp_path / 'network.json').read_text())
    assert said['weights']['metadata'] == {'trained_on': 'nothing'}
    assert set(said['files']['ground.onnx']['inputs']) == {'image', 'camera_k'}
