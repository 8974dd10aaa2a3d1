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

"""
Draw matched pairs of grid cells from the matching probabilities.

Sampling without replacement is an exponential race: pair i arrives at time ``e_i / P_i`` with
``e_i`` ~ Exp(1), and the first arrivals are exactly a sequential draw, each next pair with
probability proportional to its P (the minimum of independent exponentials is i with probability
``P_i / sum P``, and what remains is memoryless).
"""

from __future__ import annotations

from typing import NamedTuple

from fg2_ros.solver.sampling_cpu import first_arrivals
import numpy as np
import torch
from torch import Tensor


class Pairs(NamedTuple):
    """
    Drawn pairs of cells.

    :param aerial: (B, D, N) indices of aerial cells.
    :param ground: (B, D, N) indices of ground cells.
    :param weight: (B, D, N) matching probabilities; 0 where a frame had fewer pairs to draw.
    """

    aerial: Tensor
    ground: Tensor
    weight: Tensor


def draw_pairs(
        probabilities: Tensor, count: int, draws: int = 1,
        generator: torch.Generator | None = None) -> Pairs:
    """
    Draw pairs without replacement, each next pair with probability proportional to its P.

    On a GPU all pairs race: it is fast there, and data-dependent sizes would make the host wait.

    :param probabilities: (B, aerial cells, ground cells), not negative.
    :param count: N, pairs in a draw; at most the number of entries.
    :param draws: D, independent draws for each frame.
    :param generator: of the probabilities' device; None for the global one.
    """
    ground_cells = probabilities.shape[-1]
    weights = probabilities.detach().float().contiguous()
    count = min(count, weights[0].numel())
    if _is_on_cpu(weights):
        return _draw_on_cpu(weights, count, draws, generator)
    index, weight = race(weights.flatten(1)[:, None].expand(-1, draws, -1), count, generator)
    aerial = torch.div(index, ground_cells, rounding_mode='floor')
    return Pairs(aerial, index - aerial * ground_cells, weight)


def _draw_on_cpu(
        weights: Tensor, count: int, draws: int, generator: torch.Generator | None) -> Pairs:
    seed = int(torch.randint(2 ** 63 - 1, (), generator=generator))
    rng = np.random.Generator(np.random.SFC64(seed))
    frames = [first_arrivals(frame, count, draws, rng) for frame in weights.numpy()]
    index, weight = (np.stack(values) for values in zip(*frames))
    aerial = index // weights.shape[-1]
    return Pairs(*map(torch.from_numpy, (aerial, index - aerial * weights.shape[-1], weight)))


def _is_on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == 'cpu'


def race(
        weight: Tensor, count: int,
        generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """
    Return index and weight of the first ``count`` arrivals along the last dimension.

    All race, so that a weight that is rounded otherwise can change nothing but its own arrival.
    """
    arrival = torch.empty_like(weight, memory_format=torch.contiguous_format)
    rate = arrival.exponential_(generator=generator).reciprocal_().mul_(weight)
    index = rate.topk(count, dim=-1, sorted=False).indices
    return index, weight.gather(-1, index)
