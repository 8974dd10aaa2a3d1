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
The method as it is usually written, step by step, as a reference.

`fg2 bench` times the package against it, and tests take its results as the truth. Attention to
the ground image is called once for each height, self-attention between tokens is written out, and
each RANSAC hypothesis is a turn of a loop.
"""

from __future__ import annotations

from fg2_ros.network.attention import DeformableAttention
from fg2_ros.network.dinov2 import Attention
from fg2_ros.network.fg2 import FG2Network
from fg2_ros.network.lifting import GroundLifting, RefinementStage
from fg2_ros.network.matching import GroundDescriptors, Matching
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, residuals_m, soft_inliers, weighted_procrustes
from fg2_ros.solver.ransac import MINIMAL_SET, RansacSettings
import torch
from torch import nn, Tensor
import torch.nn.functional as F


def head(
        network: FG2Network, ground_tokens: Tensor, aerial_tokens: Tensor,
        camera_k: Tensor | None = None) -> Matching:
    """Return what the network's ``head`` returns."""
    bev, height_index, visible = lift(network.lifting, ground_tokens, camera_k)
    ground = GroundDescriptors(network.ground_head(bev), height_index, visible)
    return network.match(network.aerial_descriptors(aerial_tokens), ground)


def lift(
        lifting: GroundLifting, tokens: Tensor,
        camera_k: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a lifting returns."""
    tokens, columns, visible = lifting.projections(tokens, camera_k)
    rows = lifting.config.ground_rows
    bev = lifting.queries.flatten(0, 1).expand(len(tokens), -1, -1)
    for stage, feedforward in zip(lifting.stages, lifting.config.ffn_of_iteration):
        assert isinstance(stage, RefinementStage)
        bev, height_index = _iteration(
            stage, bev, tokens, cells=lifting.cells, columns=columns, rows=rows,
            feedforward=lifting.feedforwards[str(feedforward)])
    bev_map = bev.transpose(1, 2).unflatten(2, (rows, -1))
    return bev_map, height_index.unflatten(1, (rows, -1)), visible


def _iteration(
        stage: RefinementStage, bev: Tensor, tokens: Tensor, cells: Tensor, columns: Tensor,
        rows: int, feedforward: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what a refinement stage returns."""
    bev_map = bev.transpose(1, 2).unflatten(2, (rows, -1))
    bev = stage.self_norm(deformable_attention(stage.self_attention, bev, bev_map, cells) + bev)
    features = torch.stack([
        deformable_attention(stage.cross_attention, bev, tokens, columns[..., height, :])
        for height in range(columns.shape[-2])], dim=2)
    scores = stage.height_score(features)
    pooled = (scores.softmax(dim=2) * features).sum(dim=2)
    bev = stage.cross_norm(pooled + bev)
    return stage.output_norm(feedforward(bev) + bev), scores[..., 0].argmax(dim=2)


def deformable_attention(
        attention: DeformableAttention, query: Tensor, values: Tensor,
        reference: Tensor) -> Tensor:
    """
    Return the attended (B, N, C) features plus the query itself; samples are float32.

    :param query: (B, N, C).
    :param values: (B, C, h, w) feature map.
    :param reference: (N, 2) or (B, N, 2) relative (column, row).
    """
    batch, count, _ = query.shape
    height, width = values.shape[2:]
    value = attention.value_proj(values.flatten(2).transpose(1, 2))
    value = value.unflatten(2, (attention.heads, -1)).permute(0, 2, 3, 1).flatten(0, 1)
    offsets = attention.sampling_offsets(query).view(
        batch, count, attention.heads, attention.points, 2) / query.new_tensor([width, height])
    locations = reference.expand(batch, -1, -1)[:, :, None, None] + offsets.float()
    sampled = F.grid_sample(
        value.unflatten(2, (height, width)).float(),
        2 * locations.transpose(1, 2).flatten(0, 1) - 1, padding_mode='zeros', align_corners=False)
    weights = attention.attention_weights(query).view(
        batch, count, attention.heads, attention.points).softmax(-1)
    mixed = (sampled * weights.transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
    mixed = mixed.view(batch, -1, count).transpose(1, 2).to(query.dtype)
    return attention.dropout(attention.output_proj(mixed)) + query


def self_attention(attention: Attention, x: Tensor) -> Tensor:
    """Return what a DINOv2 attention returns for (B, N, C) tokens; holds all N x N weights."""
    qkv = attention.qkv(x).unflatten(-1, (3, attention.heads, -1))
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    return attention.proj((weights.softmax(-1) @ value).transpose(1, 2).flatten(2))


def ransac(
        probabilities: Tensor, grid: BevGrid, settings: RansacSettings = RansacSettings(),
        generator: torch.Generator | None = None) -> Alignment:
    """
    Return the motion most matches of one frame agree on, found one hypothesis at a time.

    :param probabilities: (aerial cells, ground cells).
    :raises ValueError: if the matches determine no pose.
    """
    flat = probabilities.flatten()
    best: tuple[Alignment, Tensor, Tensor] | None = None
    best_score = -1.0
    for _ in range(settings.draws):
        index = torch.multinomial(flat, settings.samples, generator=generator)
        aerial = grid.aerial[index // probabilities.shape[1]]
        ground = grid.ground[index % probabilities.shape[1]]
        weight = flat[index]
        for _ in range(settings.hypotheses):
            chosen = torch.multinomial(weight, MINIMAL_SET, generator=generator)
            found = _fitted(aerial[chosen], ground[chosen])
            score = float(soft_inliers(
                residuals_m(found, aerial, ground), settings.score_threshold_m))
            if found.ok and score > best_score:
                best, best_score = (found, aerial, ground), score
    if best is None:
        raise ValueError('no three matches determine a pose')
    return _refined(*best, settings)


def _refined(
        best: Alignment, aerial: Tensor, ground: Tensor, settings: RansacSettings) -> Alignment:
    """Return the motion fitted to its inliers, again and again while these become more."""
    inlier = residuals_m(best, aerial, ground) < settings.inlier_threshold_m
    for _ in range(settings.refinements):
        fitted = _fitted(aerial[inlier], ground[inlier])
        fitted_inlier = residuals_m(fitted, aerial, ground) < settings.inlier_threshold_m
        if not fitted.ok or fitted_inlier.sum() <= inlier.sum():
            break
        best, inlier = fitted, fitted_inlier
    return best


def _fitted(aerial: Tensor, ground: Tensor) -> Alignment:
    return weighted_procrustes(aerial, ground, torch.ones_like(aerial[:, 0]))
