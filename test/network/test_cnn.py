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

"""The compact backbone."""

from fg2_ros.network.cnn import CompactBackbone
import pytest
import torch


@pytest.fixture(params=[True, False], ids=['wrapping', 'bounded'])
def backbone(request):
    torch.manual_seed(5)
    return CompactBackbone(channels=16, wrap=request.param).eval()


@torch.no_grad()
def test_token_map_has_stride_four(backbone):
    assert backbone(torch.rand(2, 3, 64, 128)).shape == (2, 16, 16, 32)


@torch.no_grad()
def test_a_turned_panorama_gives_turned_tokens(backbone):
    image = torch.rand(1, 3, 64, 128)
    turned = backbone(image.roll(32, dims=3))
    expected = backbone(image).roll(8, dims=3)
    assert torch.allclose(turned, expected, atol=1e-4) == backbone.merge.wrap


def test_wrapping_has_the_right_gradient():
    backbone = CompactBackbone(channels=4, wrap=True).double().eval()
    conv = backbone.stem[0]
    image = torch.randn(1, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, image)


def test_odd_sizes_are_refused(backbone):
    with pytest.raises(ValueError, match='100 x 64 .* multiples of 32'):
        backbone(torch.zeros(1, 3, 64, 100))
