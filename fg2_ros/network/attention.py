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

"""Deformable attention (Zhu et al., ICLR 2021) on one feature map, split for exact reuse."""

from __future__ import annotations

import math

from fg2_ros.network.sparse_sampling import bilinear_taps, mixed_pixels
import torch
from torch import nn, Tensor
import torch.nn.functional as F

FAR_AWAY = 1e4  # a relative location which no image holds, in place of a non-finite one


class DeformableAttention(nn.Module):
    """
    Multi-head attention to a few sampled points around each reference location.

    ``sample`` and ``attend`` are the two halves of the usual block. Offsets, weights, and both
    projections depend on the query only, so one ``pool`` in the place of ``sample`` serves many
    reference locations of a query, and ``attend`` runs once on what it returns.

    To infer on a CPU, sampling is a sparse product; ``sparse`` can be set to False where such are
    unknown.
    """

    sparse = True

    def __init__(self, channels: int, heads: int, points: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f'{channels} channels cannot be divided among {heads} heads')
        self.heads = heads
        self.points = points
        self.sampling_offsets = nn.Linear(channels, heads * points * 2)
        self.attention_weights = nn.Linear(channels, heads * points)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with heads that look into different directions, points at growing distances."""
        angle = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
        direction = direction / direction.abs().amax(dim=-1, keepdim=True)
        distance = 0.5 * torch.arange(1, self.points + 1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(
                (direction[:, None] * distance[:, None]).flatten())
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, values: Tensor, reference: Tensor) -> Tensor:
        """
        Return the attended (B, N, C) features plus the query itself.

        :param query: (B, N, C).
        :param values: (B, C, h, w) feature map.
        :param reference: (N, 2) or (B, N, 2) relative (column, row), 0 to 1 over the map.
        """
        return self.attend(self.sample(query, values, reference), query)

    def sample(self, query: Tensor, values: Tensor, reference: Tensor) -> Tensor:
        """
        Return (B, N, C) features before the output projection, of one reference for each query.

        Samples outside of the map contribute zero.

        :param query: (B, N, C).
        :param values: (B, C, h, w) feature map.
        :param reference: (N, 2) or (B, N, 2) relative (column, row), finite.
        """
        reference = reference.unsqueeze(-2)
        if self._is_sparse_for(query):
            index, share = self._weighted_taps(query, values, reference)
            return self._mixed(self._projected_pixels(values), index, share).to(query.dtype)
        return self.gather(query, values, reference).squeeze(2).transpose(1, 2)

    def pool(
            self, query: Tensor, values: Tensor, reference: Tensor,
            direction: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return (B, N, C) features before the output projection, and the references chosen.

        Of K references for a query the features, see `sample`, are mixed by the softmax of their
        scores, which are their products with ``direction``; the (B, N) index of the highest one
        is returned, too.

        :param query: (B, N, C).
        :param values: (B, C, h, w) feature map.
        :param reference: (N, K, 2) or (B, N, K, 2) relative (column, row), finite.
        :param direction: (C,).
        """
        if self._is_sparse_for(query):
            return self._pool_sparsely(query, values, reference, direction)
        features = self.gather(query, values, reference)
        scores = (direction @ features.flatten(2)).unflatten(1, features.shape[2:]).float()
        pooled = (features * scores.softmax(dim=1).to(features)[:, None]).sum(dim=2)
        return pooled.transpose(1, 2), scores.argmax(dim=1)

    def gather(self, query: Tensor, values: Tensor, reference: Tensor) -> Tensor:
        """
        Return (B, C, K, N) features before the output projection, for K references a query.

        See `pool`. Queries come last in the result and in all between: the longest dimension is
        then the one that is contiguous.
        """
        batch, count, channels = query.shape
        projected = self.value_proj.weight @ values.flatten(2) + self.value_proj.bias[:, None]
        projected = projected.reshape(batch * self.heads, -1, *values.shape[2:])
        locations = _locations(
            *self._positions(query, reference, *values.shape[2:]), *values.shape[2:])
        weights = self._point_weights(query).permute(0, 2, 3, 1).flatten(0, 1)[:, None, :, None]
        # Coordinates need more digits than half precision has, so sampling is in float32.
        samples = F.grid_sample(
            projected.float(), locations, padding_mode='zeros', align_corners=False)
        mixed = (samples.unflatten(-1, (-1, count)) * weights).sum(dim=2)
        return mixed.view(batch, channels, -1, count).to(query.dtype)

    def _is_sparse_for(self, query: Tensor) -> bool:
        """Return whether the attended features are to be a sparse product."""
        return self.sparse and query.device.type == 'cpu' and not torch.is_grad_enabled()

    def _pool_sparsely(
            self, query: Tensor, values: Tensor, reference: Tensor,
            direction: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `pool` returns; features are mixed once, when their scores are known."""
        index, share = self._weighted_taps(query, values, reference)
        pixels = self._projected_pixels(values)
        values_scores = pixels @ direction.float().view(self.heads, -1, 1)
        scores = values_scores.squeeze(-1).gather(2, index.flatten(2)).view_as(share) * share
        scores = scores.sum(dim=1).sum(dim=2).sum(dim=-1)  # ten times as fast as at once
        mix = scores.softmax(dim=-1).repeat_interleave(self.points, dim=-1)
        share = share.flatten(4)
        share *= mix[:, None, :, None]
        return self._mixed(pixels, index, share).to(query.dtype), scores.argmax(dim=-1)

    def _weighted_taps(
            self, query: Tensor, values: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, heads, N, 4, K, points) indices and shares of the pixels to be mixed."""
        index, share = bilinear_taps(
            *self._positions(query, reference, *values.shape[2:]), *values.shape[2:])
        share *= self._point_weights(query).transpose(1, 2)[..., None, None, :]
        return index, share

    def _mixed(self, pixels: Tensor, index: Tensor, share: Tensor) -> Tensor:
        """Return (B, N, C) sums of the heads' (B, heads, h * w, C / heads) pixels."""
        mixed = [
            mixed_pixels(*one)
            for one in zip(pixels.flatten(0, 1), index.flatten(3).flatten(0, 1),
                           share.flatten(3).flatten(0, 1))]
        heads = torch.stack(mixed, dim=1).unflatten(1, (len(pixels), self.heads))
        return heads.transpose(0, 1).flatten(2)

    def attend(self, gathered: Tensor, query: Tensor) -> Tensor:
        """Return the projected (B, N, C) features plus the query itself."""
        return self.dropout(self.output_proj(gathered)) + query

    def _positions(
            self, query: Tensor, reference: Tensor, height: int,
            width: int) -> tuple[Tensor, Tensor]:
        """Return (B, heads, N, K, points) columns and rows of samples, pixels of the value map."""
        offsets = self.sampling_offsets(query).float().unflatten(-1, (self.heads, self.points, 2))
        offsets = offsets.permute(4, 0, 2, 1, 3)[..., None, :]
        reference = reference.expand(len(query), *reference.shape[-3:])[:, None, ..., None]
        return tuple(
            reference[..., axis, :] * size - 0.5 + offsets[axis]
            for axis, size in enumerate((width, height)))

    def _point_weights(self, query: Tensor) -> Tensor:
        """Return (B, N, heads, points) float32 weights, 1 in sum over the points."""
        weights = self.attention_weights(query).unflatten(-1, (self.heads, self.points))
        return weights.float().softmax(dim=-1)

    def _projected_pixels(self, values: Tensor) -> Tensor:
        """Return (B, heads, h * w, C / heads) float32 projected values, a pixel's side by side."""
        pixels = self.value_proj(values.flatten(2).transpose(1, 2)).float()
        return pixels.unflatten(2, (self.heads, -1)).transpose(1, 2).contiguous()


def _locations(column: Tensor, row: Tensor, height: int, width: int) -> Tensor:
    """Return (B * heads, points, K * N, 2) places, -1 to 1 over the map, of pixel positions."""
    places = torch.stack(
        [(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)
    return places.permute(0, 1, 4, 3, 2, 5).flatten(3, 4).flatten(0, 1)


def finite_locations(locations: Tensor) -> Tensor:
    """Move non-finite and extremely far locations to where nothing is sampled."""
    far = torch.where(locations.isfinite().all(dim=-1, keepdim=True), locations, FAR_AWAY)
    return far.clamp(-FAR_AWAY, FAR_AWAY)
