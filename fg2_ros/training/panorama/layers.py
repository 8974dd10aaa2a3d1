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
Semantic layers of a simulated city as an auxiliary training target.

Matching alone starts slowly: until both sides have features for streets, kerbs and walls there is
little to match. The simulator knows these, so for training two linear layers read them from the
descriptors of either side. They are not part of the network.
"""

from __future__ import annotations

from fg2_ros.simulation.layers import NAMES
from torch import nn, Tensor
import torch.nn.functional as F

_LOGIT_SCALE = 8.0  # unit vectors alone could not make a linear layer sure of anything
_SIGHT_M = 15.0  # the weight of a ground cell halves at this distance


class LayerReader(nn.Module):
    """
    Linear layers that read the city's layers from unit descriptors.

    :param channels: of the descriptors.
    :param ground_m: (cells, 2) points of the ground grid, for the weight of far cells.
    """

    weight: Tensor

    def __init__(self, channels: int, ground_m: Tensor):
        super().__init__()
        self.aerial = nn.Linear(channels, len(NAMES))
        self.ground = nn.Linear(channels, len(NAMES))
        weight = 1 / (1 + (ground_m.norm(dim=-1) / _SIGHT_M) ** 2)
        self.register_buffer('weight', weight / weight.mean(), persistent=False)

    def forward(self, aerial: Tensor, ground: Tensor, coverage: Tensor,
                has_layers: Tensor) -> Tensor:
        """
        Return the scalar cross entropy in nats a cell, summed over the layers and both sides.

        :param aerial: (B, cells, d) unit descriptors; ``ground`` likewise.
        :param coverage: (B, 2, cells, 8) uint8 of the aerial and of the ground cells.
        :param has_layers: (B,) 1 where the coverage is known, else 0; 0 is returned if it never
            is.
        """
        target = coverage.float() / 255
        aerial_loss, ground_loss = (
            F.binary_cross_entropy_with_logits(
                read(cells * _LOGIT_SCALE), target[:, side], reduction='none').sum(-1)
            for side, (read, cells) in enumerate(((self.aerial, aerial), (self.ground, ground))))
        losses = (aerial_loss + ground_loss * self.weight).mean(-1) / 2
        return (losses * has_layers).sum() / has_layers.sum().clamp(min=1)
