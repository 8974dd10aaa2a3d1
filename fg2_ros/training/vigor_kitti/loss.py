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

"""The published training loss of a batch: matched cells and the pose that drawn matches give."""

from __future__ import annotations

from typing import Callable, NamedTuple, Sequence

from fg2_ros.network.fg2 import FG2Network
from fg2_ros.network.matching import GroundDescriptors, Matching
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, weighted_procrustes
from fg2_ros.solver.sampling import race
from fg2_ros.training.vigor_kitti.losses import info_nce, virtual_correspondence_error
import torch
from torch import nn, Tensor
from torch.utils.checkpoint import checkpoint


class Batch(NamedTuple):
    """
    What the head is trained on.

    :param ground: (B, C, h, w) tokens.
    :param aerial: (B, C, h', w') tokens.
    :param rotation: (B, 2, 2), aerial grid to ground grid; with ``translation`` the true pose.
    :param translation: (B, 2) grid metres.
    :param camera_k: (B, 3, 3) intrinsics of pinhole cameras, else None.
    :param seeds: B numbers, from which each frame's matches are drawn.
    """

    ground: Tensor
    aerial: Tensor
    rotation: Tensor
    translation: Tensor
    camera_k: Tensor | None
    seeds: Sequence[int]

    def part(self, rows: slice) -> Batch:
        """Return some of the frames."""
        return Batch(
            ground=self.ground[rows], aerial=self.aerial[rows], rotation=self.rotation[rows],
            translation=self.translation[rows],
            camera_k=None if self.camera_k is None else self.camera_k[rows],
            seeds=self.seeds[rows])


class FrameLosses(NamedTuple):
    """
    Losses of each frame, and the pose they were computed from.

    :param info_nce: (B,) nats.
    :param correspondence_m: (B,) virtual correspondence error; 0 where there is no pose.
    :param rotation: (B, 2, 2) estimated; with ``translation`` (B, 2) and ``ok`` (B,) bool.
    """

    info_nce: Tensor
    correspondence_m: Tensor
    rotation: Tensor
    translation: Tensor
    ok: Tensor


class CrossViewLoss(nn.Module):
    """
    Head and losses as one module, which is what several processes share.

    :param pairs: matches drawn from a frame's probabilities, without replacement.
    """

    def __init__(self, network: FG2Network, pairs: int):
        super().__init__()
        self.network = network
        self.pairs = pairs

    def forward(self, batch: Batch | None, at_once: int) -> FrameLosses:
        """
        Return the losses of a batch, of which None is an empty one.

        The costly stages, lifting and scores, treat each frame on its own. Of more than
        ``at_once`` frames they keep nothing for the backward pass, which computes them again,
        part by part: memory is that of a small batch. The descriptors' batch normalisation
        between them sees the whole batch, so the result is the same but for rounding.
        """
        if batch is None:
            return self._losses_of_nothing()
        parts = [slice(start, start + at_once) for start in range(0, len(batch.seeds), at_once)]
        stage = _kept if len(parts) == 1 else _computed_again
        lifted = [
            stage(self._lifted, part.ground, part.camera_k)
            for part in map(batch.part, parts)]
        bev, height_index, visible = map(torch.cat, zip(*lifted))
        ground = GroundDescriptors(self.network.ground_head(bev), height_index, visible)
        aerial = self.network.aerial_descriptors(batch.aerial)
        losses = [
            stage(self._losses, aerial[rows], ground.descriptors[rows], height_index[rows],
                  visible[rows], batch.part(rows))
            for rows in parts]
        return FrameLosses(*map(torch.cat, zip(*losses)))

    def _losses_of_nothing(self) -> FrameLosses:
        """
        Return (0,) losses whose gradients are zeros.

        The descriptors' batch normalisation, which other processes may share, is passed through.
        """
        config, weight = self.network.config, self.network.dustbin_score
        ground, aerial = (
            head(weight.new_zeros(0, config.channels, rows, config.grid_cells))
            for head, rows in ((self.network.ground_head, config.ground_rows),
                               (self.network.aerial_head, config.grid_cells)))
        nothing = ground.sum((1, 2)) + aerial.sum((1, 2))
        return FrameLosses(
            nothing, nothing, weight.new_zeros(0, 2, 2), weight.new_zeros(0, 2), nothing > 0)

    def _lifted(self, tokens: Tensor, camera_k: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return self.network.lifting(tokens, camera_k)

    def _losses(self, aerial: Tensor, descriptors: Tensor, height_index: Tensor, visible: Tensor,
                batch: Batch) -> FrameLosses:
        ground = GroundDescriptors(descriptors, height_index, visible)
        return self.losses_of(self.network.match(aerial, ground), batch)

    def losses_of(self, matching: Matching, batch: Batch) -> FrameLosses:
        """
        Return the losses of frames that are matched already.

        In float32 even under autocast: half precision would move poses and cells by metres.
        """
        with torch.autocast(matching.scores.device.type, enabled=False):
            return self._losses_of(matching, batch)

    def _losses_of(self, matching: Matching, batch: Batch) -> FrameLosses:
        config = self.network.config
        aerial, ground, weight = draw_matches(matching.probabilities, self.pairs, batch.seeds)
        grid = BevGrid.of(config, weight.device)
        found = differentiable_procrustes(grid.aerial[aerial], grid.ground[ground], weight, grid)
        error_m = virtual_correspondence_error(
            found.rotation, found.translation, batch.rotation, batch.translation)
        nce = info_nce(
            matching.scores, batch.rotation, batch.translation, aerial_index=aerial,
            ground_index=ground, extent_m=config.grid_extent_m)
        return FrameLosses(nce, torch.where(found.ok, error_m, 0.0), *found)


def draw_matches(
        probabilities: Tensor, count: int, seeds: Sequence[int]
        ) -> tuple[Tensor, Tensor, Tensor]:
    """
    Draw matches of each frame without replacement, by their probability.

    Each frame has a seed of its own, so it does not matter what else is in a batch. Unlike
    `sampling.draw_pairs`, this gives the same matches when probabilities are rounded otherwise.

    :param probabilities: (B, aerial cells, ground cells).
    :return: (B, N) aerial and ground cells, and probabilities with their gradient.
    """
    generator = torch.Generator(probabilities.device)
    flat = probabilities.flatten(1)
    entry = torch.stack([
        race(frame, min(count, len(frame)), generator.manual_seed(seed))[0]
        for frame, seed in zip(flat.detach(), seeds)])
    aerial = torch.div(entry, probabilities.shape[2], rounding_mode='floor')
    return aerial, entry - aerial * probabilities.shape[2], flat.gather(1, entry)


def differentiable_procrustes(
        aerial: Tensor, ground: Tensor, weight: Tensor, grid: BevGrid) -> Alignment:
    """
    Return `weighted_procrustes`, whose gradient is 0 where the points determine no motion.

    There the gradient is not finite, and remains so when its result is discarded later.
    """
    with torch.no_grad():
        ok = weighted_procrustes(aerial, ground, weight).ok
    stand_in = grid.aerial[torch.arange(weight.shape[1], device=ok.device) % len(grid.aerial)]
    aerial, ground = (
        torch.where(ok[:, None, None], points, stand_in) for points in (aerial, ground))
    weight = torch.where(ok[:, None], weight, 1.0)
    return weighted_procrustes(aerial, ground, weight)._replace(ok=ok)


def _kept(stage: Callable, *inputs):
    return stage(*inputs)


def _computed_again(stage: Callable, *inputs):
    return checkpoint(stage, *inputs, use_reentrant=False)
