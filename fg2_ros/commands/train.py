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
Train a network: in simulated cities, on recorded drives, or a published one on VIGOR or KITTI.

On several GPUs, or hosts (not sim): torchrun --no-python --nproc-per-node 4 fg2 train drives ...
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
import shlex
import sys

from fg2_ros.commands.options import add_options
from fg2_ros.settings import setting
from fg2_ros.training.drives.settings import DrivesRun
from fg2_ros.training.simulated.settings import SimulatedRun
from fg2_ros.training.vigor_kitti.run_config import (
    Machine, NetworkChanges, NOT_OF_KITTI, published_recipe, Recipe, RunConfig)


@dataclass(frozen=True)
class Resume:
    """Whether a run goes on."""

    resume: bool = setting(False, 'Go on after the last checkpoint, if there is one.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of each data set."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='DATA_SET', required=True)
    simulated = data_sets.add_parser('sim', help='simulated cities, which are rendered first')
    add_options(simulated, train_simulated, SimulatedRun, Resume)
    drives = data_sets.add_parser(
        'drives', help='recorded drives (see `fg2 drives build`), mixed with simulated cities')
    add_options(drives, train_drives, DrivesRun, Resume)
    vigor = data_sets.add_parser('vigor', help='panoramas and satellite images of four cities')
    add_options(vigor, train_vigor, published_recipe('vigor'), Machine(), NetworkChanges, Resume)
    kitti = data_sets.add_parser('kitti', help='a camera that looks ahead')
    add_options(kitti, train_kitti, published_recipe('kitti'), Machine(), NetworkChanges, Resume,
                without=NOT_OF_KITTI)


def train_simulated(settings: SimulatedRun, resume: Resume) -> int:
    """Train in simulated cities; the weights end up in ``OUT/fg2_sim.safetensors``."""
    from fg2_ros.report.training import write_simulated_curves
    from fg2_ros.training.simulated.run import train_simulated as train
    train(settings, resume.resume, shlex.join(['fg2', *sys.argv[1:]]), write_simulated_curves)
    return 0


def train_drives(settings: DrivesRun, resume: Resume) -> int:
    """Train on recorded drives; the weights end up in ``OUT/fg2_drives.safetensors``."""
    from fg2_ros.report.training import write_simulated_curves
    from fg2_ros.training.drives.run import train_on_drives
    weights = train_on_drives(
        settings, resume.resume, shlex.join(['fg2', *sys.argv[1:]]), write_simulated_curves)
    if weights:
        print(f'{weights} is trained, and its model card lies beside it; "fg2 calibrate --drives '
              f'{settings.drives} --weights {weights} --out {weights}" says how far a tracker '
              'may believe it')
    return 0


def train_vigor(
        recipe: Recipe, machine: Machine, changes: NetworkChanges, resume: Resume) -> int:
    """Train as published; the weights end up in ``OUT/fg2_vigor.safetensors``."""
    return train_published(RunConfig('vigor', recipe, machine, changes.network or {}), resume)


def train_kitti(
        recipe: Recipe, machine: Machine, changes: NetworkChanges, resume: Resume) -> int:
    """Train as published; the weights end up in ``OUT/fg2_kitti.safetensors``."""
    return train_published(RunConfig('kitti', recipe, machine, changes.network or {}), resume)


def train_published(config: RunConfig, resume: Resume) -> int:
    """Train on one of the published data sets."""
    config.require_complete()
    from fg2_ros.report.training import write_vigor_kitti_curves
    from fg2_ros.training.vigor_kitti.run import train
    train(config, resume.resume, write_vigor_kitti_curves)
    return 0
