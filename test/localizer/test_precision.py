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

"""One option says fp32, fp16 or bf16, for networks of every kind."""

from dataclasses import replace
from test.helpers import reference_weights
from test.helpers.truthful_network import FRAME, orthophoto, panorama_at, prior_at

from fg2_ros.localizer import Localizer
from fg2_ros.network import dinov2, FG2Config, FG2Network
from fg2_ros.network.weights import PRECISIONS, save_weights, usable_precision
import numpy as np
import pytest
import torch

SMALL = replace(
    FG2Config.preset('vigor'), backbone='dinov2_vits14', channels=384, iterations=1,
    ffn_of_iteration=(1,), grid_cells=9, height_count=3, grid_extent_m=28.0,
    ground_image_hw=(70, 140), aerial_image_hw=(84, 84))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Return a file of a small network with a ViT-S."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'small.safetensors'
    save_weights(FG2Network(SMALL), path, {})
    return path


@pytest.fixture
def resizes(monkeypatch):
    """Return the grid sizes for which position embeddings were resized."""
    made, resize = [], dinov2.resize_position_embedding

    def noting(embedding, rows, columns):
        made.append((rows, columns))
        return resize(embedding, rows, columns)
    monkeypatch.setattr(dinov2, 'resize_position_embedding', noting)
    return made


@pytest.mark.parametrize('precision', PRECISIONS)
def test_the_localizer_runs_in_every_precision(weights, precision, resizes):
    """All weights have it, the grids keep theirs; embeddings are resized once a size."""
    localizer = Localizer.load(weights, orthophoto(), FRAME, 'cpu', precision)
    network = localizer._matcher._network
    assert {parameter.dtype for parameter in network.parameters()} == {PRECISIONS[precision]}
    assert network.lifting.points.dtype == torch.float32
    for east_m in (0.0, 9.0, 18.0):  # a new patch each
        estimate = localizer.estimate(panorama_at(1.0), prior_at(east_m, 0.0, 1.0))
        assert np.isfinite(estimate.covariance).all() and np.isfinite(estimate.yaw_rad)
    assert sorted(resizes) == [(5, 10), (6, 6)]


@pytest.mark.parametrize('device, capabilities, expected', [
    ('cpu', {'avx512_bf16': True}, torch.bfloat16), ('cpu', {'avx512_bf16': False}, torch.float32),
    ('cpu', {}, torch.float32), ('cuda', {'avx512_bf16': True}, torch.float32)])
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch, device, capabilities, expected):
    """What the processor cannot do makes no difference to the other precisions."""
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    assert usable_precision('auto', torch.device(device)) == expected
    assert usable_precision('fp16', torch.device(device)) == torch.float16


def test_auto_is_fp32_where_torch_does_not_tell(monkeypatch):
    """As older ones do not."""
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    assert usable_precision('auto', torch.device('cpu')) == torch.float32


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_half_precision_gives_nearly_the_same_scores(precision):
    """Of the published head, narrow."""
    dtype = PRECISIONS[precision]
    shapes = reference_weights.narrow_shapes('vigor', 9, 64)
    network = reference_weights.head('vigor', shapes, channels=64, grid_cells=9, height_count=5)
    tokens = [reference_weights.tokens(seed, (1, 64, *hw))
              for seed, hw in ((11, (51, 102)), (12, (45, 45)))]
    with torch.inference_mode():
        full = network.head(*tokens).scores
        half = network.to(dtype).head(*(value.to(dtype) for value in tokens)).scores
    assert half.dtype == torch.float32
    error = (half - full).std() / full.std()
    assert error < {'fp16': 0.02, 'bf16': 0.15}[precision]


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_half_precision_gives_nearly_the_same_tokens(precision):
    """Of a ViT-S."""
    dtype = PRECISIONS[precision]
    torch.manual_seed(0)
    network, image = dinov2.DinoV2('dinov2_vits14').eval(), torch.rand(1, 3, 70, 140)
    with torch.inference_mode():
        full = network(image)
        half = network.to(dtype)(image)
    assert half.dtype == dtype
    assert ((half.float() - full).std() / full.std()) < {'fp16': 0.01, 'bf16': 0.06}[precision]


def test_networks_with_the_same_backbone_share_it(weights, tmp_path):
    """So a second file takes little memory; another backbone stays."""
    (tmp_path / 'link').symlink_to(weights)
    localizer = Localizer.load(
        weights, orthophoto(), FRAME, 'cpu', orientation_weights=tmp_path / 'link')
    assert localizer._heading_finder is localizer._matcher
    torch.manual_seed(0)
    other = FG2Network(SMALL)
    torch.nn.init.normal_(other.dustbin_score)
    backbones = []
    for name in ('same', 'different'):
        save_weights(other, tmp_path / name, {})
        both = Localizer.load(
            weights, orthophoto(), FRAME, 'cpu', orientation_weights=tmp_path / name)
        networks = both._matcher._network, both._heading_finder._network
        assert networks[0].dustbin_score != networks[1].dustbin_score
        backbones.append([network.backbone for network in networks])
        with torch.no_grad():
            other.backbone.cls_token += 1
    assert backbones[0][0] is backbones[0][1]
    assert backbones[1][0] is not backbones[1][1]
