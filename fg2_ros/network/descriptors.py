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

"""From a feature map to unit descriptors: residual blocks, position code, linear attention."""

from __future__ import annotations

import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a (1x1 where needed) shortcut."""

    def __init__(self, inputs: int, outputs: int, final_relu: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        self.final_relu = final_relu

    def forward(self, x: Tensor) -> Tensor:
        """Return a (B, outputs, h, w) map of a (B, inputs, h, w) map."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        y = y + (x if self.shortcut is None else self.shortcut(x))
        return F.relu(y) if self.final_relu else y


def sine_encoding(channels: int, height: int, width: int) -> Tensor:
    """
    Return the (channels, height, width) position code of LoFTR.

    Channels interleave sin x, cos x, sin y, cos y; positions count from 1.
    """
    frequency = torch.exp(
        torch.arange(0, channels // 2, 2) * (-math.log(10000.0) / (channels // 2)))[:, None, None]
    x = (torch.arange(1, width + 1) * frequency).expand(-1, height, -1)
    y = (torch.arange(1, height + 1)[:, None] * frequency).expand(-1, -1, width)
    return torch.stack([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).flatten(0, 1)


def linear_attention(query: Tensor, key: Tensor, value: Tensor, eps: float = 1e-6) -> Tensor:
    """
    Return attention with the feature map elu + 1 in place of a softmax (Katharopoulos 2020).

    In the precision of its inputs even under autocast: its sums are over all cells.

    :param query: (B, N, heads, d); ``key``, ``value`` likewise (B, M, heads, d).
    :return: (B, N, heads, d).
    """
    query, key = F.elu(query) + 1, F.elu(key) + 1
    count = value.shape[1]
    with torch.autocast(query.device.type, enabled=False):
        summary = torch.einsum('bmhd,bmhv->bhdv', key, value / count)
        normaliser = torch.einsum('bnhd,bhd->bnh', query, key.sum(dim=1)) + eps
        return torch.einsum('bnhd,bhdv->bnhv', query, summary) * (count / normaliser)[..., None]


class LinearEncoderLayer(nn.Module):
    """One self-attention layer of LoFTR (Sun et al., CVPR 2021)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(channels, channels, bias=False)
        self.k_proj = nn.Linear(channels, channels, bias=False)
        self.v_proj = nn.Linear(channels, channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * channels, 2 * channels, bias=False), nn.ReLU(),
            nn.Linear(2 * channels, channels, bias=False))
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined (B, N, C) features."""
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).float()
            for project in (self.q_proj, self.k_proj, self.v_proj))
        message = linear_attention(query, key, value).flatten(2).to(x.dtype)
        message = self.norm1(self.merge(message))
        return x + self.norm2(self.mlp(torch.cat([x, message.to(x.dtype)], dim=-1)))


class DescriptorHead(nn.Module):
    """Residual blocks, position code, linear attention, and a last block; unit length."""

    encoding: Tensor

    def __init__(
            self, channels: int, widths: tuple[int, ...], layers: int, heads: int,
            map_hw: tuple[int, int]) -> None:
        super().__init__()
        outputs = widths[-1]
        self.blocks = nn.Sequential(*(
            BasicBlock(*pair) for pair in zip((channels, *widths[:-1]), widths)))
        self.layers = nn.Sequential(*(
            LinearEncoderLayer(outputs, heads) for _ in range(layers)))
        self.final_block = BasicBlock(outputs, outputs, final_relu=False)
        with torch.device('cpu'):  # no weight: it is there even where those are on 'meta'
            self.register_buffer('encoding', sine_encoding(outputs, *map_hw), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, cells, d) float32 descriptors of a (B, C, rows, columns) map, row-major."""
        return self.local_and_final(features)[1]

    def local_and_final(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the descriptors without and with position code and attention; see `forward`."""
        local = self.blocks(features)
        x = local + self.encoding.to(local.dtype)
        cells = self.layers(x.flatten(2).transpose(1, 2))
        x = self.final_block(cells.transpose(1, 2).unflatten(2, x.shape[2:]))
        return _unit_cells(local), _unit_cells(x)


def _unit_cells(features: Tensor) -> Tensor:
    """Return (B, cells, d) float32 unit vectors of a (B, d, rows, columns) map."""
    return F.normalize(features.flatten(2).transpose(1, 2).float(), dim=-1)
