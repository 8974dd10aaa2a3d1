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

"""Small grids and sparse matches with a known pose in them."""

from fg2_ros.bench.synthetic import aerial_places
from fg2_ros.solver.grid import BevGrid
import torch


def small_grid(cells=21, cell_m=1.4):
    """Return a square grid of few cells."""
    half = cell_m * (cells - 1) / 2
    axis = torch.linspace(-half, half, cells)
    points = torch.cartesian_prod(axis, axis)
    return BevGrid(points, points, cells, cell_m)


def planted_probabilities(grid, camera, bearing, outliers, generator):
    """Return (1, A, G) probabilities: one aerial cell for each ground cell, a share wrong."""
    places = aerial_places(grid, camera, bearing)
    nearest = torch.cdist(places, grid.aerial).argmin(-1)
    inside = (places.abs() <= grid.aerial.max()).all(-1)
    wrong = torch.rand(len(places), generator=generator) < outliers
    random = torch.randint(len(grid.aerial), nearest.shape, generator=generator)
    partner = torch.where(wrong | ~inside, random, nearest)
    probabilities = torch.full((1, len(grid.aerial), len(places)), 1e-9)
    strength = 0.2 + 0.8 * torch.rand(len(places), generator=generator)
    probabilities[0, partner, torch.arange(len(places))] = strength
    return probabilities


def dual_softmax(scores):
    """Return mutual matching probabilities."""
    return scores.softmax(1) * scores.softmax(2)
