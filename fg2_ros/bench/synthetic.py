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

"""Synthetic matching scores with a known pose, as a well-trained network gives them."""

from __future__ import annotations

from fg2_ros.solver.grid import BevGrid
import torch
from torch import Tensor


def aerial_places(grid: BevGrid, camera: Tensor, bearing: Tensor) -> Tensor:
    """Return where the (G, 2) ground points of a camera lie in the aerial grid, in metres."""
    cosine, sine = torch.cos(bearing), torch.sin(bearing)
    inverse = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    return grid.ground @ inverse.T + camera


def synthetic_scores(
        grid: BevGrid, camera: Tensor, bearing: Tensor, outliers: float,
        generator: torch.Generator, noise_m: float = 0.5) -> Tensor:
    """
    Return (1, A, G) scores of bilinearly shared matches that err by ``noise_m``, a share wrong.

    This is what cross entropy against bilinear targets converges to.

    :param camera: (2,) metres in the aerial grid.
    :param bearing: () radians.
    :param outliers: share of the ground cells that match anything.
    """
    places = aerial_places(grid, camera, bearing)
    places = places + noise_m * torch.randn(places.shape, generator=generator)
    extent = 2 * grid.aerial.max()
    wrong = torch.rand(len(places), 1, generator=generator) < outliers
    random = (torch.rand(places.shape, generator=generator) - 0.5) * extent
    places = torch.where(wrong, random, places)
    axis = grid.aerial[:grid.cells, 1]
    tents = [(1 - (axis - place[:, None]).abs() / grid.cell_m).clamp_min(0)
             for place in places.unbind(-1)]
    shares = (tents[0][:, :, None] * tents[1][:, None, :]).flatten(1)
    background = 0.05 / len(grid.aerial)
    scores = torch.log(0.95 * shares + background)
    jitter = 0.2 * torch.randn(scores.shape, generator=generator)
    return (scores + jitter).T.contiguous()[None] + 6
