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

"""The whole network, on the small preset."""

from dataclasses import replace

from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import optimise_for_inference
import pytest
import torch

CONFIG = replace(
    FG2Config.preset('sim'), ground_image_hw=(64, 128), aerial_image_hw=(64, 64), grid_cells=11)


@pytest.fixture
def network():
    torch.manual_seed(6)
    return FG2Network(CONFIG)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(7)
    return (torch.rand(2, 3, 64, 128, generator=generator),
            torch.rand(2, 3, 64, 64, generator=generator))


def randomise_statistics(network):
    """Give batch normalisations something to do in evaluation mode."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)


def test_shapes(network, images):
    matching = network(*images)
    assert matching.scores.shape == matching.probabilities.shape == (2, 121, 121)
    assert matching.height_index.shape == (2, 11, 11)
    assert matching.scores.dtype == torch.float32
    assert matching.scores.abs().max() <= 10.0001


def test_every_weight_learns(network, images):
    network(*images).probabilities.diagonal(dim1=1, dim2=2).sum().backward()
    idle = {name for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.isfinite().all()}
    # What all heights share cannot change their softmax.
    assert idle == {f'lifting.stages.{stage}.height_score.bias' for stage in range(2)}


def test_a_few_steps_fit_a_pair(network, images):
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    target = torch.arange(121).expand(2, -1)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(network(*images).scores, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2


@torch.inference_mode()
def test_aerial_descriptors_can_be_kept(network, images):
    network.eval()
    aerial = network.aerial_descriptors(network.aerial_tokens(images[1]))
    ground = network.ground_descriptors(network.ground_tokens(images[0]))
    assert torch.equal(network.match(aerial, ground).scores, network(*images).scores)


@torch.inference_mode()
def test_items_of_a_batch_do_not_mix(network, images):
    network.eval()
    together = network(*images).scores
    alone = network(images[0][1:], images[1][1:]).scores
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_folded_network_gives_the_same(network, images):
    randomise_statistics(network.eval())
    expected = network(*images)
    folded = optimise_for_inference(optimise_for_inference(network))(*images)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    torch.testing.assert_close(folded.scores, expected.scores, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_half_precision_weights_give_nearly_the_same(network, images):
    network.eval()
    expected = network(*images).scores
    network.to(torch.bfloat16)
    found = network(*(image.to(torch.bfloat16) for image in images))
    assert found.scores.dtype == torch.float32
    assert (found.scores - expected).abs().mean() < 0.1


def test_pinhole_network_lifts_the_half_plane_ahead(images):
    network = FG2Network(replace(CONFIG, camera='pinhole')).eval()
    camera_k = torch.tensor([[60.0, 0, 64], [0, 60.0, 32], [0, 0, 1]]).expand(2, -1, -1)
    matching = network(*images, camera_k)
    assert matching.scores.shape == (2, 121, 66)
    assert 0 < matching.visible.sum() < matching.visible.numel()
    matching.probabilities.sum().backward()
    assert network.lifting.queries.grad.isfinite().all()


@pytest.mark.parametrize('changes, message', [
    ({'backbone': 'resnet'}, "no backbone 'resnet': choose from cnn, dinov2_vits14"),
    ({'backbone': 'dinov2_vits14'}, 'gives 384 channels, not 64')])
def test_unusable_backbones_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FG2Network(replace(CONFIG, **changes))


def test_dinov2_is_shared_by_both_views():
    network = FG2Network(replace(
        CONFIG, backbone='dinov2_vits14', channels=384, grid_cells=5, iterations=1,
        ffn_of_iteration=(1,)))
    assert network.aerial_backbone is None
    assert network.aerial_tokens(torch.rand(1, 3, 28, 42)).shape == (1, 384, 2, 3)
