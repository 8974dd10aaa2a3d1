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

"""Networks rewritten for inference."""

from dataclasses import replace
import logging

from fg2_ros.localizer import localizer
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import compile_for_inference, optimise_for_inference
from fg2_ros.settings import SHIPPED_WEIGHTS
import pytest
import torch

CONFIG = replace(
    FG2Config.preset('sim'), ground_image_hw=(32, 64), aerial_image_hw=(32, 32), grid_cells=5)


@pytest.fixture
def network():
    torch.manual_seed(6)
    return optimise_for_inference(FG2Network(CONFIG))


@pytest.fixture(autouse=True)
def forget_compiled():
    """Start and end without compiled code."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def scores(network):
    generator = torch.Generator().manual_seed(7)
    with torch.inference_mode():
        return network(torch.rand(1, 3, 32, 64, generator=generator),
                       torch.rand(1, 3, 32, 32, generator=generator)).scores


@pytest.mark.parametrize('backbone', ['cnn', 'dinov2_vits14'])
def test_compiled_network_gives_the_same_without_a_warning(backbone, caplog):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward
    changes = {} if backbone == 'cnn' else {
        'backbone': backbone, 'channels': 384, 'ground_image_hw': (28, 56),
        'aerial_image_hw': (28, 28), 'panorama_wrap_tokens': 0}
    network = optimise_for_inference(FG2Network(replace(CONFIG, **changes)))
    images = [torch.rand(1, 3, *hw)
              for hw in (network.config.ground_image_hw, network.config.aerial_image_hw)]
    with torch.inference_mode():
        expected = network(*images).scores
        found = compile_for_inference(network, backend)(*images).scores
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert len(graphs) >= 4
    assert not caplog.records


def test_what_cannot_be_compiled_runs_as_it_is_with_one_warning(network, caplog):
    def backend(graph, inputs):
        raise RuntimeError('there is no compiler\nand more')
    expected = scores(network)
    compile_for_inference(network, backend)
    with caplog.at_level(logging.WARNING, 'fg2_ros'):
        assert torch.equal(scores(network), expected)
        scores(network)
    said = [record.getMessage() for record in caplog.records if 'fg2_ros' in record.name]
    assert len(said) == 1 and 'uncompiled' in said[0] and '\n' not in said[0]


def test_a_torch_that_refuses_to_compile_is_no_failure(network, caplog, monkeypatch):
    def refusing(*args, **kwargs):
        raise RuntimeError('torch.compile is not supported here')
    expected = scores(network)
    monkeypatch.setattr(torch, 'compile', refusing)
    with caplog.at_level(logging.WARNING, 'fg2_ros'):
        assert torch.equal(scores(compile_for_inference(network)), expected)
    assert 'uncompiled: torch.compile is not supported here' in caplog.text


def test_wrong_inputs_are_told_as_ever(network):
    compile_for_inference(network, 'eager')
    with pytest.raises(ValueError, match='multiples of 32'):
        network.ground_tokens(torch.rand(1, 3, 33, 64))
    assert network.ground_tokens(torch.rand(1, 3, 32, 64)).shape == (1, 64, 8, 16)


def test_the_localizer_compiles_its_networks_when_asked(monkeypatch):
    compiled = []
    monkeypatch.setattr(localizer, 'compile_for_inference', compiled.append)
    for wanted in (False, True):
        localizer.Localizer.load(SHIPPED_WEIGHTS, None, device='cpu', compiled=wanted)
        assert len(compiled) == wanted
