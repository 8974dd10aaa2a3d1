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

"""What the benchmark measures against computes the same."""

from functools import partial
from test.helpers import reference_weights

from fg2_ros.bench import naive
from fg2_ros.network.dinov2 import Attention
import pytest
import torch

NARROW = {'grid_cells': 9, 'height_count': 5, 'channels': 64}
GROUND_HW = {'vigor': (51, 102), 'kitti': (26, 88)}


@pytest.fixture(params=GROUND_HW)
def case(request):
    """Return a narrow head, tokens for it and intrinsics."""
    preset = request.param
    torch.manual_seed(0)
    network = reference_weights.head(
        preset, reference_weights.narrow_shapes(preset, 9, 64), **NARROW)
    camera_k = None
    if preset == 'kitti':
        camera_k = torch.tensor([[700.0, 0, 600], [0, 700.0, 180], [0, 0, 1]]).expand(2, 3, 3)
    return network, (torch.randn(2, 64, *GROUND_HW[preset]), torch.randn(2, 64, 36, 36)), camera_k


@torch.inference_mode()
def test_head_has_the_same_scores(case):
    network, tokens, camera_k = case
    found, expected = network.head(*tokens, camera_k), naive.head(
        network, *tokens, camera_k)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)
    # Of a cell that is not seen all heights are equal, and round-off chooses one.
    visible = network.lifting.projections(tokens[0], camera_k)[2].view_as(found.height_index)
    equal = (found.height_index == expected.height_index)[visible]
    assert len(equal) > 30 and equal.float().mean() > 0.99


@pytest.mark.parametrize('dtype, rounding', [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
@torch.inference_mode()
def test_head_has_nearly_the_same_scores_in_half_precision(case, dtype, rounding):
    network, tokens, camera_k = case
    network, tokens = network.to(dtype), [value.to(dtype) for value in tokens]
    found, expected = (
        head(*tokens, camera_k).scores
        for head in (network.head, partial(naive.head, network)))
    assert torch.equal(found.isneginf(), expected.isneginf())
    seen = expected.isfinite()
    error = (found - expected)[seen].std() / expected[seen].std()
    assert error < rounding


@torch.inference_mode()
def test_written_out_self_attention_is_the_fused_one():
    torch.manual_seed(0)
    attention, x = Attention(128), torch.randn(2, 50, 128)
    torch.testing.assert_close(naive.self_attention(attention, x), attention(x))
