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
The training loss of poses: the true one must be likelier than others near, far and elsewhere.

It is the likelihood that `fg2_ros.solver.posterior` evaluates, but for the interpolation between
grid points, so what is trained is what localizes. Matching cell by cell leaves neighbours that
err together; here only their sum counts, and cells that tell nothing of the pose learn to match
nothing.
"""

from __future__ import annotations

from dataclasses import replace
import math
from typing import NamedTuple

from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.posterior import (
    DenseLikelihood, PoseWindow, PosteriorSettings, smoothing_matrix)
from fg2_ros.solver.procrustes import Alignment, alignment_from_camera
from fg2_ros.training.panorama.matching_loss import Cells
import torch
from torch import nn, Tensor

OTHERS = 95  # poses beside the true one
NEAREST_M, FURTHEST_M = 0.3, 15.0  # their standard deviations, log-uniform
NEAREST_RAD, FURTHEST_RAD = math.radians(0.5), math.radians(12.0)
CELL_SHARE = 4  # one in so many ground cells takes part in a step
START_SHARPNESS = 0.25  # below 1: cells err together, so their sum is too sure of itself
HARDEST = 32  # wrong poses of an aerial patch: the likeliest that a search finds
SEARCH = PosteriorSettings(heaviest=150)
SEARCH_CELLS, SEARCH_HEADINGS, SEARCH_RAD = 12, 3, math.radians(5.0)  # each way, and a step
WRONG_M, WRONG_RAD = 3.0, math.radians(20.0)  # further from the truth a pose is wrong


class Matches(NamedTuple):
    """
    How some ground cells match all aerial cells.

    :param scores: (B, n * n, G).
    :param place: (B, n * n, G) probabilities of where a ground cell lies; ``mutual`` likewise,
        where the aerial cell, too, has to choose the ground cell.
    :param partition: (B, G) logarithms of what the places' probabilities were divided by.
    """

    scores: Tensor
    place: Tensor
    mutual: Tensor
    partition: Tensor


class Poses(NamedTuple):
    """Poses of B cameras in their patches: (B, K, 2) (row, column) metres, (B, K) bearings."""

    camera: Tensor
    bearing: Tensor

    def and_also(self, others: Poses) -> Poses:
        """Return these, followed by others."""
        return Poses(*(torch.cat(pair, 1) for pair in zip(self, others)))


class PoseContrast(nn.Module):
    """
    Cross entropy of the true pose among others, by their likelihood.

    :param temperature: of the scores.
    """

    blur: Tensor

    def __init__(self, grid: BevGrid, temperature: float,
                 settings: PosteriorSettings = PosteriorSettings()):
        super().__init__()
        self.grid, self.temperature, self.settings = grid, temperature, settings
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(START_SHARPNESS)))
        self.register_buffer('blur', smoothing_matrix(grid.cells, settings), persistent=False)

    def forward(self, cells: Cells, truth: Alignment, elsewhere: Cells | None = None) -> Tensor:
        """
        Return the (B,) loss in nats; log 96 for one who knows nothing.

        :param elsewhere: the same ground cells with the aerial cells of another place. With it
            the likeliest wrong poses count, too, those of this place and of the other.
        """
        chosen = torch.randperm(len(self.grid.ground))[:len(self.grid.ground) // CELL_SHARE]
        here, poses = self._matches(cells, chosen), candidates(truth)
        if elsewhere is None:
            logits = self._log_likelihood(here, poses, chosen)
        else:
            there = self._matches(elsewhere, chosen)
            poses = poses.and_also(self._hardest(here, truth, chosen, is_there=True))
            logits = torch.cat([
                self._log_likelihood(here, poses, chosen),
                self._log_likelihood(
                    there, self._hardest(there, truth, chosen, is_there=False), chosen)], 1)
        logits = logits * (self.log_sharpness.exp() * CELL_SHARE)
        return logits.logsumexp(1) - logits[:, 0]

    def _matches(self, cells: Cells, chosen: Tensor) -> Matches:
        scores = cells.aerial @ cells.ground[:, chosen].mT / self.temperature
        partition = cells.over_aerial[:, chosen]
        place = (scores - partition[:, None]).exp()
        mutual = place * (scores - cells.over_ground[..., None]).exp()
        return Matches(scores, place, mutual, partition)

    def _log_likelihood(self, matches: Matches, poses: Poses, chosen: Tensor) -> Tensor:
        """Return (B, K) log-likelihoods."""
        rows = matches.place.unflatten(1, (self.grid.cells, self.grid.cells))
        blurred = (self.blur @ rows.flatten(2)).view_as(rows)
        density = (self.blur @ blurred).flatten(1, 2)
        at = self._sampled(density, self._predicted(*poses, chosen))
        weight = matches.mutual.sum(1)[:, None]
        return (weight * torch.log1p(at / self.settings.floor)).sum(-1)

    @torch.no_grad()
    def _hardest(self, matches: Matches, truth: Alignment, chosen: Tensor, is_there: bool
                 ) -> Poses:
        """
        Return the likeliest wrong poses in a patch, on a grid that is a little off each time.

        :param is_there: whether the true pose is in it.
        """
        grid = replace(self.grid, ground=self.grid.ground[chosen])
        likelihood = DenseLikelihood(
            matches.scores, matches.mutual, grid, SEARCH, matches.partition)
        camera = (torch.rand_like(truth.camera) - 0.5) * self.grid.cell_m
        bearing = truth.bearing + (torch.rand_like(truth.bearing) - 0.5) * SEARCH_RAD
        windows = [
            PoseWindow(camera, bearing + turn, SEARCH_CELLS, SEARCH_HEADINGS, 1, SEARCH_RAD)
            for turn in (0.0, math.pi / 2, math.pi, -math.pi / 2)]
        value = torch.cat([likelihood.evaluate(window).flatten(1) for window in windows], 1)
        pose = torch.cat([window.poses(self.grid.cell_m).flatten(1, 3) for window in windows], 1)
        if is_there:
            value = value.masked_fill(_is_near(pose, truth), -math.inf)
        found = value.topk(HARDEST, dim=1).indices
        camera, bearing = pose.gather(1, found[..., None].expand(-1, -1, 3)).split((2, 1), -1)
        return Poses(camera, bearing[..., 0])

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


def candidates(truth: Alignment) -> Poses:
    """Return poses near and far, of which the first are the truth."""
    shape, device = (len(truth.camera), OTHERS + 1), truth.camera.device

    def scales(nearest: float, furthest: float) -> Tensor:
        return nearest * (furthest / nearest) ** torch.rand(shape)

    camera = torch.randn(*shape, 2) * scales(NEAREST_M, FURTHEST_M)[..., None]
    bearing = torch.randn(shape) * scales(NEAREST_RAD, FURTHEST_RAD)
    camera[:, 0], bearing[:, 0] = 0, 0
    return Poses(truth.camera[:, None] + camera.to(device),
                 truth.bearing[:, None] + bearing.to(device))


def _is_near(pose: Tensor, truth: Alignment) -> Tensor:
    """Return (B, K) whether (B, K, 3) poses are about the true ones."""
    away_m = (pose[..., :2] - truth.camera[:, None]).norm(dim=-1)
    turn = pose[..., 2] - truth.bearing[:, None]
    return (away_m < WRONG_M) & (torch.atan2(turn.sin(), turn.cos()).abs() < WRONG_RAD)
