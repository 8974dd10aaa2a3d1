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

"""A whole run on recorded drives: frames, network, training, weights and their model card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from fg2_ros.datasets.drives import RecordedDrive, TRAIN, VALIDATION
from fg2_ros.datasets.simulated import cities, render_missing, RenderSettings
from fg2_ros.network.config import FG2Config
from fg2_ros.network.fg2 import FG2Network
from fg2_ros.network.weights import load_network, read_metadata, save_weights
from fg2_ros.published.convert import origin_of
from fg2_ros.tracker.settings import Calibration, METADATA_KEY
from fg2_ros.training.drives.card import write_card
from fg2_ros.training.drives.frames import identity_of, reach_m, RecordedFrames
from fg2_ros.training.drives.settings import DrivesRun
from fg2_ros.training.panorama.progress import rendering_bar, show_progress
from fg2_ros.training.panorama.samples import (
    FrameDataset, MixedDataset, RenderedFrames, SampleSettings)
from fg2_ros.training.panorama.trainer import PanoramaTrainer, TrainSettings
from fg2_ros.training.processes import join_processes, Processes
from fg2_ros.training.run_folder import CurvesWriter
from fg2_ros.version import __version__
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

WEIGHTS_FILE = 'fg2_drives.safetensors'
SIMULATED_RADIUS_M = RenderSettings().aerial_radius_m


def train_on_drives(run: DrivesRun, resume: bool = False, command: str = '',
                    draw: CurvesWriter | None = None) -> Path | None:
    """
    Render what is missing, then train on it and on recorded keyframes.

    The weights of the best validation are kept, those that the run started with among them.

    :param resume: go on after the last checkpoint, if there is one.
    :param command: by which the run can be repeated; weights and card note it.
    :param draw: writes ``curves.html``, see `RunFolder`.
    :return: the file of the weights; None in all processes but the first.
    :raises ValueError: for what cannot be trained, in a sentence.
    """
    with join_processes(run.device) as processes:
        start = _start(run)
        config = start.config if start else FG2Config.preset('sim')
        recorded = RecordedFrames(run.drives, TRAIN, config)
        unseen = _unseen(run, config)
        trainer = PanoramaTrainer(
            config, _train_settings(run), _training(run, recorded, config, processes), unseen,
            run.out, resume, start, _origin(run, recorded.drives), draw, processes)
        best = _trained(trainer, run)
        if trainer.folder is None:
            return None
        before = next((each for each in trainer.folder.records() if not each['step']), {})
        path = run.out / WEIGHTS_FILE
        facts = _facts(run, recorded.drives, command) | _calibration(run) | {
            'validation_frames': len(unseen), 'validation_before': before, 'validation': best}
        save_weights(trainer.average, path, facts)
        write_card(path, facts, config)
        return path


def _start(run: DrivesRun) -> FG2Network | None:
    if run.from_scratch:
        return None
    network = load_network(run.start_from)
    if network.config.camera != 'panorama':
        raise ValueError(f'{run.start_from} is for a {network.config.camera}: recorded drives '
                         'train networks for panoramas only')
    return network


def _unseen(run: DrivesRun, config: FG2Config) -> Subset:
    frames = RecordedFrames(run.drives, VALIDATION, config)
    return FrameDataset(frames, config, SampleSettings.validation(), seed=0).first(
        min(run.validation_frames, len(frames)))


def _training(run: DrivesRun, recorded: RecordedFrames, config: FG2Config,
              processes: Processes) -> Dataset:
    """Return recorded and simulated samples; the first process renders what is missing."""
    settings = SampleSettings(
        turn_world=run.vary, vary_colours=run.vary, vary_cameras=run.vary)
    recorded_samples = FrameDataset(recorded, config, settings, run.seed)
    if not run.simulated_share:
        return recorded_samples
    cache, wanted = run.cache or run.out / 'frames', cities(*run.cities)
    if processes.is_first:
        render_missing(
            wanted, cache, RenderSettings(
                run.frames_per_city, config.ground_image_hw,
                aerial_radius_m=max(SIMULATED_RADIUS_M, reach_m(config))),
            run.workers, rendering_bar)
    processes.broadcast(None)  # the others wait for the frames
    rendered = FrameDataset(RenderedFrames(wanted, run.frames_per_city, cache), config, settings,
                            run.seed + 1)
    return MixedDataset(recorded_samples, rendered, run.simulated_share)


def _trained(trainer: PanoramaTrainer, run: DrivesRun) -> dict[str, Any]:
    """Train, with a bar in the first process, and return the record of the best validation."""
    if trainer.folder is None:
        return trainer.run()
    with tqdm(total=run.steps, initial=trainer.step, desc='training', dynamic_ncols=True) as bar:
        return trainer.run(lambda record: show_progress(bar, record))


def _train_settings(run: DrivesRun) -> TrainSettings:
    return TrainSettings(
        steps=run.steps, batch=run.batch, seed=run.seed, peak_rate=run.rate, threads=run.threads,
        validate_every=run.validate_every, pose_weight=run.pose_weight,
        local_weight=TrainSettings.local_weight if run.from_scratch else 0.0,
        keep_best=True, patience=run.patience)


def _origin(run: DrivesRun, drives: list[RecordedDrive]) -> dict[str, Any]:
    """Return what must be the same for a run to go on."""
    return {
        'drives': identity_of(drives), 'simulated_share': run.simulated_share, 'vary': run.vary,
        'cities': run.cities, 'frames_per_city': run.frames_per_city,
        'start': None if run.from_scratch else origin_of(run.start_from)}


def _calibration(run: DrivesRun) -> dict[str, Any]:
    """Return how much the weights may be believed until `fg2 calibrate` has followed drives."""
    known = {} if run.from_scratch else read_metadata(run.start_from)
    if METADATA_KEY not in known:
        return {}
    return {METADATA_KEY: Calibration.of(known).with_caution().to_dict()}


def _facts(run: DrivesRun, drives: list[RecordedDrive], command: str) -> dict[str, Any]:
    """Return what the weights note of the run."""
    start = {} if run.from_scratch else origin_of(run.start_from) | {
        'trained_on': read_metadata(run.start_from).get('trained_on', 'they do not say')}
    grounds = [drive.facts.ground for drive in drives]
    return {
        'trained_on': 'recorded drives' + ' and simulation' * bool(run.simulated_share),
        'drives': {drive.name: dict(Counter(each.split or 'left out between the splits'
                                            for each in drive.keyframes)) for drive in drives},
        'imagery': sorted({f'{each.source} {each.vintage}'.strip() for each in grounds}),
        'attributions': sorted({each.attribution for each in grounds if each.attribution}),
        'training_seeds': list(run.cities) if run.simulated_share else None,
        'simulated_share': run.simulated_share, 'steps': run.steps, 'batch': run.batch,
        'rate': run.rate, 'pose_weight': run.pose_weight, 'seed': run.seed,
        'started_from': start or None, 'command': command, 'trainer': f'fg2_ros {__version__}'}
