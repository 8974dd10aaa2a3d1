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

"""Scores between aerial and ground cells, and the probabilities that they match."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
import torch.nn.functional as F


@dataclass(frozen=True)
class GroundDescriptors:
    """What the network knows about the ground cells of a batch."""

    descriptors: Tensor  # (B, cells, d), unit length, row-major
    height_index: Tensor  # (B, rows, columns), the height that made each cell's feature
    visible: Tensor  # (B, cells) bool
    is_masked: bool = False  # whether parts of a panorama were no picture


@dataclass(frozen=True)
class Matching:
    """Scores of all pairs of cells, with the side results that localization needs."""

    scores: Tensor  # (B, aerial cells, ground cells); -inf where a ground cell is not visible
    dustbin_score: Tensor  # scalar
    height_index: Tensor  # (B, rows, columns) of the ground grid
    visible: Tensor  # (B, ground cells) bool
    is_masked: bool = False  # whether parts of a panorama were no picture

    @property
    def probabilities(self) -> Tensor:
        """
        Return the dual softmax of the scores, (B, aerial cells, ground cells), no dustbins.

        It is zero for cells of which a panorama has no picture; yet they compete with the others,
        which are not surer of themselves for their absence.
        """
        return self._softmaxes[0]

    @property
    def log_partition(self) -> Tensor:
        """Return the (B, ground cells) logarithms of the scores' sums of exponentials."""
        return self._softmaxes[1]

    @cached_property
    def _softmaxes(self) -> tuple[Tensor, Tensor]:
        probabilities, log_partition = dual_softmax(self.scores, self.dustbin_score)
        if self.is_masked:
            probabilities.mul_(self.visible[:, None])
        return probabilities, log_partition


def match_scores(
        aerial: Tensor, ground: Tensor, temperature: float,
        visible: Tensor | None = None) -> Tensor:
    """
    Return the (B, aerial cells, ground cells) float32 scores.

    :param aerial: (B, n * n, d) unit descriptors; ``ground``: (B, cells, d).
    :param visible: (B, ground cells) bool; None if all are, which saves a pass over the matrix.
    """
    with torch.autocast(aerial.device.type, enabled=False):
        scores = aerial.float() @ (ground.float() / temperature).transpose(1, 2)
        return scores if visible is None else scores.masked_fill_(
            ~visible[:, None], -torch.inf)


def dual_softmax(scores: Tensor, dustbin_score: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return the product of the softmaxes over either side, each with a dustbin.

    Beside it, as a by-product, the log-sum-exp over the M scores, without the dustbin.

    A dustbin adds one more constant entry to each normaliser, so the matrix itself need not
    be extended. One exponential serves both sides: scores of unit descriptors span too little
    to underflow. Few matrices are made, for memory is what takes time here.

    :param scores: (B, M, N).
    :return: (B, M, N) and (B, N).
    """
    highest = torch.maximum(scores.amax(), dustbin_score.to(scores)).detach()
    exponential = (scores - highest).exp_()
    dustbin = (dustbin_score - highest).exp()
    over_ground = exponential.sum(dim=2, keepdim=True) + dustbin
    partition = exponential.sum(dim=1)
    over_aerial = partition[:, None] + dustbin
    roots = (exponential * over_ground.rsqrt()).mul_(over_aerial.rsqrt())
    return roots.square_(), partition.log() + highest


def resize_map(tokens: Tensor, cells: int, sampling: str) -> Tensor:
    """
    Return a (B, C, cells, cells) version of a (B, C, h, w) aerial map.

    :param sampling: 'resize' as an image (published; cell centres lie half a cell inside the
        patch), or 'points' exactly at the grid's points, which reach from edge to edge.
    """
    if sampling == 'resize':
        return F.interpolate(tokens, (cells, cells), mode='bilinear', align_corners=False)
    axis = torch.linspace(-1, 1, cells, device=tokens.device)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), dim=-1)
    return F.grid_sample(
        tokens.float(), grid.expand(len(tokens), -1, -1, -1), padding_mode='border',
        align_corners=False).to(tokens.dtype)
