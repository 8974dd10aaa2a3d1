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

"""A compact convolutional backbone with a feature pyramid, trained from scratch."""

from __future__ import annotations

import torch
from torch import nn, Tensor
import torch.nn.functional as F

STEM_WIDTH = 32
STAGE_WIDTHS = (48, 64, 96, 128)  # at strides 4, 8, 16, 32
STAGE_BLOCKS = (1, 2, 2, 2)


class ConvNorm(nn.Module):
    """A 3x3 convolution with batch normalisation; columns may wrap around, as in a panorama."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, wrap: bool = False) -> None:
        super().__init__()
        self.wrap = wrap
        self.conv = nn.Conv2d(
            inputs, outputs, 3, stride, padding=(1, 0 if wrap else 1), bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return a (B, outputs, h / stride, w / stride) map."""
        if self.wrap:
            x = WrapColumns.apply(x)
        return self.norm(self.conv(x))


class WrapColumns(torch.autograd.Function):
    """Repeat the last column before the first and the first after the last."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """Return (B, C, h, w + 2)."""
        return torch.cat([x[..., -1:], x, x[..., :1]], dim=-1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """Return (B, C, h, w); autograd's own way would add three whole maps."""
        inner = gradient[..., 1:-1].clone(memory_format=torch.channels_last)
        inner[..., -1:] += gradient[..., :1]
        inner[..., :1] += gradient[..., -1:]
        return inner


class ResidualBlock(nn.Module):
    """Two convolutions of equal width beside an identity."""

    def __init__(self, channels: int, wrap: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, wrap=wrap)
        self.second = ConvNorm(channels, channels, wrap=wrap)
        nn.init.zeros_(self.second.norm.weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Stage(nn.Sequential):
    """Halve the resolution, then refine."""

    def __init__(self, inputs: int, outputs: int, blocks: int, wrap: bool) -> None:
        super().__init__(
            ConvNorm(inputs, outputs, 2, wrap), nn.ReLU(),
            *(ResidualBlock(outputs, wrap) for _ in range(blocks)))


class CompactBackbone(nn.Module):
    """
    Residual stages down to stride 32, merged top-down into one map at stride 4.

    :param channels: of the token map.
    :param wrap: whether the left and right edge of the image are neighbours.
    """

    def __init__(self, channels: int, wrap: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, STEM_WIDTH, 2, wrap), nn.ReLU())
        self.stages = nn.ModuleList(
            Stage(inputs, outputs, blocks, wrap) for inputs, outputs, blocks in zip(
                (STEM_WIDTH, *STAGE_WIDTHS), STAGE_WIDTHS, STAGE_BLOCKS))
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in STAGE_WIDTHS)
        self.merge = ConvNorm(channels, channels, wrap=wrap)

    def forward(self, image: Tensor) -> Tensor:
        """
        Return the (B, channels, H / 4, W / 4) token map of a (B, 3, H, W) image in [0, 1].

        :raises ValueError: if a side of the image is not a multiple of 32 pixels.
        """
        if image.shape[2] % 32 or image.shape[3] % 32:
            raise ValueError(
                f'an image of {image.shape[3]} x {image.shape[2]} pixels does not fit this '
                'backbone: both sides must be multiples of 32')
        x = self.stem((image - 0.5).contiguous(memory_format=torch.channels_last))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        merged = self.laterals[-1](levels[-1])
        for lateral, level in zip(self.laterals[-2::-1], levels[-2::-1]):
            merged = lateral(level) + F.interpolate(merged, scale_factor=2.0)
        return self.merge(F.relu(merged))
