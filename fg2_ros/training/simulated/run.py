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

"""A whole run in simulated cities: frames, network, training and the weights that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fg2_ros.datasets.simulated import cities, render_missing, RenderSettings
from fg2_ros.network.config import FG2Config
from fg2_ros.network.weights import load_network, read_metadata, save_weights
from fg2_ros.published.convert import origin_of
from fg2_ros.training.panorama.progress import rendering_bar, show_progress
from fg2_ros.training.panorama.samples import (
    FrameDataset, PairedDataset, RenderedFrames, SampleSettings)
from fg2_ros.training.panorama.trainer import PanoramaTrainer, TrainSettings
from fg2_ros.training.run_folder import CurvesWriter
from fg2_ros.training.simulated.settings import SimulatedRun
from tqdm import tqdm

WEIGHTS_FILE = 'fg2_sim.safetensors'


def train_simulated(run: SimulatedRun, resume: bool = False, command: str = '',
                    draw: CurvesWriter | None = None) -> Path | None:
    """
    Render what is missing, then train.

    :param resume: go on after the last checkpoint, if there is one.
    :param command: by which the run can be repeated; the weights note it.
    :param draw: writes ``curves.html``, see `RunFolder`.
    :return: the file of the weights; None if the frames only were to be rendered.
    :raises ValueError: for what cannot be trained, in a sentence.
    """
    config = FG2Config.preset('sim')
    cache = run.cache or run.out / 'frames'
    training, validation = cities(*run.cities), cities(*run.validation_cities)
    rendering = RenderSettings(run.frames_per_city, config.ground_image_hw)
    render_missing(training + validation, cache, rendering, run.workers, rendering_bar)
    if run.render_only:
        return None
    unseen = FrameDataset(
        RenderedFrames(validation, run.frames_per_city, cache), config,
        SampleSettings.validation(), seed=0).first(run.validation_frames)
    trainer = PanoramaTrainer(
        config, _train_settings(run),
        (PairedDataset if run.pairs else FrameDataset)(
            RenderedFrames(training, run.frames_per_city, cache), config, SampleSettings(),
            seed=run.seed),
        unseen, run.out, resume=resume, draw=draw,
        start=load_network(run.start_from) if run.start_from else None,
        origin={'cities': run.cities, 'frames_per_city': run.frames_per_city,
                'start': origin_of(run.start_from) if run.start_from else None})
    with tqdm(total=run.steps, initial=trainer.step, desc='training', dynamic_ncols=True) as bar:
        accuracy = trainer.run(lambda record: show_progress(bar, record))
    save_weights(trainer.average, run.out / WEIGHTS_FILE,
                 _metadata(run, command) | {'validation': accuracy})
    return run.out / WEIGHTS_FILE


def _train_settings(run: SimulatedRun) -> TrainSettings:
    return TrainSettings(
        steps=run.steps, batch=run.batch, seed=run.seed, peak_rate=run.rate, threads=run.threads,
        validate_every=run.validate_every, pose_weight=run.pose_weight,
        local_weight=0.0 if run.start_from else TrainSettings.local_weight,
        layer_weight=0.0 if run.start_from else TrainSettings.layer_weight, pairs=run.pairs)


def _metadata(run: SimulatedRun, command: str) -> dict[str, Any]:
    """Return what the weights note of the run."""
    return {
        'trained_on': 'simulation', 'command': command,
        'training_seeds': list(run.cities), 'validation_seeds': list(run.validation_cities),
        'frames_per_city': run.frames_per_city, 'steps': run.steps, 'batch': run.batch,
        'seed': run.seed,
        'started_from': read_metadata(run.start_from).get('command') if run.start_from else None}
