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
A training run of seconds, as a process that can kill itself.

Usage: python -m test.helpers.tiny_run FOLDER [--resume] [--kill-after STEP] [--steps N] [--exact].
"""

import argparse
from dataclasses import replace
import os
from pathlib import Path
import signal

from fg2_ros.network.config import FG2Config
from fg2_ros.report.training import write_simulated_curves
from fg2_ros.simulation.layers import NAMES
from fg2_ros.training.panorama.samples import Sample
from fg2_ros.training.panorama.trainer import PanoramaTrainer, TrainSettings
from fg2_ros.training.processes import join_processes, Processes
import numpy as np
from torch.utils.data import Dataset, Subset

CONFIG = FG2Config(
    name='tiny', backbone='cnn', ground_image_hw=(32, 64), aerial_image_hw=(32, 32), channels=8,
    grid_cells=9, grid_extent_m=16.0, height_range_m=(-2.0, 2.0), height_count=3, iterations=1,
    attention_heads=2, attention_points=2, feedforward_channels=8, ffn_of_iteration=(1,),
    descriptor_widths=(8, 8, 8), descriptor_layers=1, dropout=0.0, aerial_sampling='points',
    panorama_wrap_tokens=4)
SETTINGS = TrainSettings(
    steps=12, batch=4, validate_every=6, checkpoint_every=5, threads=1, loader_workers=0)


class NoiseDataset(Dataset):
    """Reproducible noise with a true pose."""

    def __init__(self, kinds: int = 2 ** 40):
        """Say after how many samples the first comes again."""
        self.kinds = kinds

    def __len__(self) -> int:
        """Return a number that no training reaches."""
        return 2 ** 40

    def __getitem__(self, number: int) -> Sample:
        """Return a sample of its number's own."""
        rng = np.random.default_rng(number % self.kinds)
        images = (rng.integers(0, 256, (*hw, 3), np.uint8) for hw in (
            CONFIG.ground_image_hw, CONFIG.aerial_image_hw))
        coverage = rng.integers(0, 256, (2, CONFIG.grid_cells ** 2, len(NAMES)), np.uint8)
        return Sample(
            *images, np.eye(2, dtype=np.float32), rng.uniform(-3, 3, 2).astype(np.float32),
            coverage)


def make_trainer(folder: Path, resume: bool = False, settings: TrainSettings = SETTINGS,
                 origin: dict | None = None, kinds: int = 2 ** 40,
                 processes: Processes = Processes()) -> PanoramaTrainer:
    """
    Return the run's trainer.

    :param kinds: of samples; then the first comes again.
    """
    data = NoiseDataset(kinds)
    return PanoramaTrainer(
        CONFIG, settings, data, Subset(data, range(6)), folder, resume=resume, origin=origin,
        draw=write_simulated_curves, processes=processes)


def main() -> None:
    """Train; die where told."""
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--kill-after', type=int)
    parser.add_argument('--steps', type=int, default=SETTINGS.steps)
    parser.add_argument('--exact', action='store_true')
    args = parser.parse_args()
    settings = replace(SETTINGS, steps=args.steps)
    if args.exact:
        settings = replace(settings, bfloat16=False, pose_weight=0.0)

    def on_step(record: dict) -> None:
        if record['step'] == args.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    with join_processes('cpu') as processes:
        make_trainer(args.folder, args.resume, settings, processes=processes).run(on_step)


if __name__ == '__main__':
    main()
