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
Bilinear sampling of a feature map as a sparse matrix product: what a CPU does best.

A weighted sum of bilinear samples is a weighted sum of pixels ("taps"). Done as one, no sample is
ever stored, and the channels of a pixel lie side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F


def bilinear_taps(
        column: Tensor, row: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """
    Return the four pixels that each bilinear sample mixes, and their shares.

    :param column: (..., K, P) finite, in pixels; ``row`` likewise. The first pixel is at 0.
    :return: (..., 4, K, P) int64 indices into the row-major map and float32 shares, which are 0
        beyond the map.
    """
    columns, rows = _neighbours(column, width), _neighbours(row, height)
    corners = [(y, x) for y in rows for x in columns]
    index = torch.stack([torch.add(x[0], y[0], alpha=width) for y, x in corners], dim=-3)
    return index.long(), torch.stack([y[1] * x[1] for y, x in corners], dim=-3)


def _neighbours(position: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """Return whole coordinates before and after positions, inside of the map, and their shares."""
    before = position.floor()
    after = before + 1
    share = position - before
    return [
        (before.clamp(0, size - 1), torch.where((before >= 0) & (before < size), 1 - share, 0.0)),
        (after.clamp(0, size - 1), torch.where((after >= 0) & (after < size), share, 0.0))]


def mixed_pixels(pixels: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """
    Return the (N, C) sums of S pixels each.

    :param pixels: (pixels, C) float32.
    :param index: (N, S) int64.
    :param share: (N, S) float32.
    """
    return F.embedding_bag(index, pixels, mode='sum', per_sample_weights=share)
