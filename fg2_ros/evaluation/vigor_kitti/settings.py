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

"""Settings of an evaluation on VIGOR or KITTI."""

from __future__ import annotations

from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.settings import setting


@dataclass(frozen=True)
class VigorPart:
    """Which frames of VIGOR."""

    root: Path = setting(MISSING, 'Folder of the data set.', of=Path, option={'metavar': 'ROOT'})
    area: str = setting(
        MISSING, 'Same area as in training, or another.', of=str,
        choices=('samearea', 'crossarea'))

    @property
    def name(self) -> str:
        """Return what results call the part."""
        return self.area


@dataclass(frozen=True)
class KittiPart:
    """Which frames of KITTI."""

    root: Path = setting(MISSING, 'Folder of the data set.', of=Path, option={'metavar': 'ROOT'})
    split: str = setting(
        MISSING, 'Same area as in training, or another.', of=str, choices=('test1', 'test2'))

    @property
    def name(self) -> str:
        """Return what results call the part."""
        return self.split


@dataclass(frozen=True)
class SolverSettings:
    """Which network localizes, and how."""

    weights: Path = setting(
        MISSING, 'File that `fg2 convert` or `fg2 train` made.', of=Path)
    solver: str = setting(
        'procrustes', 'How matches become a pose. procrustes: the weighted alignment of matches '
        'drawn by their probability, and ransac: the robust one, both as published; posterior: '
        'the likeliest of all poses in the patch, as when a vehicle is localized.',
        choices=('procrustes', 'ransac', 'posterior'))
    seed: int = setting(0, 'Of all random draws.', between=(0, 2 ** 31 - 1))
    device: str = setting('auto', 'Torch device.')
    precision: str = setting(
        'fp32', 'auto: bf16 on a CPU with instructions for it, else fp32.',
        choices=('auto', 'fp32', 'fp16', 'bf16'))


@dataclass(frozen=True)
class OrientationSettings:
    """How panoramas are rolled: not at all by default."""

    random_orientation: bool = setting(
        False, 'Panoramas are rolled at random, within +-180 degrees.')
    first_run: bool = setting(
        False, 'Predict the orientation for a second run: writes first_run.json into the folder '
        'of the results.', option={'group': 'run'})
    first_run_predictions: Path | None = setting(
        None, 'A second run: panoramas are rolled back as this file of a first run predicts.',
        of=Path, option={'group': 'run'})


@dataclass(frozen=True)
class RunSettings:
    """
    How frames are gone through.

    The seed of a frame's random draws depends neither on its batch nor on who loads it. But in
    batches of another size, which a run that goes on may have, too, networks round otherwise:
    results then differ by that or, where it changes the draws, as those of other seeds do.
    """

    batch: int = setting(4, 'Frames.', between=(1, 4096), option={'name': 'batch_size'})
    workers: int = setting(
        2, 'Processes that load frames; 0 loads them in this one.', between=(0, 256))
    limit: int | None = setting(
        None, 'Only N frames, evenly spread over the data set.', of=int, between=(1, 10 ** 9))
    out: Path | None = setting(
        None, 'Keep the result of each frame there; the same command again goes on with them.',
        of=Path, option={'metavar': 'FOLDER'})

    def indices(self, count: int) -> list[int]:
        """Return which of so many frames are evaluated."""
        limit = min(self.limit or count, count)
        return [index * count // max(limit, 1) for index in range(limit)]
