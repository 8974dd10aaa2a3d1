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
The training losses of FG2, and a dense, sub-cell variant of its contrastive one.

Poses map aerial to ground grid metres (row, column): ``Y = R X + t``. Scores are (B, aerial
cells, ground cells) of grids with ``n`` columns, row-major, which span ``extent_m`` from side to
side; a ground grid may hold only the first rows (what lies ahead of a pinhole camera).
"""

from __future__ import annotations

import torch
from torch import Tensor

VIRTUAL_GRID_M = 5.0
VIRTUAL_GRID_POINTS = 10  # along a side


def virtual_points(device: torch.device | str = 'cpu') -> Tensor:
    """Return the (100, 2) points of a 5 m x 5 m grid around the origin."""
    half = VIRTUAL_GRID_M / 2
    axis = torch.linspace(-half, half, VIRTUAL_GRID_POINTS, device=device)
    return torch.cartesian_prod(axis, axis)


def virtual_correspondence_error(
        rotation: Tensor, translation: Tensor, true_rotation: Tensor,
        true_translation: Tensor) -> Tensor:
    """
    Return the (B,) mean distance in metres between points moved by either pose.

    :param rotation: (B, 2, 2); ``translation``: (B, 2) metres; likewise the true ones.
    """
    points = virtual_points(rotation.device)
    moved = points @ rotation.transpose(1, 2) + translation[:, None]
    truth = points @ true_rotation.transpose(1, 2) + true_translation[:, None]
    return (moved - truth).norm(dim=-1).mean(dim=-1)


def info_nce(
        scores: Tensor, rotation: Tensor, translation: Tensor, aerial_index: Tensor,
        ground_index: Tensor, extent_m: float) -> Tensor:
    """
    Return the (B,) InfoNCE loss of sampled cells against their rounded true partners.

    Cells whose partner leaves the grid are dropped; a cell sampled twice counts once. As
    published, cells are ``extent_m / n`` apart here, although the grid's points are
    ``extent_m / (n - 1)`` apart. Ground cells whose scores are -inf take no part.

    :param scores: (B, n * n, ground cells).
    :param rotation: (B, 2, 2) and ``translation`` (B, 2): the true pose.
    :param aerial_index: (B, K) flat cells; ``ground_index`` likewise.
    """
    visible = _visible(scores)
    scores = _mask_out(scores, visible)
    pose = (rotation, translation, extent_m / _side(scores))
    partner, inside = _rounded_partners(*pose, scores, towards_ground=True)
    towards_ground = _sampled_nce(
        scores, aerial_index, partner, inside & visible.gather(1, partner))
    partner, inside = _rounded_partners(*pose, scores, towards_ground=False)
    towards_aerial = _sampled_nce(
        scores.transpose(1, 2), ground_index, partner, inside & visible)
    return (towards_ground + towards_aerial) / 2


def dense_info_nce(
        scores: Tensor, rotation: Tensor, translation: Tensor, extent_m: float,
        ground_mask: Tensor | None = None) -> Tensor:
    """
    Return the (B,) InfoNCE loss of all cells against sub-cell targets.

    A cell's true partner lies between four cells of the other grid; they share the target
    with bilinear weights, so scores learn where within a cell the partner is. Cells whose
    partner leaves the grid are dropped, and so are ground cells outside of ``ground_mask``,
    both as members of a pair and as candidates.

    :param scores: (B, n * n, ground cells).
    :param rotation: (B, 2, 2) and ``translation`` (B, 2): the true pose.
    :param ground_mask: (B, ground cells) bool, the cells that are visible; None for those whose
        scores are not -inf.
    """
    ground_mask = _visible(scores) if ground_mask is None else ground_mask
    scores = _mask_out(scores, ground_mask)
    aerial_mask = ground_mask.new_ones(scores.shape[:2])
    cell_m = extent_m / (_side(scores) - 1)
    ground_position, aerial_position = (
        _partners(rotation, translation, cell_m, scores, towards_ground)
        for towards_ground in (True, False))
    towards_ground = _soft_nce(scores, ground_position, aerial_mask, ground_mask)
    towards_aerial = _soft_nce(
        scores.transpose(1, 2), aerial_position, ground_mask, aerial_mask)
    return (towards_ground + towards_aerial) / 2


def _visible(scores: Tensor) -> Tensor:
    """Return the (B, ground cells) cells that have scores at all."""
    return ~scores[:, 0].isneginf()


def _mask_out(scores: Tensor, visible: Tensor) -> Tensor:
    """Return scores, float32, where invisible cells count for nothing but stay differentiable."""
    return scores.float().masked_fill(~visible[:, None], torch.finfo(torch.float32).min)


def _side(scores: Tensor) -> int:
    """Return n, the cells along a side of the aerial grid."""
    return round(scores.shape[1] ** 0.5)


def _partners(
        rotation: Tensor, translation: Tensor, cell_m: float, scores: Tensor,
        towards_ground: bool) -> Tensor:
    """Return the (B, cells, 2) fractional (row, column) cells where the true partners lie."""
    side = _side(scores)
    index = torch.arange(scores.shape[1 if towards_ground else 2], device=rotation.device)
    centre = (side - 1) / 2
    cells = torch.stack([index // side, index % side], dim=-1).to(rotation) - centre
    shift = translation[:, None] / cell_m
    if towards_ground:
        return cells @ rotation.transpose(1, 2) + shift + centre
    return (cells - shift) @ rotation + centre


def _rounded_partners(
        rotation: Tensor, translation: Tensor, cell_m: float, scores: Tensor,
        towards_ground: bool) -> tuple[Tensor, Tensor]:
    """Return the (B, cells) rounded partner of each cell, and whether it is in the grid."""
    side = _side(scores)
    rows = scores.shape[2 if towards_ground else 1] // side
    row, column = _partners(
        rotation, translation, cell_m, scores, towards_ground).round().long().unbind(-1)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < side)
    return row.clamp(0, rows - 1) * side + column.clamp(0, side - 1), inside


def _sampled_nce(scores: Tensor, sampled: Tensor, partner: Tensor, inside: Tensor) -> Tensor:
    """Return the (B,) mean negative log-likelihood of the sampled rows' partners."""
    member = torch.zeros_like(inside).scatter_(1, sampled, True) & inside
    likelihood = scores.gather(2, partner[..., None])[..., 0] - scores.logsumexp(dim=2)
    return -(likelihood * member).sum(dim=1) / member.sum(dim=1).clamp(min=1)


def _soft_nce(scores: Tensor, position: Tensor, mask: Tensor, partner_mask: Tensor) -> Tensor:
    """
    Return the (B,) mean cross entropy of each row against its four bilinear partners.

    :param scores: (B, M, N) with very low scores for masked partners.
    :param position: (B, M, 2) fractional (row, column) of the partner.
    :param mask: (B, M) rows that count; ``partner_mask``: (B, N) partners that may be hit.
    """
    side = round(max(scores.shape[1:]) ** 0.5)
    limit = position.new_tensor([scores.shape[2] // side - 1, side - 1])
    valid = mask & ((position >= 0) & (position <= limit)).all(dim=-1)
    corner = torch.minimum(position.floor().clamp(min=0), limit - 1)
    fraction = (position - corner).clamp(0, 1)
    along_row, along_column = (
        torch.stack([1 - part, part], dim=-1) for part in fraction.unbind(-1))
    weight = (along_row[..., :, None] * along_column[..., None, :]).flatten(2)  # (B, M, 4)
    row, column = corner.long().unbind(-1)
    index = (row * side + column)[..., None] + row.new_tensor([0, 1, side, side + 1])
    hit = partner_mask.gather(1, index.flatten(1)).view_as(index)
    valid = valid & (hit | (weight == 0)).all(dim=-1)
    target = (torch.where(hit, scores.gather(2, index), 0.0) * weight).sum(dim=-1)
    loss = (scores.logsumexp(dim=2) - target) * valid
    return loss.sum(dim=1) / valid.sum(dim=1).clamp(min=1)
