"""Draw matched pairs of grid cells from the matching probabilities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Pairs below this share of the mean probability are not drawn on the CPU; see `draw_pairs`.
NEGLIGIBLE = 1e-2


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

    Sampling is an exponential race: pair i arrives at time ``e_i / P_i`` with ``e_i`` ~ Exp(1),
    and the first ``count`` arrivals are exactly a sequential draw without replacement (the
    minimum of independent exponentials is i with probability P_i / sum P, and what remains is
    memoryless).

    On the CPU only pairs with ``P > NEGLIGIBLE * mean(P)`` enter the race. Those left out hold
    at most the share NEGLIGIBLE of all probability (each is below that share of the mean), so
    one draw picks one of them with at most that probability: the race among the rest *is* the
    full race as long as none of them would have arrived. A GPU runs the full race: it is fast
    there, and a data-dependent size would make the host wait.

    :param probabilities: (B, aerial cells, ground cells), not negative.
    :param count: N, pairs in a draw; at most the number of entries.
    :param draws: D, independent draws for each frame.
    :param generator: of the probabilities' device; None for the global one.
    """
    ground_cells = probabilities.shape[-1]
    flat = probabilities.detach().float().flatten(1)
    count = min(count, flat.shape[1])
    if flat.is_cuda:
        index, weight = _race(flat[:, None].expand(-1, draws, -1), count, generator)
    else:
        frames = [_race_of_likely(frame, count, draws, generator) for frame in flat]
        index, weight = (torch.stack(values) for values in zip(*frames))
    aerial = torch.div(index, ground_cells, rounding_mode='floor')
    return Pairs(aerial, index - aerial * ground_cells, weight)


def _race_of_likely(flat: Tensor, count: int, draws: int, generator) -> tuple[Tensor, Tensor]:
    """Race the (entries,) probabilities that matter: (draws, count) indices and weights."""
    likely = (flat > NEGLIGIBLE * flat.mean()).nonzero()[:, 0]
    weight = flat[likely]
    missing = count - len(likely)
    if missing > 0:  # pad with the first pair at weight 0: such a pair never counts
        likely = torch.cat([likely, likely.new_zeros(missing)])
        weight = torch.cat([weight, weight.new_zeros(missing)])
    chosen, weight = _race(weight.expand(draws, -1), count, generator)
    return likely[chosen], weight


def _race(weight: Tensor, count: int, generator) -> tuple[Tensor, Tensor]:
    """Return index and weight of the first ``count`` arrivals along the last dimension."""
    arrival = torch.empty_like(weight, memory_format=torch.contiguous_format)
    rate = arrival.exponential_(generator=generator).reciprocal_().mul_(weight)
    index = rate.topk(count, dim=-1, sorted=False).indices
    return index, weight.gather(-1, index)
