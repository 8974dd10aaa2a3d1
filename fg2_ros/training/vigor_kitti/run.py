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

"""A whole run on VIGOR or KITTI: network, data, training and the files that come of it."""

from __future__ import annotations

from dataclasses import asdict
import hashlib
import json
import logging
from pathlib import Path
import shlex
import sys
from typing import Callable

from fg2_ros.datasets.frames import TrainingDataset
from fg2_ros.datasets.kitti import KittiDataset
from fg2_ros.datasets.vigor import VigorDataset
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import load_network, save_weights
from fg2_ros.published.checkpoints import load_reference_backbone
from fg2_ros.published.files import read_state_dict
from fg2_ros.training.event_files import EventFiles
from fg2_ros.training.processes import join_processes
from fg2_ros.training.run_folder import CurvesWriter, RunFolder
from fg2_ros.training.vigor_kitti.feature_cache import (
    backbone_hash, backbone_modules, FeatureCache)
from fg2_ros.training.vigor_kitti.run_config import RunConfig
from fg2_ros.training.vigor_kitti.samples import CrossViewSamples, Variation
from fg2_ros.training.vigor_kitti.trainer import Data, VigorKittiTrainer
from fg2_ros.version import __version__
import numpy as np
import torch
from tqdm import tqdm
import yaml

_logger = logging.getLogger(__name__)

TITLES = {'vigor': 'VIGOR', 'kitti': 'KITTI'}
LICENCE_NOTE = (
    'A note to check, no legal advice: the licence of the package that made this file does not '
    'cover it. The backbone stays under its own licence, and the terms of the data set may limit '
    'what a network that was trained on it is used for.')


def train(config: RunConfig, resume: bool = False, draw: CurvesWriter | None = None) -> None:
    """
    Train; the best network ends up in ``fg2_<data set>.safetensors``, the last one beside it.

    :param resume: go on after the last checkpoint, if there is one.
    :param draw: writes ``curves.html``, see `RunFolder`.
    :raises ValueError: for what cannot be trained, in a sentence.
    """
    with join_processes(config.machine.device) as processes:
        network = make_network(config)
        backbone = backbone_hash(network)
        data = make_data(config, network.config, backbone)
        folder = _folder(config, network.config, data, draw) if processes.is_first else None
        trainer = VigorKittiTrainer(
            network, config.recipe, config.machine, data=data, processes=processes, folder=folder)
        saved = processes.broadcast(folder.start(resume) if folder else None)
        if saved is not None:
            trainer.go_on_from(saved)
        try:
            if folder is None:
                trainer.run()
            else:
                _tell(config, data, folder)
                _run_first(trainer, folder, _weights_writer(trainer, folder, config, backbone))
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(
                'the GPU has too little memory: a smaller micro_batch needs less') from error


def make_network(config: RunConfig) -> FG2Network:
    """
    Return the network that a run starts with.

    :raises ValueError: if weights are missing or do not fit.
    """
    torch.manual_seed(config.recipe.seed)
    if config.machine.start_from:
        return _started(config)
    network = FG2Network(config.network_config())
    _load_backbone(network, config.machine.backbone)
    if config.recipe.queries == 'fixed':
        with torch.no_grad():
            network.lifting.queries.uniform_()
    return network


def make_data(config: RunConfig, network: FG2Config, backbone: str) -> Data:
    """
    Return the training and validation frames.

    :param backbone: hash of the backbone, see `backbone_hash`.
    :raises ValueError: if the data set is not there.
    """
    recipe, machine = config.recipe, config.machine
    frames = _frames(config, network)
    cache = FeatureCache(Path(machine.feature_cache), backbone) if machine.feature_cache else None
    variation = Variation(recipe.random_orientation, config.data_set == 'kitti', recipe.seed)
    parts = split(frames, recipe.validation_share, recipe.seed)
    names = hashlib.sha256(json.dumps([backbone, *(part.names for part in parts)]).encode())
    training, validation = (CrossViewSamples(part, variation, cache) for part in parts)
    return Data(training, validation, names.hexdigest())


def split(frames: TrainingDataset, validation_share: float,
          seed: int) -> tuple[TrainingDataset, TrainingDataset]:
    """Return disjoint random parts of a data set, for training and for validation."""
    order = np.random.default_rng(seed).permutation(len(frames))
    count = round(len(frames) * validation_share)
    return frames.subset(sorted(order[count:])), frames.subset(sorted(order[:count]))


def _frames(config: RunConfig, network: FG2Config) -> TrainingDataset:
    machine = config.machine
    if config.data_set == 'kitti':
        return KittiDataset(machine.root, 'train', network, config.recipe.seed)
    return VigorDataset(machine.root, machine.area, 'train', network)


def _started(config: RunConfig) -> FG2Network:
    path = config.machine.start_from
    if config.machine.backbone or config.network:
        raise ValueError(f'{path} has its own backbone and configuration: give no others')
    network = load_network(path)
    if network.config.camera != FG2Config.preset(config.data_set).camera:
        raise ValueError(
            f'{path} is for a {network.config.camera}, not for {TITLES[config.data_set]}')
    return network


def _load_backbone(network: FG2Network, file: str) -> None:
    if not file:
        raise ValueError('a backbone is needed: a DINOv2 of its authors (.pth) or a file that '
                         'this package wrote (.safetensors)')
    if Path(file).suffix != '.safetensors':
        load_reference_backbone(network, read_state_dict(file))
        return
    given = load_network(file)
    if given.config.backbone != network.config.backbone:
        raise ValueError(
            f'{file} has the backbone {given.config.backbone}, not {network.config.backbone}')
    for name, module in backbone_modules(network).items():
        module.load_state_dict(backbone_modules(given)[name].state_dict())


def _folder(config: RunConfig, network: FG2Config, data: Data,
            draw: CurvesWriter | None) -> RunFolder:
    identity = {'recipe': asdict(config.recipe), 'network': network.to_dict(),
                'data': data.identity}
    return RunFolder(Path(config.machine.out), json.dumps(identity), draw)


def _tell(config: RunConfig, data: Data, folder: RunFolder) -> None:
    """Name the labels that are skipped, and write down what the run is."""
    for problem in data.training.frames.problems:
        _logger.warning('skipped: %s', problem)
    (folder.path / 'run.yaml').write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))


def _weights_writer(
        trainer: VigorKittiTrainer, folder: RunFolder, config: RunConfig,
        backbone: str) -> Callable[[str, dict], None]:
    """Return a function that writes the network as it is, with a record of the log."""
    facts = {
        'trained_on': TITLES[config.data_set], 'data_set': config.data_set,
        'split': config.machine.area if config.data_set == 'vigor' else 'train',
        'trainer': f'fg2_ros {__version__}', 'command': shlex.join(['fg2', *sys.argv[1:]]),
        'training_frames': len(trainer.data.training),
        'validation_frames': len(trainer.data.validation),
        'recipe': asdict(config.recipe), 'backbone_sha256': backbone,
        'start_from': Path(config.machine.start_from).name, 'licence_note': LICENCE_NOTE}

    def write(suffix: str, record: dict) -> None:
        validation = {key.removeprefix('validation_'): value for key, value in record.items()
                      if key.startswith('validation_')}
        state = {name: record[name] for name in ('epoch', 'step', 'skipped')}
        save_weights(
            trainer.network, folder.path / f'fg2_{config.data_set}{suffix}',
            facts | state | {'validation': validation})
    return write


def _run_first(
        trainer: VigorKittiTrainer, folder: RunFolder,
        write: Callable[[str, dict], None]) -> None:
    """Train in the first process, with a progress bar and event files."""
    events = EventFiles(folder.path / 'tensorboard', trainer.step)
    with tqdm(total=trainer.schedule.steps, initial=trainer.step, desc='training',
              dynamic_ncols=True) as bar:
        def on_step(record: dict) -> None:
            events.write(record)
            _show(bar, record)
        trainer.run(on_step, lambda record: write('.safetensors', record))
    events.close()
    write('_last.safetensors', folder.records()[-1])


def _show(bar: tqdm, record: dict) -> None:
    bar.update()
    bar.set_postfix(
        {name: f'{record[name]:.3g}' for name in ('info_nce', 'pose_m')}, refresh=False)
    if 'skipped' in record:
        figures = ', '.join(
            f'{name.removeprefix("validation_")} {value:.3g}'
            for name, value in record.items() if name.startswith('validation_'))
        bar.write(f'epoch {record["epoch"]}: {figures}')
