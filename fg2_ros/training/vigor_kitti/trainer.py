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
Training of the published networks: a frozen backbone, and a head that learns from matches.

The recipe is that of Xia & Alahi, CVPR 2025: Adam at a constant rate, ``beta * InfoNCE`` plus the
virtual correspondence error of the pose that 1024 drawn matches give.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Callable, Iterable, NamedTuple

from fg2_ros.datasets.frames import intrinsics_of
from fg2_ros.network.fg2 import FG2Network
from fg2_ros.training.processes import Processes
from fg2_ros.training.run_folder import RunFolder
from fg2_ros.training.shared_batch_norm import share_batch_statistics
from fg2_ros.training.vigor_kitti.feature_cache import backbone_modules
from fg2_ros.training.vigor_kitti.loss import Batch, CrossViewLoss, FrameLosses
from fg2_ros.training.vigor_kitti.run_config import Machine, Recipe
from fg2_ros.training.vigor_kitti.samples import (
    CrossViewSample, CrossViewSamples, Key, load_batches, Schedule, Unreadable, View)
import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.parallel import DistributedDataParallel

_logger = logging.getLogger(__name__)

DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
LOG_EVERY = 20  # steps


class Data(NamedTuple):
    """What is learned from and what is measured on; ``identity`` changes if either does."""

    training: CrossViewSamples
    validation: CrossViewSamples
    identity: str


class VigorKittiTrainer:
    """
    One new run, in this process or in several that share each batch; see also `go_on_from`.

    All that is random depends on the seed and on the step's number, the network's dropout on the
    process, too: a resumed run goes on as if it had never stopped.

    :param network: with its backbone's weights; the head is trained in place.
    :param folder: of the run; None in all processes but the first.
    :raises ValueError: if batch, processes and device do not go together.
    """

    def __init__(self, network: FG2Network, recipe: Recipe, machine: Machine, data: Data,
                 processes: Processes, folder: RunFolder | None):
        if recipe.batch % processes.count:
            raise ValueError(
                f'a batch of {recipe.batch} frames cannot be divided among {processes.count} '
                'processes')
        if recipe.precision == 'fp16' and processes.device.type == 'cpu':
            raise ValueError('fp16 needs a GPU: on the CPU there are fp32 and bf16')
        self.recipe, self.machine, self.data = recipe, machine, data
        self.processes, self.folder = processes, folder
        self.schedule = Schedule(len(data.training), recipe.batch, recipe.epochs, recipe.seed)
        self.network = network.to(processes.device)
        self.loss = CrossViewLoss(self.network, recipe.pairs)
        self.head = freeze(self.network, recipe.queries == 'learned')
        self.shared = share_loss(self.loss, processes, recipe.batch_norm == 'batch')
        self.optimizer = torch.optim.Adam(self.head, recipe.rate)
        self.scaler = torch.amp.GradScaler(
            processes.device.type, enabled=recipe.precision == 'fp16')
        self.step = 0
        self.best: dict | None = None
        self.unreadable: set[str] = set()

    def run(self, on_step: Callable[[dict], None] = lambda record: None,
            on_best: Callable[[dict], None] = lambda record: None) -> dict:
        """
        Train to the end.

        :param on_step: told the record of every step, in the first process.
        :param on_best: told a validation's record if it is the best so far, before the
            checkpoint says so.
        :return: the record of the best validation.
        """
        batches = self.schedule.keys(self.step, self.processes.rank, self.processes.count)
        for samples in load_batches(self.data.training, batches, self.machine.workers):
            record = self._learn(self._readable(samples))
            self.step += 1
            ends_epoch = self.step % self.schedule.steps_per_epoch == 0
            if ends_epoch:
                record |= self.validate() | {'skipped': self._skipped()}
            if self.folder:
                self._write(self.folder, record, ends_epoch, on_best)
                on_step(record)
        return self.best or {}

    def validate(self) -> dict:
        """Return the errors of the network on all validation frames; all processes share them."""
        self.network.eval()
        keys = [Key(0, index) for index in range(len(self.data.validation))]
        own = keys[self.processes.rank::self.processes.count]
        size = self.at_once
        batches = (own[start:start + size] for start in range(0, len(own), size))
        measured = [
            self._measured(readable)
            for samples in load_batches(self.data.validation, batches, self.machine.workers)
            if (readable := self._readable(samples))]
        set_training(self.network)
        columns = np.concatenate(measured, axis=1) if measured else np.zeros((4, 0))
        return validation_record(np.concatenate(self.processes.gather(columns), axis=1))

    def state(self) -> dict:
        """Return all that a run needs to go on; the backbone is as it was."""
        return {
            'step': self.step, 'head': head_state(self.network),
            'optimizer': self.optimizer.state_dict(), 'scaler': self.scaler.state_dict(),
            'best': json.dumps(self.best), 'unreadable': sorted(self.unreadable)}

    def go_on_from(self, saved: dict) -> None:
        """Take up a run where a state was saved."""
        self.network.load_state_dict(saved['head'], strict=False)
        self.optimizer.load_state_dict(saved['optimizer'])
        self.scaler.load_state_dict(saved['scaler'])
        self.step, self.best = saved['step'], json.loads(saved['best'])
        self.unreadable = set(saved['unreadable'])
        if self.folder:
            _logger.info('going on after step %d', self.step)

    @property
    def at_once(self) -> int:
        """Return how many frames are in the memory of this process's device at once."""
        share = self.recipe.batch // self.processes.count
        return min(self.machine.micro_batch or share, share)

    def _learn(self, samples: list[CrossViewSample]) -> dict:
        readable = torch.tensor(len(samples), device=self.processes.device)
        if not self.processes.total(readable):
            raise ValueError(f'no frame of step {self.step + 1} could be read')
        batch = self._batch(samples) if samples else None
        # Whatever came before, the same step draws the same numbers (of dropout) in a process.
        torch.manual_seed(_number(self.recipe.seed, self.step, self.processes.rank))
        with self._autocast():
            losses: FrameLosses = self.shared(batch, self.at_once)
        share = self.recipe.batch // self.processes.count
        total = (self.recipe.beta * losses.info_nce + losses.correspondence_m).sum() / share
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.head, self.recipe.clip_norm or math.inf)
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            raise ValueError(
                f'the gradient is not finite in step {self.step + 1}: a lower rate may help')
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self._record(losses)

    def _record(self, losses: FrameLosses) -> dict:
        sums = self.processes.total(torch.stack([
            values.detach().double().sum() for values in (
                losses.info_nce, losses.correspondence_m, losses.ok, torch.ones_like(losses.ok))]))
        info_nce, error_m, posed, frames = sums.tolist()
        return {
            'step': self.step + 1, 'epoch': self.step // self.schedule.steps_per_epoch + 1,
            'info_nce': info_nce / frames, 'pose_m': error_m / max(posed, 1),
            'without_pose': 1 - posed / frames, 'frames': int(frames)}

    @torch.no_grad()
    def _measured(self, samples: list[CrossViewSample]) -> np.ndarray:
        """Return (4, B): InfoNCE, position error m, yaw error deg, and whether there is a pose."""
        batch = self._batch(samples)
        with self._autocast():
            matching = self.network.head(batch.ground, batch.aerial, batch.camera_k)
        losses = self.loss.losses_of(matching, batch)
        scale = torch.tensor([sample.metres_per_grid_metre for sample in samples])
        error_m, error_deg = pose_errors(losses, batch)
        return torch.stack([
            values.cpu() for values in (
                losses.info_nce, error_m.cpu() * scale, error_deg, losses.ok)]).numpy()

    def _batch(self, samples: list[CrossViewSample]) -> Batch:
        device = self.processes.device

        def tensor(values: Iterable[np.ndarray]) -> Tensor:
            return torch.from_numpy(np.stack(list(values)).astype(np.float32)).to(device)
        camera_k = intrinsics_of([sample.camera_k for sample in samples])
        return Batch(
            ground=self._tokens(
                [sample.ground for sample in samples], self.network.ground_tokens),
            aerial=self._tokens(
                [sample.aerial for sample in samples], self.network.aerial_tokens),
            rotation=tensor(sample.rotation for sample in samples),
            translation=tensor(sample.translation for sample in samples),
            camera_k=None if camera_k is None else tensor(camera_k),
            seeds=[sample.seed for sample in samples])

    @torch.no_grad()
    def _tokens(self, views: list[View], backbone: Callable[[Tensor], Tensor]) -> Tensor:
        """
        Return the (B, C, h, w) tokens of a batch's views.

        Each image goes through the backbone alone, so that its features are the same whichever
        others were kept on disk, and in the precision that they are kept in.
        """
        tokens = []
        for content, file in views:
            content = content.to(self.processes.device, non_blocking=True)
            if content.dtype == torch.uint8:
                with self._autocast():
                    content = backbone(content.permute(2, 0, 1)[None].float() / 255)[0]
                cache = self.data.training.cache
                if file is not None and cache is not None:
                    content = content.half()
                    cache.write(file, content)
            tokens.append(content.float())
        return torch.stack(tokens)

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES[self.recipe.precision]
        return torch.autocast(
            self.processes.device.type, dtype, enabled=dtype != torch.float32)

    def _readable(self, samples: list[CrossViewSample | Unreadable]) -> list[CrossViewSample]:
        """Return the samples that could be read; the others are named, once each."""
        for sample in samples:
            if isinstance(sample, Unreadable) and sample.reason not in self.unreadable:
                self.unreadable.add(sample.reason)
                _logger.warning('skipped: %s', sample.reason)
        return [sample for sample in samples if isinstance(sample, CrossViewSample)]

    def _skipped(self) -> int:
        return len(set().union(*self.processes.gather(self.unreadable)))

    def _write(self, folder: RunFolder, record: dict, ends_epoch: bool,
               on_best: Callable[[dict], None]) -> None:
        if ends_epoch and is_better(record, self.best, self.recipe.best_by):
            self.best = record
            on_best(record)
        if ends_epoch or self.step % LOG_EVERY == 0:
            folder.log(record)
        if ends_epoch:
            folder.write_curves()
        if ends_epoch or self.step % self.machine.checkpoint_every == 0:
            folder.write_checkpoint(self.state())


def freeze(network: FG2Network, with_queries: bool) -> list[nn.Parameter]:
    """
    Freeze the backbone, set the head to training, and return the parameters to train.

    :param with_queries: whether the head's queries learn, too.
    """
    network.requires_grad_(True)
    for backbone in backbone_modules(network).values():
        backbone.requires_grad_(False)
    network.lifting.queries.requires_grad_(with_queries)
    set_training(network)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def set_training(network: FG2Network) -> None:
    """Set the head to training; the backbone stays in evaluation."""
    network.train()
    for backbone in backbone_modules(network).values():
        backbone.eval()


def head_state(network: FG2Network) -> dict[str, Tensor]:
    """Return the tensors of a network without those of its backbone."""
    prefixes = tuple(f'{name}.' for name in backbone_modules(network))
    return {name: tensor for name, tensor in network.state_dict().items()
            if not name.startswith(prefixes)}


def share_loss(loss: CrossViewLoss, processes: Processes, whole_batch: bool) -> nn.Module:
    """
    Return the loss as several processes compute it: gradients become the mean of theirs.

    :param whole_batch: batch normalisation, too, sees the frames of all processes.
    """
    if not processes.are_several:
        return loss
    if whole_batch:
        for head in (loss.network.ground_head, loss.network.aerial_head):
            share_batch_statistics(head)
    return DistributedDataParallel(loss, find_unused_parameters=True)


def pose_errors(losses: FrameLosses, batch: Batch) -> tuple[Tensor, Tensor]:
    """
    Return (B,) errors in grid metres and degrees, as published: those of t, and of R's angle.

    Without a pose these are those of the aerial patch's centre and of its up.
    """
    nothing = torch.zeros_like(losses.translation)
    translation = torch.where(losses.ok[:, None], losses.translation, nothing)
    unturned = torch.eye(2, device=nothing.device).expand_as(losses.rotation)
    rotation = torch.where(losses.ok[:, None, None], losses.rotation, unturned)
    turn = rotation @ batch.rotation.mT
    angle = torch.atan2(turn[:, 1, 0], turn[:, 0, 0])
    return (translation - batch.translation).norm(dim=-1), torch.rad2deg(angle).abs()


def validation_record(measured: np.ndarray) -> dict:
    """Return the figures of (4, frames) measurements; none if there are no frames."""
    if not measured.shape[1]:
        return {}
    info_nce, error_m, error_deg, ok = measured
    figures = {
        'info_nce': np.mean(info_nce), 'mean_m': np.mean(error_m), 'median_m': np.median(error_m),
        'mean_deg': np.mean(error_deg), 'median_deg': np.median(error_deg),
        'without_pose': 1 - np.mean(ok), 'frames': measured.shape[1]}
    return {f'validation_{name}': float(value) for name, value in figures.items()}


def is_better(record: dict, best: dict | None, best_by: str) -> bool:
    """Return whether a validation beats the best; without validation the last is the best."""
    name = {'position': 'validation_mean_m', 'orientation': 'validation_mean_deg'}[best_by]
    return best is None or name not in record or record[name] < best[name]


def _number(*words: int) -> int:
    """Return a 64-bit number of whole ones."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
