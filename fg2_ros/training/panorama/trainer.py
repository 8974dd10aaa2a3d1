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

"""Training of a panorama network: deterministic, resumable after a kill, on several GPUs."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
import json
import logging
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from fg2_ros.network.config import FG2Config
from fg2_ros.network.fg2 import FG2Network
from fg2_ros.processes import begin_worker
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import solve_pose
from fg2_ros.solver.procrustes import Alignment
from fg2_ros.solver.ransac import RansacSettings
from fg2_ros.training.panorama.layers import LayerReader
from fg2_ros.training.panorama.matching_loss import Cells, dense_loss, matched_cells, swapped
from fg2_ros.training.panorama.optimisation import learning_rate, parameter_groups
from fg2_ros.training.panorama.pose_contrast import PoseContrast
from fg2_ros.training.panorama.samples import Sample, SampleBatch
from fg2_ros.training.processes import Processes
from fg2_ros.training.run_folder import CurvesWriter, RunFolder
from fg2_ros.training.shared_batch_norm import share_batch_statistics
import numpy as np
import torch
from torch import nn, Tensor
from torch.utils.data import DataLoader, Dataset

_logger = logging.getLogger(__name__)

TRAINED = ('network', 'average', 'reader', 'contrast', 'optimizer')  # what a checkpoint keeps
SEED_STRIDE = 2 ** 24  # between the seeds of runs, each of whose steps has its own
RANK_STRIDE = 2 ** 56  # between the seeds of processes
BEST_BY = 'validation_pose'  # the lower, the better


@dataclass(frozen=True)
class TrainSettings:
    """How long and how fast a network learns."""

    steps: int = 4000
    batch: int = 8
    seed: int = 0
    peak_rate: float = 1e-3  # of AdamW; linear warm-up, then a cosine down to almost nothing
    warmup_share: float = 0.04
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999  # of the averaged weights, which are validated and shipped
    local_weight: float = 1.0  # of matching descriptors without positions; 0 saves a tenth
    layer_weight: float = 1.0  # of reading from them what stands where
    pose_weight: float = 2.0  # of telling the true pose from others
    pairs: bool = False  # of samples of one city, each of which is told from the other's place
    validate_every: int = 500
    checkpoint_every: int = 250
    threads: int = 2
    loader_workers: int = 1
    bfloat16: bool = True  # in the backbones, whose convolutions are most of the work
    keep_best: bool = False  # the average of the best validation, else that of the last step
    patience: int = 0  # validations that may pass without a better one; 0 for any number


class Losses(NamedTuple):
    """Of a batch in nats: matching before and after position code, layers read, poses told."""

    local: Tensor
    info_nce: Tensor
    layers: Tensor
    pose: Tensor

    def total(self, settings: TrainSettings) -> Tensor:
        """Return what is minimised."""
        return (self.info_nce + settings.local_weight * self.local
                + settings.layer_weight * self.layers + settings.pose_weight * self.pose)


class PanoramaTrainer:
    """
    One training run in a folder of its own, in this process or in several that share each batch.

    The folder holds ``checkpoint.pt`` (everything to go on after a kill), ``log.jsonl`` and
    ``curves.html``. A backbone that others trained stays as it is.

    :param training: endless samples; the i-th must depend on i only.
    :param validation: samples to measure on.
    :param start: a network of the same configuration, but for the extent of its grid, whose
        weights a new run starts with.
    :param origin: JSON-ready words on data and start: a run resumes with the same only.
    :param draw: writes ``curves.html``, see `RunFolder`.
    :param processes: this one among all; the first one alone validates and writes.
    :raises ValueError: if ``start`` has another one, or the batch cannot be divided.
    :raises ValueError: if the folder holds another run.
    """

    def __init__(self, config: FG2Config, settings: TrainSettings, training: Dataset,
                 validation: Dataset, folder: Path, resume: bool = False,
                 start: FG2Network | None = None, origin: dict | None = None,
                 draw: CurvesWriter | None = None, processes: Processes = Processes()):
        if start is not None:
            _require_fitting(config, start.config)
        if settings.batch % processes.count:
            raise ValueError(f'a batch of {settings.batch} samples cannot be divided among '
                             f'{processes.count} processes')
        if settings.pairs and (settings.batch % 2 or processes.are_several):
            raise ValueError('samples come in pairs: a batch has an even number of them, in one '
                             'process')
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self.config, self.settings, self.processes = config, settings, processes
        self.training, self.validation = training, validation
        self._make_networks(start)
        self.step, self.stopped = 0, False
        self.best: dict | None = None
        self.folder = RunFolder(folder, json.dumps({
            'network': config.to_dict(), 'training': asdict(settings), 'origin': origin}),
            draw) if processes.is_first else None
        saved = processes.broadcast(self.folder.start(resume) if self.folder else None)
        if saved is not None:
            self._go_on_from(saved)

    def _make_networks(self, start: FG2Network | None) -> None:
        config, settings, device = self.config, self.settings, self.processes.device
        self.network = FG2Network(config)
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        if self.processes.are_several:
            share_batch_statistics(self.network)
        # torch's annotations of `to` lack the memory format.
        self.network.to(  # type: ignore[call-overload]
            device, memory_format=torch.channels_last)
        for backbone in self._frozen():
            backbone.requires_grad_(False)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self._set_training()
        self.grid = BevGrid.of(config, device)
        self.reader = LayerReader(config.descriptor_channels, self.grid.ground).to(device)
        self.contrast = PoseContrast(self.grid, config.temperature).to(device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.network, settings.weight_decay)
            + parameter_groups(self.reader, 0.0) + parameter_groups(self.contrast, 0.0),
            lr=0.0, betas=(0.9, 0.98))

    def _frozen(self) -> list[nn.Module]:
        """Return the backbones that do not learn: those that came from elsewhere."""
        if self.config.backbone == 'cnn':
            return []
        return [each for each in (self.network.backbone, self.network.aerial_backbone)
                if each is not None]

    def _set_training(self) -> None:
        self.network.train()
        for backbone in self._frozen():
            backbone.eval()

    def run(self, on_step: Callable[[dict], None] = lambda record: None) -> dict:
        """
        Train to the end.

        :param on_step: told every record of the log, and a short one after every step; in the
            first process only.
        :return: the record of the last validation, or of the best one if that is kept.
        """
        if self.settings.keep_best and self.best is None:
            self._judge({'step': 0})
        for batch in self._batches():
            record = self._learn(batch)
            self.step += 1
            done = self.step == self.settings.steps
            if done or self.step % self.settings.validate_every == 0:
                record = self._judge(record)
            done = done or self.stopped
            if self.folder:
                if done or self.step % 20 == 0 or 'validation_loss' in record:
                    self._write_log(record)
                if done or self.step % self.settings.checkpoint_every == 0:
                    self._write_checkpoint()
                on_step(record)
            if done:
                break
        if self.best is None:
            return self.folder.records()[-1] if self.folder else {}
        self.average.load_state_dict(self.best['average'])
        return self.best['record']

    def _judge(self, record: dict) -> dict:
        """Return a record with a validation; remember the best, and whether to go on."""
        if self.processes.is_first:
            record |= self.validate()
        record = self.processes.broadcast(record)
        if not self.settings.keep_best:
            return record
        if self.best is None or record[BEST_BY] < self.best['record'][BEST_BY]:
            self.best = {'record': record, 'average': {
                name: tensor.clone() for name, tensor in self.average.state_dict().items()}}
        waited = self.step - self.best['record']['step']
        patience = self.settings.patience * self.settings.validate_every
        self.stopped = 0 < patience <= waited
        if self.step == 0:
            self._write_log(record)
        return record

    def validate(self) -> dict:
        """Return losses and pose errors of the averaged network on the validation samples."""
        losses, metres, degrees = [], [], []
        torch.manual_seed(0)
        generator = torch.Generator(self.processes.device).manual_seed(0)
        with torch.inference_mode():
            for batch in DataLoader(self.validation, self.settings.batch):
                loss, error_m, error_deg = self._measure(self._here(batch), generator)
                losses.append(loss)
                metres.append(error_m)
                degrees.append(error_deg)
        all_metres, all_degrees = np.concatenate(metres), np.concatenate(degrees)
        info_nce, pose = np.mean(losses, axis=0)
        return {
            'validation_loss': float(info_nce),
            'validation_pose': float(pose),
            'validation_median_m': float(np.median(all_metres)),
            'validation_mean_m': float(np.mean(all_metres)),
            'validation_over_5m': float(np.mean(all_metres > 5)),
            'validation_median_deg': float(np.median(all_degrees))}

    def _learn(self, batch: SampleBatch) -> dict:
        settings = self.settings
        torch.manual_seed(settings.seed * SEED_STRIDE + self.step  # as it is when resumed
                          + self.processes.rank * RANK_STRIDE)
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(
                self.step, settings.steps, settings.peak_rate, settings.warmup_share)
        losses = self._losses(self.network, self._here(batch), self.settings.pairs)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total(settings).backward()
        self._share_gradients()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(f'the gradient is not finite in step {self.step}')
        self.optimizer.step()
        self._update_average()
        return {'step': self.step + 1} | {
            name: value.item() for name, value in losses._asdict().items()} | {
            'rate': self.optimizer.param_groups[0]['lr']}

    def _share_gradients(self) -> None:
        """Give all processes the mean of their gradients."""
        if not self.processes.are_several:
            return
        gradients = [each.grad for group in self.optimizer.param_groups
                     for each in group['params'] if each.grad is not None]
        total = self.processes.total(torch.cat([each.flatten() for each in gradients]))
        shares = (total / self.processes.count).split([each.numel() for each in gradients])
        for gradient, share in zip(gradients, shares):
            gradient.copy_(share.view_as(gradient))

    def _losses(self, network: FG2Network, batch: SampleBatch, in_pairs: bool = False
                ) -> Losses:
        """
        Return the losses of a batch.

        Positions alone already tell a lot, for the prior is not far off. What makes the network
        look at the images instead is to match without positions, and to tell what stands where.

        :param in_pairs: each sample is told from the place of its neighbour, too.
        """
        device = self.processes.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.settings.bfloat16):
            ground_tokens = network.ground_tokens(image_batch(batch.ground))
            aerial_tokens = network.aerial_tokens(image_batch(batch.aerial))
        bev, _, _ = network.lifting(ground_tokens.float())
        ground = network.ground_head.local_and_final(bev)
        aerial = network.aerial_head.local_and_final(network.aerial_map(aerial_tokens.float()))
        truth = truth_of(batch)
        temperature = self.config.temperature

        def dense(cells: Cells, elsewhere: Cells | None = None) -> Tensor:
            return dense_loss(cells, truth, self.grid, temperature, elsewhere).mean()

        local, final = zip(aerial, ground)
        cells = matched_cells(*final, temperature)
        elsewhere = matched_cells(
            swapped(final[0]), final[1], temperature) if in_pairs else None
        return Losses(
            dense(matched_cells(*local, temperature)) if self.settings.local_weight
            else cells.aerial.new_zeros(()),
            dense(cells, elsewhere),
            self.reader(*local, batch.coverage, batch.has_layers)
            if self.settings.layer_weight else cells.aerial.new_zeros(()),
            self.contrast(cells, truth, elsewhere).mean())

    def _measure(self, batch: SampleBatch, generator: torch.Generator
                 ) -> tuple[tuple[float, float], np.ndarray, np.ndarray]:
        """Return both losses, (B,) position errors in metres and (B,) yaw errors in degrees."""
        matching = self.average(image_batch(batch.ground), image_batch(batch.aerial))
        solution = solve_pose(
            matching.scores, matching.probabilities, self.grid, RansacSettings.real_time(),
            generator=generator)
        found = Alignment(solution.rotation, solution.translation, solution.ok)
        truth = truth_of(batch)
        error_m = (found.camera - truth.camera).norm(dim=-1)
        error_deg = torch.rad2deg(found.bearing - truth.bearing).abs()
        losses = self._losses(self.average, batch)
        return ((losses.info_nce.item(), losses.pose.item()), error_m.cpu().numpy(),
                error_deg.cpu().numpy())

    def _here(self, batch: SampleBatch) -> SampleBatch:
        """Return a batch on the device of this process."""
        return Sample(*(each.to(self.processes.device) for each in batch))

    def _batches(self) -> Iterator[SampleBatch]:
        batch, workers = self.settings.batch, self.settings.loader_workers
        count = self.processes.count
        end = self.step if self.stopped else self.settings.steps
        own = range(self.step * batch + self.processes.rank, end * batch, count)
        return iter(DataLoader(
            self.training, batch // count, sampler=own,
            num_workers=workers, worker_init_fn=begin_worker,
            prefetch_factor=8 if workers else None,
            multiprocessing_context='spawn' if workers else None))

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, current = self.average.state_dict(), self.network.state_dict()
        floating = [name for name in averaged if averaged[name].is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floating], [current[name] for name in floating],
            1 - decay)

    def _go_on_from(self, saved: dict) -> None:
        for name in TRAINED:
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.best, self.stopped = saved['step'], saved['best'], saved['stopped']
        if self.processes.is_first:
            _logger.info('going on after step %d', self.step)

    def _write_checkpoint(self) -> None:
        if self.folder:
            self.folder.write_checkpoint({
                'step': self.step, 'best': self.best, 'stopped': self.stopped,
                **{name: getattr(self, name).state_dict() for name in TRAINED}})

    def _write_log(self, record: dict) -> None:
        if self.folder:
            self.folder.log(record)
            if 'validation_loss' in record:
                self.folder.write_curves()


def truth_of(batch: SampleBatch) -> Alignment:
    """Return the true motions of a batch."""
    return Alignment(
        batch.rotation, batch.translation,
        torch.ones(len(batch.rotation), dtype=torch.bool, device=batch.rotation.device))


def image_batch(images: Tensor) -> Tensor:
    """Return (B, 3, H, W) in [0, 1], channels last in memory, of (B, H, W, 3) uint8 images."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def _require_fitting(config: FG2Config, other: FG2Config) -> None:
    mine = config.to_dict()
    theirs = other.to_dict() | {'grid_extent_m': config.grid_extent_m}
    if different := [name for name in mine if mine[name] != theirs[name]]:
        raise ValueError('the weights to start from are of another network, which differs in '
                         f'{", ".join(different)}')
