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

"""The metric points of the two matched grids, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.network.config import FG2Config
import torch
from torch import Tensor


@dataclass(frozen=True)
class BevGrid:
    """
    Aerial and ground grid of a network: where the cells of its score matrix lie.

    Both are (row, column) metres, flattened row-major (see `fg2_ros.geometry.se2`).

    :param aerial: (n * n, 2) points from the patch centre.
    :param ground: (rows * n, 2) points from the camera.
    :param cells: n, the points along a side of the aerial grid.
    :param cell_m: metres between neighbouring points.
    """

    aerial: Tensor
    ground: Tensor
    cells: int
    cell_m: float

    @property
    def extent_m(self) -> float:
        """Return how far it is from the first to the last point of a side."""
        return (self.cells - 1) * self.cell_m

    @classmethod
    def of(cls, config: FG2Config, device: torch.device | str = 'cpu') -> BevGrid:
        """Return the grid of a configuration; a pinhole's ground grid ends at the camera's row."""
        half = config.grid_extent_m / 2
        axis = torch.linspace(-half, half, config.grid_cells, device=device)
        aerial = torch.cartesian_prod(axis, axis)
        ground = aerial[:config.ground_rows * config.grid_cells]
        return cls(aerial, ground, config.grid_cells, config.cell_m)
