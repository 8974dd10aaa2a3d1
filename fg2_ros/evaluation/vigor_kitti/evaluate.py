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

"""Evaluation on VIGOR or KITTI: from the files of the data set to figures."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
import logging
from typing import Any, Sequence

from fg2_ros.datasets.frames import CrossViewDataset, rolled
from fg2_ros.datasets.kitti import KittiDataset
from fg2_ros.datasets.vigor import VigorDataset
from fg2_ros.evaluation.vigor_kitti import run
from fg2_ros.evaluation.vigor_kitti.orientation import FirstRun, random_rolls_deg
from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
from fg2_ros.evaluation.vigor_kitti.results import (
    Case, CrossViewResult, pose_metrics, pose_metrics_by_group)
from fg2_ros.evaluation.vigor_kitti.settings import (
    KittiPart, OrientationSettings, RunSettings, SolverSettings, VigorPart)
from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver
from fg2_ros.files import sha256_of
from fg2_ros.localizer.localizer import honesty_of, usable_metadata
from fg2_ros.network.config import FG2Config
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.weights import load_network, usable_device, usable_precision
from tqdm import tqdm

FIRST_RUN_FILE = 'first_run.json'
SCALE_TOLERANCE = 0.1  # VIGOR's own images differ by as much
CAMERAS = {'vigor': 'panorama', 'kitti': 'pinhole'}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """
    What came of a part of a data set.

    :param figures: ready for JSON.
    :param results: of each frame.
    :param best: of the frames, if they are to be shown.
    :param worst: of the frames, if they are to be shown.
    """

    figures: dict[str, Any]
    results: list[CrossViewResult]
    best: list[Case] = field(default_factory=list)
    worst: list[Case] = field(default_factory=list)


def evaluate_data_set(
        part: VigorPart | KittiPart, solving: SolverSettings,
        orientation: OrientationSettings = OrientationSettings(),
        running: RunSettings = RunSettings(), cases: int | None = None) -> Evaluation:
    """
    Return how good the poses over a part of a data set are.

    :param cases: so many of the best and of the worst frames are to be shown; None for none.
    :raises ValueError: for unusable settings, weights or label files, or if nothing was readable.
    """
    solver = load_solver(solving)
    dataset = open_data_set(part, solving, solver.config)
    known, rolls_deg = _rolls(orientation, running, dataset.names, solving.seed)
    described = {
        'data_set': data_set_of(part), 'part': part.name,
        'solver': solving.solver, 'orientation': known,
        'seed': solving.seed, 'precision': solving.precision,
        'weights': sha256_of(solving.weights),
        'labels': run.labels_fingerprint(dataset)}
    with closing(ResultFile(running.out, described)) as store, tqdm(
            total=len(running.indices(len(dataset))), desc='localizing', unit='frame',
            dynamic_ncols=True) as bar:
        outcome = run.evaluate(
            dataset, solver, store, running, rolls_deg=rolls_deg, on_frames=bar.update)
    figures = described | figures_of(outcome, by_axis=isinstance(part, KittiPart))
    if isinstance(dataset, VigorDataset):
        figures['label_files'] = dataset.label_files
    if orientation.first_run and running.out:
        FirstRun.of(outcome.results).write(running.out / FIRST_RUN_FILE)
    best, worst = (
        run.draw_cases(extreme, solver, dataset, rolls_deg)
        for extreme in run.extremes(outcome.results, cases or 0))
    return Evaluation(figures, outcome.results, best, worst)


def figures_of(outcome: run.EvaluationRun, by_axis: bool) -> dict[str, Any]:
    """
    Return the figures of an evaluation, ready for JSON.

    :param by_axis: with lateral and longitudinal recalls, too.
    """
    return pose_metrics(outcome.results, by_axis) | {
        'groups': pose_metrics_by_group(outcome.results, by_axis),
        'unreadable_count': len(outcome.unreadable), 'unreadable': outcome.unreadable,
        'broken_label_count': len(outcome.broken_labels),
        'broken_labels': outcome.broken_labels}


def localize_case(part: VigorPart | KittiPart, solving: SolverSettings, index: int,
                  roll_deg: float | None = None) -> Case:
    """
    Return what is found in one frame.

    :param roll_deg: the panorama is rolled to the right before.
    :raises ValueError: if there is no such frame, or the settings cannot be used.
    """
    solver = load_solver(solving)
    dataset = open_data_set(part, solving, solver.config)
    if not 0 <= index < len(dataset):
        raise ValueError(f'there are the indices 0 to {len(dataset) - 1}, not {index}')
    frame = dataset[index]
    if roll_deg is not None:
        frame = rolled(frame, roll_deg)
    return run.draw_case(solver, index, frame)


def data_set_of(part: VigorPart | KittiPart) -> str:
    """Return 'vigor' or 'kitti'."""
    return 'kitti' if isinstance(part, KittiPart) else 'vigor'


def open_data_set(part: VigorPart | KittiPart, solving: SolverSettings,
                  config: FG2Config) -> CrossViewDataset:
    """
    Return the test frames of a part, at the sizes of a network.

    :raises ValueError: if label files are missing, or the network is for another camera.
    """
    name = data_set_of(part)
    if config.camera != CAMERAS[name]:
        raise ValueError(
            f'{solving.weights} is for a {config.camera} camera, {name.upper()} has a '
            f'{CAMERAS[name]} camera')
    usual_m = FG2Config.preset(name).grid_extent_m
    if abs(config.grid_extent_m / usual_m - 1) > SCALE_TOLERANCE:
        _logger.warning(
            "the network's grid spans %g m, but the aerial images about %g m: distances will not "
            'fit what it was trained on', config.grid_extent_m, usual_m)
    if isinstance(part, KittiPart):
        return KittiDataset(part.root, part.split, config)
    return VigorDataset(part.root, part.area, 'test', config)


def load_solver(settings: SolverSettings) -> CrossViewSolver:
    """
    Return what localizes, on its device.

    :raises ValueError: if weights or device cannot be used.
    """
    device = usable_device(settings.device)
    network = optimise_for_inference(load_network(
        settings.weights, device, usable_precision(settings.precision, device)))
    return CrossViewSolver(
        network, settings.solver, settings.seed, honesty_of(usable_metadata(settings.weights)))


def _rolls(orientation: OrientationSettings, running: RunSettings, names: Sequence[str],
           seed: int) -> tuple[str, list[float] | None]:
    """Return what is known of the orientation, and the rolls of all frames if it is not known."""
    predictions = orientation.first_run_predictions
    if not orientation.random_orientation:
        if orientation.first_run or predictions:
            raise ValueError('a first or second run is one with --random-orientation')
        return 'known', None
    if predictions:
        first = FirstRun.read(predictions)
        return (f'predicted by a first run ({sha256_of(predictions)[:12]})',
                first.remaining_deg(names, seed))
    if orientation.first_run and not running.out:
        raise ValueError('--first-run needs --out FOLDER for its predictions')
    return 'unknown', random_rolls_deg(names, seed)
