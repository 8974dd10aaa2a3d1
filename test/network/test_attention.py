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

"""Deformable attention against its definition, written as loops."""

from fg2_ros.network.attention import DeformableAttention, finite_locations
import pytest
import torch
import torch.nn.functional as F

CHANNELS, HEADS, POINTS = 12, 3, 2


@pytest.fixture
def attention():
    torch.manual_seed(1)
    module = DeformableAttention(CHANNELS, HEADS, POINTS)
    torch.nn.init.normal_(module.sampling_offsets.weight, std=0.3)
    torch.nn.init.normal_(module.attention_weights.weight, std=0.3)
    return module


def bilinear(image, column, row):
    """Return the (C,) value at continuous cell-centred coordinates, zero outside."""
    height, width = image.shape[1:]
    total = torch.zeros(image.shape[0])
    left, top = torch.floor(column).long().item(), torch.floor(row).long().item()
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                total = total + image[:, i, j] * (1 - abs(row - i)) * (1 - abs(column - j))
    return total


def by_definition(module, query, values, reference):
    """Return the attended features of (N, C) queries, for one (N, 2) reference each."""
    height, width = values.shape[1:]
    projected = module.value_proj(values.permute(1, 2, 0)).permute(2, 0, 1)
    offsets = module.sampling_offsets(query).view(-1, HEADS, POINTS, 2)
    weights = module.attention_weights(query).view(-1, HEADS, POINTS).softmax(-1)
    result = torch.zeros(len(query), HEADS, CHANNELS // HEADS)
    for n in range(len(query)):
        for h in range(HEADS):
            part = projected.view(HEADS, -1, height, width)[h]
            for p in range(POINTS):
                column = reference[n, 0] * width + offsets[n, h, p, 0] - 0.5
                row = reference[n, 1] * height + offsets[n, h, p, 1] - 0.5
                result[n, h] += weights[n, h, p] * bilinear(part, column, row)
    return module.output_proj(result.flatten(1)) + query


SAMPLINGS = {'sparse': torch.no_grad, 'dense': torch.enable_grad}  # inference and training


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_equals_its_definition(attention, sampling):
    query, values = torch.randn(2, 7, CHANNELS), torch.randn(2, CHANNELS, 5, 6)
    reference = torch.rand(2, 7, 2) * 1.2 - 0.1  # some samples leave the map
    with SAMPLINGS[sampling]():
        found = attention(query, values, reference).detach()
    for batch in range(2):
        expected = by_definition(attention, query[batch], values[batch], reference[batch])
        torch.testing.assert_close(found[batch], expected)


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_many_references_at_once_equal_one_after_the_other(attention, sampling):
    query, values = torch.randn(2, 7, CHANNELS), torch.randn(2, CHANNELS, 5, 6)
    reference, direction = torch.rand(7, 4, 2) * 1.4 - 0.2, torch.randn(CHANNELS)
    with SAMPLINGS[sampling]():
        pooled, chosen = attention.pool(query, values, reference, direction)
        alone = torch.stack([
            attention.sample(query, values, reference[:, k]) for k in range(4)], dim=2)
    scores = alone @ direction
    expected = (scores.softmax(-1)[..., None] * alone).sum(2)
    torch.testing.assert_close(pooled, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(chosen, scores.argmax(-1))


def test_non_finite_locations_contribute_zero(attention):
    nowhere = torch.tensor([
        [torch.nan, 0.5], [0.5, torch.inf], [-torch.inf, torch.nan], [1e30, 0.5]])
    query = torch.randn(1, 4, CHANNELS, requires_grad=True)
    values = torch.randn(1, CHANNELS, 5, 6)
    reference = finite_locations(nowhere)
    sampled = attention.sample(query, values, reference)
    assert torch.equal(sampled, torch.zeros_like(sampled))
    sampled.sum().backward()
    assert query.grad.isfinite().all()
    with torch.no_grad():
        assert torch.equal(attention.sample(query, values, reference), sampled)


@torch.no_grad()
def test_fresh_heads_look_around_the_reference():
    module = DeformableAttention(8, 4, 2)
    offsets = module.sampling_offsets(torch.randn(1, 8)).view(4, 2, 2)
    torch.testing.assert_close(offsets.sum(dim=0), torch.zeros(2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        F.normalize(offsets[:, 0]), F.normalize(offsets[:, 1]))
    assert offsets.abs().amax() == 1.0


def test_channels_must_divide_among_heads():
    with pytest.raises(ValueError, match='10 channels .* 4 heads'):
        DeformableAttention(10, 4, 2)
