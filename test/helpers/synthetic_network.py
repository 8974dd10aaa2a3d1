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

"""A network that sees the true pose, for tests of what is made of its scores."""

from dataclasses import replace
from test.helpers import tiny_network

from fg2_ros.network.matching import Matching
from fg2_ros.solver.grid import BevGrid
import torch
from torch import nn

CELLS, SPREAD_CELLS = 33, 0.6


class PlantedNetwork(nn.Module):
    """
    Scores of Gaussians around the true partners of the frames it is told of.

    A frame is recognised by the first pixel of its aerial patch, so the first pixels must differ.

    :param blind: names of frames whose cells all look alike: they have no pose.
    """

    def __init__(self, preset, frames, blind=()):
        super().__init__()
        self.config = replace(tiny_network.CONFIGS[preset], grid_cells=CELLS)
        self.weight = nn.Parameter(torch.zeros(1))
        self._grid, self._blind = BevGrid.of(self.config), blind
        self._frames = {tuple(frame.aerial[0, 0]): frame for frame in frames}
        assert len(self._frames) == len(frames)

    def forward(self, ground, aerial, camera_k=None):
        """Return the planted matching of a batch."""
        colours = (aerial[:, :, 0, 0] * 255).round().to(torch.uint8).tolist()
        scores = torch.stack([self._scores(self._frames[tuple(colour)]) for colour in colours])
        height = torch.full((len(scores), self.config.ground_rows, CELLS), 1)
        return Matching(
            scores, torch.tensor(0.0), height,
            torch.ones(len(scores), len(self._grid.ground), dtype=torch.bool))

    def _scores(self, frame):
        rotation, translation = map(torch.from_numpy, (frame.rotation, frame.translation))
        partner = (self._grid.ground - translation) @ rotation
        distance = torch.cdist(self._grid.aerial, partner) / (SPREAD_CELLS * self._grid.cell_m)
        inside = (partner.abs() <= self.config.grid_extent_m / 2).all(-1)
        scores = torch.where(inside, 8 - distance.square() / 2, -20.0)
        if frame.name in self._blind:
            # All pairs of one aerial cell: they lie on one spot and determine no pose.
            return torch.full_like(scores, -90.0).index_fill_(0, torch.tensor([7]), 8.0)
        return scores
