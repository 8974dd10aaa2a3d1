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

"""Training samples of cross-view data sets, in a resumable order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple

from fg2_ros.datasets.frames import rolled, TrainingDataset, UnreadableFrame
from fg2_ros.processes import begin_worker
from fg2_ros.training.vigor_kitti.feature_cache import FeatureCache
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

ORDER, ROLL, DRAW = range(3)  # what random numbers are for: streams that never meet


class Key(NamedTuple):
    """A frame of an epoch, by its index; both decide all that is random about it."""

    epoch: int
    frame: int


class View(NamedTuple):
    """
    One image, or what the backbone made of it.

    :param content: (h, w, 3) uint8 RGB, or (C, h', w') float16 tokens.
    :param file: where tokens are to be kept; None if they are there or must not be.
    """

    content: Tensor
    file: Path | None


class CrossViewSample(NamedTuple):
    """
    A frame as it is trained on.

    :param seed: of its random matches.
    """

    name: str
    ground: View
    aerial: View
    rotation: np.ndarray
    translation: np.ndarray
    camera_k: np.ndarray | None
    metres_per_grid_metre: float
    seed: int


class Unreadable(NamedTuple):
    """A frame that is left out, with the sentence that says why."""

    reason: str


@dataclass(frozen=True)
class Variation:
    """
    What is random about a data set's frames.

    :param yaw_range_deg: panoramas are rolled by up to this angle either way.
    :param aerial_varies: whether the data set draws the aerial patch anew in every epoch.
    :param seed: of the run.
    """

    yaw_range_deg: float
    aerial_varies: bool
    seed: int

    def rng(self, stream: int, key: Key) -> np.random.Generator:
        """Return the random numbers of a frame in an epoch for one purpose."""
        return np.random.default_rng((self.seed, stream, *key))


class CrossViewSamples(Dataset):
    """
    The samples of a data set by their keys.

    :param cache: of features; None computes all of them again each time.
    """

    def __init__(self, frames: TrainingDataset, variation: Variation,
                 cache: FeatureCache | None):
        self.frames = frames
        self.variation = variation
        self.cache = cache

    def __len__(self) -> int:
        """Return the frames in an epoch."""
        return len(self.frames)

    def __getitem__(self, key: Key) -> CrossViewSample | Unreadable:
        """Return a frame as it is in an epoch."""
        variation = self.variation
        if variation.aerial_varies:
            self.frames.set_epoch(key.epoch)
        try:
            frame = self.frames[key.frame]
        except UnreadableFrame as error:
            return Unreadable(str(error))
        limit_deg = variation.yaw_range_deg
        if limit_deg:
            frame = rolled(
                frame, float(variation.rng(ROLL, key).uniform(-limit_deg, limit_deg)))
        return CrossViewSample(
            name=frame.name, ground=self._view(frame.ground, varies=limit_deg > 0),
            aerial=self._view(frame.aerial, variation.aerial_varies), rotation=frame.rotation,
            translation=frame.translation, camera_k=frame.camera_k,
            metres_per_grid_metre=frame.metres_per_grid_metre,
            seed=int(variation.rng(DRAW, key).integers(2 ** 63)))

    def _view(self, image: np.ndarray, varies: bool) -> View:
        """Return the tokens of an image if they are kept, else the image."""
        pixels = torch.tensor(image)
        if self.cache is None or varies:
            return View(pixels, None)
        file = self.cache.path(image)
        tokens = self.cache.read(file)
        return View(pixels, file) if tokens is None else View(tokens, None)


@dataclass(frozen=True)
class Schedule:
    """
    Which frames are learned when, by all processes.

    The last frames of an epoch that fill no batch are left out; which ones changes from epoch to
    epoch.

    :param frames: in an epoch.
    :param batch: frames in a step, of all processes together.
    :raises ValueError: if the frames do not fill a batch.
    """

    frames: int
    batch: int
    epochs: int
    seed: int

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.frames < self.batch:
            raise ValueError(
                f'{self.frames} training frames do not fill a batch of {self.batch}')

    @property
    def steps_per_epoch(self) -> int:
        """Return the optimiser steps in an epoch."""
        return self.frames // self.batch

    @property
    def steps(self) -> int:
        """Return the optimiser steps in all."""
        return self.epochs * self.steps_per_epoch

    def keys(self, first_step: int, rank: int, ranks: int) -> Iterator[list[Key]]:
        """Yield one process's share of each batch, from a step on."""
        for step in range(first_step, self.steps):
            epoch, position = divmod(step, self.steps_per_epoch)
            if position == 0 or step == first_step:
                order = np.random.default_rng((self.seed, ORDER, epoch)).permutation(self.frames)
            start = position * self.batch
            yield [Key(epoch, int(index))
                   for index in order[start:start + self.batch][rank::ranks]]


def load_batches(
        samples: CrossViewSamples, batches: Iterator[list[Key]],
        workers: int) -> Iterator[list[CrossViewSample | Unreadable]]:
    """Yield lists of samples for lists of keys, read ahead by worker processes."""
    return iter(DataLoader(
        samples, batch_sampler=batches, num_workers=workers, collate_fn=list,
        worker_init_fn=begin_worker, prefetch_factor=2 if workers else None,
        multiprocessing_context='spawn' if workers else None))
