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

"""The race for matched pairs on a CPU, as a Poisson process."""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple

import numpy as np
import torch

HEAVY_SHARE = 1.1  # times the drawn pairs race one by one on the CPU; see `first_arrivals`
SURVEYED_ENTRIES = 2 ** 16  # entries that are looked at to find them
BLOCK = 8  # neighbouring entries whose light weights are summed first
UNTIL = np.tri(BLOCK, dtype=np.float32).T  # multiplies weights of blocks to cumulative ones


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
    pairs = _SortedOut(flat, bound)
    heavy_weight = flat[pairs.heavy]
    until = _horizon(heavy_weight.astype(float), pairs.light_mass, bound, count)
    heavy_arrival = rng.standard_exponential((draws, len(pairs.heavy)), np.float32)
    heavy_arrival /= heavy_weight
    drawn, weight = np.zeros((draws, count), np.int64), np.zeros((draws, count), np.float32)
    for draw, light in enumerate(pairs.light_events(until, draws, rng)):
        arrival = np.concatenate((heavy_arrival[draw], light.arrival))
        found = min(count, len(arrival))
        first = _smallest(arrival, found)
        drawn[draw, :found] = np.concatenate((pairs.heavy, light.entry))[first]
        weight[draw, :found] = np.concatenate((heavy_weight, light.weight))[first]
    return drawn, weight


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the smallest values are; torch is twice as fast as NumPy's argpartition."""
    return torch.from_numpy(values).topk(count, largest=False, sorted=False).indices.numpy()


def _heavy_bound(flat: np.ndarray, wanted: int) -> float:
    """Return a weight which about ``wanted`` entries exceed."""
    stride = max(len(flat) // SURVEYED_ENTRIES, 1)
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


class _Light(NamedTuple):
    """The (N,) flat indices of light entries, their weights, and when they arrive first."""

    entry: np.ndarray
    weight: np.ndarray
    arrival: np.ndarray


class _SortedOut:
    """
    The heavy entries of a matrix, and the others ready to be drawn by weight.

    :param flat: all entries.
    :param bound: heavier entries are heavy, and so are those after the last whole block.
    """

    def __init__(self, flat: np.ndarray, bound: float):
        self._bound = bound
        self._blocks = flat[:len(flat) // BLOCK * BLOCK].reshape(-1, BLOCK)
        heavy = np.flatnonzero(self._blocks > bound)
        mass = self._blocks @ np.ones(BLOCK, np.float32)
        touched = heavy // BLOCK
        mass[touched] = self._light(touched).sum(1)
        self._cumulative = torch.from_numpy(mass).double().cumsum(0).numpy()
        rest = self._blocks.size + np.flatnonzero(flat[self._blocks.size:])
        self.heavy = np.concatenate((heavy, rest))
        self.light_mass = float(self._cumulative[-1]) if len(self._cumulative) else 0.0

    def light_events(
            self, until: float, draws: int,
            rng: np.random.Generator) -> Iterator[_Light]:
        """
        Return for each draw who arrives before a time.

        :param draws: at most 65536.
        """
        events = rng.poisson(until * draws * self.light_mass) if self.light_mass else 0
        # Sums of exponentials over their total are uniform numbers in ascending order.
        place = rng.standard_exponential(events + 1).cumsum()
        index, weight = self._found(place[:-1] * (self.light_mass / place[-1]))
        draw = rng.integers(draws, size=len(index), dtype=np.uint16)
        order = draw.argsort(kind='stable')
        index, draw = index[order], draw[order].astype(int)
        first = np.flatnonzero(np.diff(draw * self._blocks.size + index, prepend=-1))
        arrival = rng.random(len(index), np.float32) * np.float32(until)
        arrival = np.minimum.reduceat(arrival, first) if len(first) else arrival
        ends = np.searchsorted(draw[first], np.arange(1, draws))
        return map(_Light, *(
            np.split(values, ends) for values in (index[first], weight[order][first], arrival)))

    def _found(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and weights of the light entries at ascending places in their mass."""
        block = self._cumulative.searchsorted(place, side='right')
        block = np.minimum(block, len(self._blocks) - 1)
        weight = self._light(block)
        cumulative = weight @ UNTIL
        place = (place - self._cumulative[block]).astype(np.float32) + cumulative[:, -1]
        entry = ((cumulative <= place[:, None]) @ np.ones(BLOCK, np.float32)).astype(int)
        entry = np.minimum(entry, BLOCK - 1)
        weight = weight[np.arange(len(entry)), entry]
        drawn = weight > 0  # unless rounded to a neighbour
        return (block * BLOCK + entry)[drawn], weight[drawn]

    def _light(self, block: np.ndarray) -> np.ndarray:
        """Return the (N, BLOCK) weights in blocks, 0 for heavy ones."""
        weight = self._blocks.take(block, axis=0)
        weight[weight > self._bound] = 0
        return weight
