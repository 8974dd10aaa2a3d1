"""Deformable attention (Zhu et al., ICLR 2021) on one feature map, split for exact reuse."""

from __future__ import annotations

import math

import torch
from torch import nn, Tensor
import torch.nn.functional as F

FAR_AWAY = 1e4  # a relative location which no image holds, in place of a non-finite one


class DeformableAttention(nn.Module):
    """
    Multi-head attention to a few sampled points around each reference location.

    ``gather`` and ``attend`` are the two halves of the usual block. Offsets, weights, and both
    projections depend on the query only, so one ``gather`` serves many reference locations of a
    query, and ``attend`` runs once on whatever was pooled from them.
    """

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
        gathered = self.gather(query, values, reference.unsqueeze(-2))
        return self.attend(gathered.squeeze(2).transpose(1, 2), query)

    def gather(self, query: Tensor, values: Tensor, reference: Tensor) -> Tensor:
        """
        Return (B, C, K, N) features before the output projection, for K references a query.

        Samples outside of the map contribute zero. Queries come last in the result and in all
        between: the longest dimension is then the one that is contiguous.

        :param query: (B, N, C).
        :param values: (B, C, h, w) feature map.
        :param reference: (N, K, 2) or (B, N, K, 2) relative (column, row), finite.
        """
        batch, count, channels = query.shape
        projected = self.value_proj.weight @ values.flatten(2) + self.value_proj.bias[:, None]
        projected = projected.reshape(batch * self.heads, -1, *values.shape[2:])
        locations = self._locations(query, reference, *values.shape[2:])
        # Coordinates need more digits than half precision has, so sampling is in float32.
        samples = F.grid_sample(
            projected.float(), 2 * locations - 1, padding_mode='zeros', align_corners=False)
        weights = self.attention_weights(query).unflatten(-1, (self.heads, self.points)).float()
        weights = weights.softmax(dim=-1).permute(0, 2, 3, 1).flatten(0, 1)[:, None, :, None]
        mixed = (samples.unflatten(-1, (-1, count)) * weights).sum(dim=2)
        return mixed.view(batch, channels, -1, count).to(query.dtype)

    def attend(self, gathered: Tensor, query: Tensor) -> Tensor:
        """Return the projected (B, N, C) features plus the query itself."""
        return self.dropout(self.output_proj(gathered)) + query

    def _locations(self, query: Tensor, reference: Tensor, height: int, width: int) -> Tensor:
        """Return (B * heads, points, K * N, 2) relative sampling locations."""
        offsets = self.sampling_offsets(query).float()
        offsets = offsets / offsets.new_tensor([width, height]).repeat(self.heads * self.points)
        offsets = offsets.unflatten(-1, (self.heads, self.points, 1, 2)).permute(0, 2, 3, 4, 1, 5)
        reference = reference.transpose(-3, -2)
        reference = reference.expand(len(query), *reference.shape[-3:])[:, None, None]
        return (reference + offsets).flatten(0, 1).flatten(2, 3)


def finite_locations(locations: Tensor) -> Tensor:
    """Move non-finite and extremely far locations to where nothing is sampled."""
    far = torch.where(locations.isfinite().all(dim=-1, keepdim=True), locations, FAR_AWAY)
    return far.clamp(-FAR_AWAY, FAR_AWAY)
