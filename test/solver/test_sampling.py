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

"""Drawn pairs: no pair twice, and as often as their probability says."""

from fg2_ros.solver.sampling import draw_pairs, race
import pytest
import torch


def test_draws_are_without_replacement_and_carry_their_probability():
    """Indices and weights belong together; each draw is its own."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, 30, 20, generator=generator)
    pairs = draw_pairs(probabilities, 100, 3, generator)
    assert pairs.weight.shape == (2, 3, 100)
    index = pairs.aerial * 20 + pairs.ground
    assert all(len(set(draw.tolist())) == 100 for draw in index.flatten(0, 1))
    assert torch.equal(pairs.weight, probabilities.flatten(1)[:, None].expand(
        -1, 3, -1).gather(-1, index))
    assert not torch.equal(index[0, 0].sort().values, index[0, 1].sort().values)


def test_frequencies_are_those_of_sequential_draws():
    """Two of four without replacement: inclusion probabilities worked out by hand."""
    share = torch.tensor([0.4, 0.3, 0.2, 0.1])
    pairs = draw_pairs(share.view(1, 2, 2), 2, 20000, torch.Generator().manual_seed(1))
    index = pairs.aerial * 2 + pairs.ground
    seen = torch.stack([(index == i).any(-1).float().mean() for i in range(4)])
    second = torch.stack([
        sum(share[j] * share[i] / (1 - share[j]) for j in range(4) if j != i) for i in range(4)])
    torch.testing.assert_close(seen, share + second, atol=0.015, rtol=0)


@pytest.mark.parametrize('spread', [0.0, 1.0, 3.0])
def test_as_often_as_in_a_race_of_all(spread):
    """Each pair's share of draws that hold it, whether weights are equal or very unequal."""
    generator, draws, count = torch.Generator().manual_seed(2), 4000, 60
    weights = torch.exp(spread * torch.randn(1, 25, 40, generator=generator))
    weights[0, 3, 4:20] = 0
    pairs = draw_pairs(weights, count, draws, generator)
    sparse = (pairs.aerial * 40 + pairs.ground)[0]
    full, _ = race(weights.flatten().expand(draws, -1), count, generator)
    share = [torch.bincount(drawn.flatten(), minlength=1000) / draws for drawn in (sparse, full)]
    assert all(len(set(draw.tolist())) == count for draw in sparse[:50])
    apart = (share[0] - share[1]) / (2 * share[1] * (1 - share[1]) / draws + 1e-6).sqrt()
    assert apart.abs().max() < 4.5 and apart.std() < 1.15
    assert not share[0][3 * 40 + 4:3 * 40 + 20].any()
    torch.testing.assert_close(weights.flatten()[sparse], pairs.weight[0])


def test_the_generator_decides():
    """Equal seeds give equal draws."""
    weights = torch.rand(2, 50, 50)
    first, second = (
        draw_pairs(weights, 40, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_layout_in_memory_does_not_matter():
    """A transposed matrix is drawn from as its copy is."""
    weights = torch.rand(1, 40, 30).mT
    found, expected = (
        draw_pairs(values, 50, 2, torch.Generator().manual_seed(5))
        for values in (weights, weights.contiguous()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_too_few_pairs_are_padded_with_weight_zero():
    """What is impossible is never drawn."""
    probabilities = torch.zeros(1, 10, 10)
    probabilities[0, [1, 2, 3], [4, 5, 6]] = 0.5
    pairs = draw_pairs(probabilities, 8)
    drawn = pairs.weight[0, 0] > 0
    assert drawn.sum() == 3
    assert sorted(pairs.aerial[0, 0][drawn].tolist()) == [1, 2, 3]
    assert (draw_pairs(torch.zeros(1, 4, 4), 8).weight == 0).all()
