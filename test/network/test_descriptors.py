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

"""The parts of the descriptor head."""

import math

from fg2_ros.network.descriptors import DescriptorHead, linear_attention, sine_encoding
import torch


def test_linear_attention_is_attention_with_another_kernel():
    torch.manual_seed(3)
    query, key, value = (torch.randn(2, 5, 3, 4, dtype=torch.float64) for _ in range(3))
    kernel = torch.einsum(
        'bnhd,bmhd->bhnm', torch.nn.functional.elu(query) + 1,
        torch.nn.functional.elu(key) + 1)
    weights = kernel / kernel.sum(dim=-1, keepdim=True)
    expected = torch.einsum('bhnm,bmhd->bnhd', weights, value)
    torch.testing.assert_close(linear_attention(query, key, value), expected, atol=1e-6, rtol=0)


def test_linear_attention_keeps_its_precision_under_autocast():
    query, key, value = torch.randn(3, 1, 1681, 8, 16, generator=torch.Generator().manual_seed(3))
    expected = linear_attention(query, key, value)
    with torch.autocast('cpu', torch.bfloat16):
        found = linear_attention(query, key, value)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_encoding_interleaves_sines_of_column_and_row_from_one():
    encoding = sine_encoding(8, height=3, width=5)
    assert encoding.shape == (8, 3, 5)
    slow = 1 / 100  # 10000 ** -(2 / 4)
    expected = [
        math.sin(5), math.cos(5), math.sin(2), math.cos(2),
        math.sin(5 * slow), math.cos(5 * slow), math.sin(2 * slow), math.cos(2 * slow)]
    torch.testing.assert_close(encoding[:, 1, 4], torch.tensor(expected))


@torch.no_grad()
def test_descriptors_have_unit_length_and_row_major_cells():
    head = DescriptorHead(6, (8, 16), layers=1, heads=4, map_hw=(3, 5)).eval()
    features = torch.randn(2, 6, 3, 5)
    descriptors = head(features)
    assert descriptors.shape == (2, 15, 16)
    torch.testing.assert_close(descriptors.norm(dim=-1), torch.ones(2, 15))


@torch.no_grad()
def test_cells_differ_by_position_alone():
    head = DescriptorHead(6, (8, 16), layers=1, heads=4, map_hw=(9, 9)).eval()
    descriptors = head(torch.zeros(1, 6, 9, 9)).view(9, 9, 16)
    assert (descriptors[4, 4] - descriptors[4, 5]).norm() > 1e-3
