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
A cross-view training of seconds, also as a process that can kill itself or fail.

Usage: python -m test.helpers.vigor_kitti_tiny FOLDER [--kill-after STEP] [--learn]
[--unreadable FRAME ...] [--fail-in RANK], as one process or, with the variables that torchrun
sets, as one of several.
"""

import argparse
from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import signal

from fg2_ros.datasets.frames import CrossViewFrame, UnreadableFrame
from fg2_ros.geometry.se2 import rotation2
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.report.training import write_vigor_kitti_curves
from fg2_ros.training.processes import join_processes, Processes
from fg2_ros.training.run_folder import RunFolder
from fg2_ros.training.vigor_kitti.feature_cache import backbone_hash, FeatureCache
from fg2_ros.training.vigor_kitti.run_config import Machine, Recipe
from fg2_ros.training.vigor_kitti.samples import CrossViewSamples, Variation
from fg2_ros.training.vigor_kitti.trainer import Data, VigorKittiTrainer
import numpy as np
import torch

CELLS, EXTENT_M = 5, 16.0
PANORAMA = FG2Config(
    name='vigor', backbone='cnn', ground_image_hw=(32, 64), aerial_image_hw=(32, 32), channels=8,
    grid_cells=CELLS, grid_extent_m=EXTENT_M, height_range_m=(-2.0, 2.0), height_count=3,
    iterations=1, attention_heads=2, attention_points=2, feedforward_channels=8,
    ffn_of_iteration=(1,), descriptor_widths=(8, 8, 8), descriptor_layers=1, dropout=0.0)
PINHOLE = replace(PANORAMA, name='kitti', camera='pinhole', grid_cells=6)
RECIPE = Recipe(epochs=3, batch=4, pairs=200, rate=1e-3, validation_share=0.0)
MACHINE = Machine(workers=0, checkpoint_every=2)
FRAMES, VALIDATION_FRAMES = 10, 3


class NoiseFrames:
    """Reproducible noise with a true pose; some frames may be unreadable or fail."""

    def __init__(self, count, config=PANORAMA, first=0, unreadable=(), failing=False):
        self.names = [f'frame {index}' for index in range(first, first + count)]
        self.groups, self.problems = ['noise'] * count, []
        self.config, self.first = config, first
        self.unreadable, self.failing = unreadable, failing
        self.epoch = 0

    def __len__(self):
        """Return the number of frames."""
        return len(self.names)

    def set_epoch(self, epoch):
        """Let the aerial images be others in each epoch."""
        self.epoch = epoch

    def __getitem__(self, index):
        """Return a frame of its number's own."""
        if self.failing:
            raise ValueError('this data set is not what it seems')
        if index in self.unreadable:
            raise UnreadableFrame(f'there is no image of {self.names[index]}')
        number = self.first + index
        rng = np.random.default_rng(number)
        ground = rng.integers(0, 256, (*self.config.ground_image_hw, 3), np.uint8)
        aerial = np.random.default_rng((number, self.epoch)).integers(
            0, 256, (*self.config.aerial_image_hw, 3), np.uint8)
        height, width = self.config.ground_image_hw
        camera_k = np.array([[width / 2, 0, width / 2], [0, width / 2, height / 2], [0, 0, 1]])
        return CrossViewFrame(
            self.names[index], 'noise', ground, aerial,
            rotation=rotation2(0.2 * index).astype(np.float32),
            translation=rng.uniform(-3, 3, 2).astype(np.float32), metres_per_grid_metre=1.5,
            camera_k=camera_k.astype(np.float32) if self.config.camera == 'pinhole' else None)


def make_network(config=PANORAMA):
    """Return a network of always the same weights, with other statistics than at first."""
    torch.manual_seed(3)
    network = FG2Network(config)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.weight.data.uniform_(0.5, 1.5)
    return network


def make_trainer(folder=None, resume=False, recipe=RECIPE, machine=MACHINE, config=PANORAMA,
                 processes=Processes(), cache=None, frames=None):
    """Return a trainer; it takes up the run in a folder where that is wanted."""
    network = make_network(config)
    variation = Variation(recipe.random_orientation, config.camera == 'pinhole', recipe.seed)
    cache = FeatureCache(cache, backbone_hash(network)) if cache else None
    frames = NoiseFrames(FRAMES, config) if frames is None else frames
    data = Data(
        CrossViewSamples(frames, variation, cache),
        CrossViewSamples(NoiseFrames(VALIDATION_FRAMES, config, 100), variation, cache), '')
    if folder:
        folder = RunFolder(folder, json.dumps(asdict(recipe)), write_vigor_kitti_curves)
    trainer = VigorKittiTrainer(
        network, recipe, machine, data, processes=processes, folder=folder)
    saved = processes.broadcast(folder.start(resume) if folder else None)
    if saved:
        trainer.go_on_from(saved)
    return trainer


def learned(trainer, steps):
    """Return the records of some steps and the parameters after them."""
    records = []
    trainer.schedule = replace(trainer.schedule, epochs=steps)
    batches = trainer.schedule.keys(
        trainer.step, trainer.processes.rank, trainer.processes.count)
    for _, keys in zip(range(steps), batches):
        samples = trainer._readable([trainer.data.training[key] for key in keys])
        records.append(trainer._learn(samples))
        trainer.step += 1
    return records, trainer.network.state_dict()


VARIED = replace(RECIPE, random_orientation=30.0, validation_share=0.2)
DROPPING = replace(PANORAMA, dropout=0.1)


def main():
    """Train with all that is random; die or fail where told."""
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--kill-after', type=int)
    parser.add_argument('--learn', action='store_true', help='first three steps and a validation')
    parser.add_argument('--unreadable', type=int, nargs='*', default=(), help='of those steps')
    parser.add_argument('--fail-in', type=int)
    args = parser.parse_args()

    def on_step(record):
        if record['step'] == args.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    with join_processes('cpu') as processes:
        if args.learn:
            frames = NoiseFrames(FRAMES, unreadable=args.unreadable)
            learned(make_trainer(processes=processes, frames=frames), 3)
            make_trainer(processes=processes).validate()
        frames = NoiseFrames(FRAMES, failing=processes.rank == args.fail_in)
        trainer = make_trainer(
            args.folder if processes.is_first else None, recipe=VARIED, config=DROPPING,
            processes=processes, cache=args.folder / 'features', frames=frames)
        trainer.run(on_step)


if __name__ == '__main__':
    torch.set_num_threads(1)
    main()
