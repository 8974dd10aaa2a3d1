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

"""The FG2 network: two images to matching scores between their bird's-eye cells."""

from __future__ import annotations

from fg2_ros.network.backbone import build_backbones
from fg2_ros.network.config import FG2Config
from fg2_ros.network.descriptors import DescriptorHead
from fg2_ros.network.lifting import GroundLifting
from fg2_ros.network.matching import GroundDescriptors, match_scores, Matching, resize_map
import torch
from torch import nn, Tensor


class FG2Network(nn.Module):
    """
    Fine-grained matching of a ground image with an aerial patch (Xia & Alahi, CVPR 2025).

    Every stage can be called on its own, so that a caller can keep what depends on the aerial
    patch only. Cells are row-major; rows grow down (south), columns right (east).
    """

    def __init__(self, config: FG2Config) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.aerial_backbone = build_backbones(config)
        self.lifting = GroundLifting(config)
        self.ground_head, self.aerial_head = (
            DescriptorHead(
                config.channels, config.descriptor_widths, config.descriptor_layers,
                config.attention_heads, (rows, config.grid_cells))
            for rows in (config.ground_rows, config.grid_cells))
        self.dustbin_score = nn.Parameter(torch.tensor(1.0))

    def forward(
            self, ground_image: Tensor, aerial_image: Tensor,
            camera_k: Tensor | None = None) -> Matching:
        """
        Match ground images with aerial patches.

        :param ground_image: (B, 3, H, W) in [0, 1].
        :param aerial_image: (B, 3, H', W') in [0, 1].
        :param camera_k: (B, 3, 3) intrinsics for a pinhole camera, else None.
        """
        return self.head(
            self.ground_tokens(ground_image), self.aerial_tokens(aerial_image), camera_k)

    def ground_tokens(self, image: Tensor) -> Tensor:
        """Return the (B, C, h, w) token map of (B, 3, H, W) ground images in [0, 1]."""
        return self.backbone(image)

    def aerial_tokens(self, image: Tensor) -> Tensor:
        """Return the (B, C, h, w) token map of (B, 3, H, W) aerial patches in [0, 1]."""
        return (self.aerial_backbone or self.backbone)(image)

    def ground_descriptors(
            self, ground_tokens: Tensor, camera_k: Tensor | None = None) -> GroundDescriptors:
        """
        Return descriptors of the ground's cells.

        :param ground_tokens: (B, C, h, w).
        :param camera_k: (B, 3, 3) intrinsics in pixels of the network's ground image; needed by
            a pinhole camera only.
        :raises ValueError: if a pinhole camera comes without intrinsics.
        """
        bev, height_index, visible = self.lifting(ground_tokens, camera_k)
        return GroundDescriptors(self.ground_head(bev), height_index, visible)

    def aerial_descriptors(self, aerial_tokens: Tensor) -> Tensor:
        """Return (B, n * n, d) unit descriptors of the aerial patch's cells."""
        return self.aerial_head(self.aerial_map(aerial_tokens))

    def aerial_map(self, aerial_tokens: Tensor) -> Tensor:
        """Return the (B, C, n, n) features of the aerial grid's cells."""
        return resize_map(aerial_tokens, self.config.grid_cells, self.config.aerial_sampling)

    def match(self, aerial_descriptors: Tensor, ground: GroundDescriptors) -> Matching:
        """Return the scores of all pairs of an aerial and a ground cell."""
        hidden = self.config.camera == 'pinhole'  # a panorama shows all cells
        scores = match_scores(
            aerial_descriptors, ground.descriptors, self.config.temperature,
            ground.visible if hidden else None)
        return Matching(
            scores, self.dustbin_score, ground.height_index, ground.visible, ground.is_masked)

    def head(
            self, ground_tokens: Tensor, aerial_tokens: Tensor,
            camera_k: Tensor | None = None) -> Matching:
        """Match (B, C, h, w) ground tokens with (B, C, h', w') aerial tokens."""
        ground = self.ground_descriptors(ground_tokens, camera_k)
        return self.match(self.aerial_descriptors(aerial_tokens), ground)
