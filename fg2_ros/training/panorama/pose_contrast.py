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
The training loss of poses: the true one must be likelier than others near and far.

It is the likelihood that `fg2_ros.solver.refinement` climbs, so what is trained is what localizes.
Matching cell by cell leaves neighbours that err together; here only their sum counts, and cells
that tell nothing of the pose learn to match nothing.
"""

from __future__ import annotations

import math

from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, alignment_from_camera
from fg2_ros.solver.refinement import RefinementSettings
from fg2_ros.training.panorama.matching_loss import Cells
import torch
from torch import nn, Tensor

OTHERS = 95  # poses beside the true one
NEAREST_M, FURTHEST_M = 0.3, 15.0  # their standard deviations, log-uniform
NEAREST_RAD, FURTHEST_RAD = math.radians(0.5), math.radians(12.0)
CELL_SHARE = 4  # one in so many ground cells takes part in a step
START_SHARPNESS = 0.5  # below 1: cells err together, so their sum is too sure of itself


class PoseContrast(nn.Module):
    """
    Cross entropy of the true pose among drawn ones, by their likelihood.

    :param temperature: of the scores.
    """

    blur: Tensor

    def __init__(self, grid: BevGrid, temperature: float,
                 settings: RefinementSettings = RefinementSettings()):
        super().__init__()
        self.grid, self.temperature, self.settings = grid, temperature, settings
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(START_SHARPNESS)))
        self.register_buffer('blur', _blur(grid.cells, settings), persistent=False)

    def forward(self, cells: Cells, truth: Alignment) -> Tensor:
        """Return the (B,) loss in nats; log 96 for one who knows nothing."""
        chosen = torch.randperm(len(self.grid.ground))[:len(self.grid.ground) // CELL_SHARE]
        density, weight = self._matched(cells, chosen)
        camera, bearing = candidates(truth)
        at = self._sampled(density, self._predicted(camera, bearing, chosen))
        log_likelihood = (weight[:, None] * torch.log(self.settings.floor + at)).sum(-1)
        logits = log_likelihood * (self.log_sharpness.exp() * CELL_SHARE)
        return logits.logsumexp(1) - logits[:, 0]

    def _matched(self, cells: Cells, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, n * n, G) smooth densities of where G ground cells lie, and their weights."""
        scores = cells.aerial @ cells.ground[:, chosen].mT / self.temperature
        place = (scores - cells.over_aerial[:, None, chosen]).exp()
        mutual = place * (scores - cells.over_ground[..., None]).exp()
        rows = place.unflatten(1, (self.grid.cells, self.grid.cells))
        blurred = (self.blur @ rows.flatten(2)).view_as(rows)
        return (self.blur @ blurred).flatten(1, 2), mutual.sum(1)

    def _predicted(self, camera: Tensor, bearing: Tensor, chosen: Tensor) -> Tensor:
        """Return the (B, K, G, 2) (row, column) in cells where K poses put the ground cells."""
        rotation = alignment_from_camera(camera, bearing).rotation
        points = self.grid.ground[chosen] @ rotation + camera[..., None, :]
        return points / self.grid.cell_m + (self.grid.cells - 1) / 2

    def _sampled(self, density: Tensor, position: Tensor) -> Tensor:
        """Return the (B, K, G) bilinear samples, 0 beyond the grid, of (B, n * n, G) densities."""
        last = self.grid.cells - 1
        inside = ((position >= 0) & (position <= last)).all(-1)
        corner = position.floor().clamp(0, last - 1)
        row, column = (position - corner).clamp(0, 1).unbind(-1)
        index = (corner[..., 0] * self.grid.cells + corner[..., 1]).long()

        def at(step: int) -> Tensor:
            return density.gather(1, index + step)

        upper = at(0) * (1 - column) + at(1) * column
        lower = at(self.grid.cells) * (1 - column) + at(self.grid.cells + 1) * column
        return (upper * (1 - row) + lower * row) * inside


def candidates(truth: Alignment) -> tuple[Tensor, Tensor]:
    """Return (B, K, 2) cameras and (B, K) bearings of which the first are the truth."""
    shape, device = (len(truth.camera), OTHERS + 1), truth.camera.device

    def scales(nearest: float, furthest: float) -> Tensor:
        return nearest * (furthest / nearest) ** torch.rand(shape)

    camera = torch.randn(*shape, 2) * scales(NEAREST_M, FURTHEST_M)[..., None]
    bearing = torch.randn(shape) * scales(NEAREST_RAD, FURTHEST_RAD)
    camera[:, 0], bearing[:, 0] = 0, 0
    return (truth.camera[:, None] + camera.to(device),
            truth.bearing[:, None] + bearing.to(device))


def _blur(cells: int, settings: RefinementSettings) -> Tensor:
    """Return the (n, n) matrix that smooths along one axis, in density per cell."""
    distance = torch.arange(cells)[:, None] - torch.arange(cells)
    kernel = torch.exp(-0.5 * (distance / settings.bandwidth_cells) ** 2)
    kernel = torch.where(distance.abs() <= settings.window_cells, kernel, 0.0)
    return kernel / (math.sqrt(2 * math.pi) * settings.bandwidth_cells)
