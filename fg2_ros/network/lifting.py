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

"""Lifting of ground image tokens into a bird's-eye view with height selection (section 3.2)."""

from __future__ import annotations

import math

from fg2_ros.network.attention import DeformableAttention, finite_locations
from fg2_ros.network.config import FG2Config
import torch
from torch import nn, Tensor


def grid_points(config: FG2Config) -> Tensor:
    """
    Return the (rows * columns, heights, 3) lifted points in metres, camera at 0, float64.

    Coordinates are (down, right, up): row and column axis of the BEV grid, and height.
    """
    # Unlike linspace, this has an exact 0, where the projections' special cases are.
    centre = (config.grid_cells - 1) / 2
    axis = (torch.arange(config.grid_cells, dtype=torch.float64) - centre) * config.cell_m
    height = torch.linspace(*config.height_range_m, config.height_count, dtype=torch.float64)
    points = torch.meshgrid(axis[:config.ground_rows], axis, height, indexing='ij')
    return torch.stack(points, dim=-1).flatten(0, 1)


def project_to_panorama(points: Tensor) -> Tensor:
    """
    Return the relative (column, row) in a panorama, 0 to 1, of (..., 3) points.

    The tiny epsilons decide what happens on the vertical axis through the camera; published
    weights were trained with them.
    """
    down, right, up = points.unbind(-1)
    azimuth = torch.acos(-down / (torch.hypot(down, right) + 1e-10))
    azimuth = torch.where(right < 0, -azimuth, azimuth)
    zenith_angle = torch.acos(up / (points.norm(dim=-1) + 1e-10))
    return torch.stack([0.5 + azimuth / (2 * math.pi), zenith_angle / math.pi], dim=-1)


def project_to_pinhole(
        points: Tensor, camera_k: Tensor, image_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """
    Project lifted points through pinhole intrinsics, in their precision even under autocast.

    :param points: (N, K, 3) (down, right, up); the optical axis points to BEV "up" (row 0).
    :param camera_k: (B, 3, 3) intrinsics in pixels of an image of ``image_hw``.
    :return: (B, N, K, 2) relative (column, row), finite; (B, N) cells of which any point is seen.
    """
    down, right, up = points.unbind(-1)
    optical = torch.stack([right, -up, -down], dim=-1).to(camera_k.dtype)
    with torch.autocast(points.device.type, enabled=False):
        image = torch.einsum('bij,nkj->bnki', camera_k, optical)
    height, width = image_hw
    column, row, depth = image.unbind(-1)
    relative = torch.stack([column / depth / width, row / depth / height], dim=-1)
    inside = ((relative >= 0) & (relative < 1)).all(dim=-1) & (depth > 0)
    return finite_locations(relative), inside.any(dim=-1)


class RefinementStage(nn.Module):
    """One refinement of the BEV grid; its feed-forward may be shared with another stage."""

    def __init__(self, config: FG2Config) -> None:
        super().__init__()
        attention = (
            config.channels, config.attention_heads, config.attention_points, config.dropout)
        self.self_attention = DeformableAttention(*attention)
        self.cross_attention = DeformableAttention(*attention)
        self.height_score = nn.Linear(config.channels, 1)
        self.self_norm = nn.LayerNorm(config.channels)
        self.cross_norm = nn.LayerNorm(config.channels)
        self.output_norm = nn.LayerNorm(config.channels)

    def forward(
            self, bev: Tensor, tokens: Tensor, cells: Tensor, columns: Tensor, rows: int,
            feedforward: nn.Module) -> tuple[Tensor, Tensor]:
        """
        Return the refined (B, N, C) grid and the (B, N) index of each cell's chosen height.

        :param bev: (B, N, C), row-major with ``rows`` rows.
        :param tokens: (B, C, h, w) ground image tokens.
        :param cells: (N, 2) relative (column, row) of the cells in the BEV grid.
        :param columns: (N, K, 2) or (B, N, K, 2) projections of the K points above each cell.
        """
        bev_map = bev.transpose(1, 2).unflatten(2, (rows, -1))
        bev = self.self_norm(self.self_attention(bev, bev_map, cells) + bev)
        pooled, height_index = self.select_height(bev, tokens, columns)
        bev = self.cross_norm(self.cross_attention.attend(pooled, bev) + bev)
        return self.output_norm(feedforward(bev) + bev), height_index

    def select_height(self, bev: Tensor, tokens: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return the (B, N, C) features pooled over the heights, and the likeliest height.

        The score of a height is linear in its attended feature. What all heights of a cell
        share (query and biases) cancels in the softmax, and the two linear maps fold into one.
        """
        direction = self.height_score.weight[0] @ self.cross_attention.output_proj.weight
        return self.cross_attention.pool(bev, tokens, columns, direction)


class GroundLifting(nn.Module):
    """Learned BEV queries which gather what the ground image shows at and above each cell."""

    cells: Tensor
    points: Tensor
    panorama_columns: Tensor

    def __init__(self, config: FG2Config) -> None:
        super().__init__()
        self.config = config
        # Equal cells at first: the layer norms would raise any difference to the features' size.
        self.queries = nn.Parameter(torch.rand(config.channels).repeat(
            config.ground_rows, config.grid_cells, 1))
        self.stages = nn.ModuleList(RefinementStage(config) for _ in range(config.iterations))
        self.feedforwards = nn.ModuleDict({
            str(index): nn.Sequential(
                nn.Linear(config.channels, config.feedforward_channels), nn.ReLU(),
                nn.Linear(config.feedforward_channels, config.channels))
            for index in sorted(set(config.ffn_of_iteration))})
        self._register_grids()

    def forward(
            self, tokens: Tensor, camera_k: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return the BEV map of the ground.

        :param tokens: (B, C, h, w) ground image tokens.
        :param camera_k: (B, 3, 3) intrinsics for a pinhole camera, else None.
        :return: (B, C, rows, columns) map, (B, rows, columns) chosen heights, (B, rows * columns)
            visible cells.
        """
        tokens, columns, visible = self.projections(tokens, camera_k)
        rows = self.config.ground_rows
        bev = self.queries.flatten(0, 1).expand(len(tokens), -1, -1).to(tokens.dtype)
        for stage, feedforward in zip(self.stages, self.config.ffn_of_iteration):
            bev, height_index = stage(
                bev, tokens, cells=self.cells, columns=columns, rows=rows,
                feedforward=self.feedforwards[str(feedforward)])
        bev_map = bev.transpose(1, 2).unflatten(2, (rows, -1))
        return bev_map, height_index.unflatten(1, (rows, -1)), visible

    def cells_seen(self, seen: Tensor, height_index: Tensor) -> Tensor:
        """
        Return the (B, rows * columns) cells whose feature comes from a part that was seen.

        That is where a cell's chosen height is in the panorama.

        :param seen: (h, w) bool over the panorama.
        :param height_index: (B, rows, columns) of the chosen heights.
        """
        height, width = seen.shape
        column, row = self.panorama_columns.unbind(-1)
        column, row = (column * width).long() % width, (row * height).long().clamp(0, height - 1)
        return seen[row, column].expand(len(height_index), -1, -1).gather(
            2, height_index.flatten(1)[..., None]).squeeze(-1)

    def _apply(self, fn, recurse: bool = True) -> GroundLifting:
        """Move or convert the weights; the grids stay float32, for half precision blurs them."""
        super()._apply(fn, recurse)
        self._register_grids()
        for name, grid in self.named_buffers(recurse=False):
            setattr(self, name, grid.to(self.queries.device))
        return self

    def _register_grids(self) -> None:
        with torch.device('cpu'):  # no weights: they are there even where those are on 'meta'
            for name, grid in self._grids().items():
                self.register_buffer(name, grid, persistent=False)

    def _grids(self) -> dict[str, Tensor]:
        config = self.config
        points = grid_points(config)
        cells = torch.meshgrid(
            torch.linspace(0, 1, config.ground_rows), torch.linspace(0, 1, config.grid_cells),
            indexing='ij')
        return {
            'cells': torch.stack(cells[::-1], -1).flatten(0, 1), 'points': points.float(),
            'panorama_columns': project_to_panorama(points).float()}

    def projections(
            self, tokens: Tensor, camera_k: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return the tokens to sample, where the lifted points project, and what is visible.

        :return: (B, C, h, w'), (N, K, 2) or (B, N, K, 2) relative (column, row), (B, N) bool.
        """
        if self.config.camera == 'pinhole':
            if camera_k is None:
                raise ValueError('a network for a pinhole camera needs the intrinsics camera_k')
            return tokens, *project_to_pinhole(
                self.points, camera_k.float(), self.config.ground_image_hw)
        visible = torch.ones(
            len(tokens), len(self.points), dtype=torch.bool, device=tokens.device)
        wrap = self.config.panorama_wrap_tokens
        if not wrap:
            return tokens, self.panorama_columns, visible
        width = tokens.shape[-1]
        column, row = self.panorama_columns.unbind(-1)
        column = (column * width + wrap) / (width + 2 * wrap)
        wrapped = torch.cat([tokens[..., -wrap:], tokens, tokens[..., :wrap]], dim=-1)
        return wrapped, torch.stack([column, row], dim=-1), visible
