"""
Draw matched pairs of grid cells from the matching probabilities.

Sampling without replacement is an exponential race: pair i arrives at time ``e_i / P_i`` with
``e_i`` ~ Exp(1), and the first arrivals are exactly a sequential draw, each next pair with
probability proportional to its P (the minimum of independent exponentials is i with probability
``P_i / sum P``, and what remains is memoryless).
"""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple

import numpy as np
import torch
from torch import Tensor

HEAVY_SHARE = 1.25  # times the drawn pairs race one by one on the CPU; see `first_arrivals`
SURVEYED = 2 ** 16  # entries that are looked at to find them
CACHED = 2 ** 17  # entries that stay in a core's cache while they are sorted out


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
        seed = torch.randint(2 ** 63 - 1, (), generator=generator).item()
        rng = np.random.Generator(np.random.SFC64(seed))
        frames = [first_arrivals(frame, count, draws, rng) for frame in weights.numpy()]
        index, weight = (np.stack(values) for values in zip(*frames))
        aerial = index // ground_cells
        return Pairs(*map(torch.from_numpy, (aerial, index - aerial * ground_cells, weight)))
    index, weight = race(weights.flatten(1)[:, None].expand(-1, draws, -1), count, generator)
    aerial = torch.div(index, ground_cells, rounding_mode='floor')
    return Pairs(aerial, index - aerial * ground_cells, weight)


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


def first_arrivals(
        weights: np.ndarray, count: int, draws: int,
        rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """
    Return flat indices and weights, (draws, count) each, of the first arrivals of a race.

    Only what can arrive before a time T at which ``count`` pairs have arrived is made up. Heavy
    pairs race one by one. Each light one arrives as the first event of a Poisson process of
    rate P: all of these together are one process, whose few events until T are drawn by weight.
    So the effort grows with ``count``, not with the size of the matrix, and nothing is left out.

    :param weights: (rows, columns) float32, not negative, contiguous.
    """
    flat = weights.ravel()
    bound = _heavy_bound(flat, int(HEAVY_SHARE * count))
    pairs = _SortedOut(weights, bound)
    heavy_weight = flat[pairs.heavy]
    until = _horizon(heavy_weight.astype(float), pairs.light_mass, bound, count)
    drawn, weight = np.zeros((draws, count), np.int64), np.zeros((draws, count), np.float32)
    for draw, (light, light_arrival) in enumerate(pairs.light_events(until, draws, rng)):
        arrival = rng.standard_exponential(len(pairs.heavy), np.float32)
        arrival /= heavy_weight
        arrival = np.concatenate((arrival, light_arrival))
        found = min(count, len(arrival))
        first = _smallest(arrival, found)
        drawn[draw, :found] = np.concatenate((pairs.heavy, light))[first]
        weight[draw, :found] = np.concatenate((heavy_weight, flat[light]))[first]
    return drawn, weight


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the smallest values are; torch is twice as fast as NumPy's argpartition."""
    return torch.from_numpy(values).topk(count, largest=False, sorted=False).indices.numpy()


def _heavy_bound(flat: np.ndarray, wanted: int) -> float:
    """Return a weight which about ``wanted`` entries exceed."""
    stride = max(len(flat) // SURVEYED, 1)
    surveyed = flat[::stride]
    rank = len(surveyed) - wanted // stride
    return float(np.partition(surveyed, rank)[rank]) if rank > 0 else 0.0


def _horizon(heavy: np.ndarray, light_mass: float, bound: float, count: int) -> float:
    """
    Return a time until which ``count`` pairs have arrived (almost) for certain.

    Light pairs, each at most of weight ``bound``, are counted as their concavity allows at least.
    Where weights vary too much for that, time ends when there were four times as many events.
    """
    target = count + 6 * math.sqrt(count)
    if not light_mass:
        return math.inf
    low, high = target / (heavy.sum() + light_mass), 4 * target / light_mass
    for _ in range(12):
        middle = math.sqrt(low * high)
        light = light_mass * -math.expm1(-bound * middle) / bound
        if -np.expm1(-heavy * middle).sum() + light < target:
            low = middle
        else:
            high = middle
    return high


class _SortedOut:
    """
    The heavy entries of a matrix, and the others ready to be drawn by weight.

    :param weights: (rows, columns).
    :param bound: heavier entries are heavy.
    """

    def __init__(self, weights: np.ndarray, bound: float):
        """Look for the heavy entries and sum the others along the rows."""
        rows, self._columns = weights.shape
        light, heavy = np.empty_like(weights), []
        step = max(CACHED // self._columns, 1)
        for start in range(0, rows, step):
            part = light[start:start + step]
            part[:] = weights[start:start + step]
            found = np.flatnonzero(part > bound)
            part.ravel()[found] = 0
            torch.from_numpy(part).cumsum_(1)  # several times as fast as NumPy's
            heavy.append(found + start * self._columns)
        self.heavy = np.concatenate(heavy)
        self._cumulative, self._row_mass = light.ravel(), light[:, -1].astype(float)
        self.light_mass = float(self._row_mass.sum())

    def light_events(
            self, until: float, draws: int,
            rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for each draw the flat indices of who arrives before a time, and when first."""
        rate = self._row_mass * (until * draws) if self.light_mass else self._row_mass
        index = self._drawn_within(np.repeat(np.arange(len(rate)), rng.poisson(rate)), rng)
        index_bits = len(self._cumulative).bit_length()
        time_bits = min(31, 62 - index_bits - draws.bit_length())
        draw, when = (rng.integers(end, size=len(index)) for end in (draws, 1 << time_bits))
        event = (draw << index_bits | index) << time_bits | when
        event = torch.from_numpy(event).sort().values.numpy()  # by draw, then pair, then time
        event = event[np.diff(event >> time_bits, prepend=-1) > 0]
        ends = np.searchsorted(event, np.arange(1, draws) << (index_bits + time_bits))
        for part in np.split(event, ends):
            arrival = (part & ((1 << time_bits) - 1)) * (until / (1 << time_bits))
            yield part >> time_bits & ((1 << index_bits) - 1), arrival.astype(np.float32)

    def _drawn_within(self, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a flat index drawn by weight for each row: a binary search in all at once."""
        mass = self._row_mass[row].astype(np.float32)
        wanted = np.minimum(
            rng.random(len(row), np.float32) * mass, np.nextafter(mass, np.float32(0)))
        found, among = row * self._columns, self._columns
        while among > 1:
            half = among // 2
            found += half * (self._cumulative.take(found + (half - 1)) <= wanted)
            among -= half
        return found
