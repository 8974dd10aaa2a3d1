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

"""DINOv2 vision transformers (Oquab et al., 2023) for inference, with DINOv2's tensor names."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

PATCH_PX = 14
PRETRAINED_GRID = 37  # patches along a side of the images DINOv2 was trained with
HEAD_CHANNELS = 64
SIZES = {  # name: channels, blocks
    'dinov2_vits14': (384, 12), 'dinov2_vitb14': (768, 12), 'dinov2_vitl14': (1024, 24)}


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return attended (B, N, C) tokens."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(*qkv).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The feed-forward part of a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C) tokens."""
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned gain per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled tokens."""
        return x * self.gamma


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels)
        self.ls1 = LayerScale(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels)
        self.ls2 = LayerScale(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C) tokens."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """Non-overlapping patches, linearly projected."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, PATCH_PX, PATCH_PX)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, patches, C) tokens."""
        return self.proj(image).flatten(2).transpose(1, 2)


class DinoV2(nn.Module):
    """
    A DINOv2 ViT/14, as FG2 uses it: frozen, on images in [0, 1] without further normalisation.

    :param name: one of ``SIZES``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        channels, blocks = SIZES[name]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, PRETRAINED_GRID**2 + 1, channels))
        self.mask_token = nn.Parameter(torch.zeros(1, channels))  # unused, in every checkpoint
        self.patch_embed = PatchEmbedding(channels)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self._resized: dict[tuple[int, int], Tensor] = {}
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """
        Return the (B, C, H / 14, W / 14) token map of a (B, 3, H, W) image in [0, 1].

        :raises ValueError: if a side of the image is not a multiple of 14 pixels.
        """
        rows, columns = (side // PATCH_PX for side in image.shape[2:])
        if (rows * PATCH_PX, columns * PATCH_PX) != tuple(image.shape[2:]):
            raise ValueError(
                f'an image of {image.shape[3]} x {image.shape[2]} pixels does not fit DINOv2: '
                f'both sides must be multiples of {PATCH_PX}')
        patches = self.patch_embed(image.to(self.pos_embed.dtype))
        x = torch.cat([self.cls_token.expand(len(image), -1, -1), patches], dim=1)
        x = x + self.position_embedding(rows, columns)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 1:]).transpose(1, 2).unflatten(2, (rows, columns))

    def position_embedding(self, rows: int, columns: int) -> Tensor:
        """Return the (1, 1 + rows * columns, C) embedding, class token first; kept once made."""
        if (rows, columns) not in self._resized:
            self._resized[rows, columns] = resize_position_embedding(
                self.pos_embed.detach(), rows, columns)
        return self._resized[rows, columns]

    def _apply(self, fn, recurse: bool = True) -> DinoV2:
        """Move or convert the weights."""
        self._resized.clear()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self._resized.clear()
        super()._load_from_state_dict(*args, **kwargs)


def resize_position_embedding(embedding: Tensor, rows: int, columns: int) -> Tensor:
    """
    Return a (1, 1 + 37 * 37, C) embedding for another grid, the class token first.

    DINOv2 resizes by scale factors with an offset of 0.1, not to a size, and weights were
    trained with the shift which that causes.
    """
    grid = embedding[:, 1:].float().transpose(1, 2).unflatten(2, (PRETRAINED_GRID, -1))
    scale = ((rows + 0.1) / PRETRAINED_GRID, (columns + 0.1) / PRETRAINED_GRID)
    if (rows, columns) != (PRETRAINED_GRID, PRETRAINED_GRID):
        grid = F.interpolate(grid, scale_factor=scale, mode='bicubic', align_corners=False)
    resized = grid.flatten(2).transpose(1, 2).to(embedding.dtype)
    return torch.cat([embedding[:, :1], resized], dim=1)
