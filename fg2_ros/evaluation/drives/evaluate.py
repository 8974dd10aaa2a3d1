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

"""How far the tracker can be trusted: from drives and weights to figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.moments import chosen_moments, Moment
from fg2_ros.evaluation.drives.pictures import (
    Ground, ground_of, worst_drives, worst_frames, WorstFrame)
from fg2_ros.evaluation.drives.results import DriveResult
from fg2_ros.evaluation.drives.settings import NetworksSettings
from fg2_ros.evaluation.drives.sources import Drives
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
from fg2_ros.files import names_apart, sha256_of
from fg2_ros.localizer import Localizer
from tqdm import tqdm

FORMAT = 2  # of the results that are kept
OPEN_DRIVES = 8  # at most at a time, for pictures


@dataclass(frozen=True)
class Evaluation:
    """
    The results of drives with one network.

    :param name: of its weights, as it is shown.
    :param figures: ready for JSON.
    :param moments: beliefs to be shown, if they are wanted; likewise the images that were placed
        worst, and the ground of drives by their names.
    """

    name: str
    figures: dict[str, Any]
    drives: list[DriveResult]
    moments: list[Moment] = field(default_factory=list)
    worst: list[WorstFrame] = field(default_factory=list)
    grounds: dict[int | str, Ground] = field(default_factory=dict)


def evaluate_drives(drives: Drives, networks: NetworksSettings, single_frame: bool = True,
                    out: Path | None = None, shows: bool = False) -> list[Evaluation]:
    """
    Follow the same drives with each network, and return how far the poses can be trusted.

    :param single_frame: whether images are localized alone, too.
    :param out: keeps the result of each drive, for the same evaluation to go on with; in a folder
        for each of several weights.
    :param shows: whether beliefs are to be shown, for which two drives are followed once more.
    :raises ValueError: for unusable weights or drives, or results of other settings.
    """
    require_apart(networks.weights)
    found = []
    names = names_apart([weights.with_suffix('') for weights in networks.weights])
    for name, weights in zip(names, networks.weights):
        imagery = CurrentImagery()
        localizer = Localizer.load(
            weights, imagery, device=networks.device, precision=networks.precision)
        vehicle = Vehicle(localizer, imagery, single_frame)
        described = {
            'format': FORMAT, 'weights': sha256_of(weights), 'precision': networks.precision,
            'single_frame': single_frame} | drives.described() | drives.identity()
        folder = out / name if out and len(networks.weights) > 1 else out
        with closing(ResultFile(folder, described)) as store:
            results = followed(drives, vehicle, store)
        found.append(Evaluation(
            name, trust_metrics(results) | {'weights': weights.name} | drives.described(), results,
            **(shown(results, drives, vehicle) if shows else {})))
    return found


def shown(results: list[DriveResult], drives: Drives, vehicle: Vehicle) -> dict[str, Any]:
    """Return what is shown of an evaluation beside its figures."""
    opened = lru_cache(OPEN_DRIVES)(drives.opened)
    return {'moments': chosen_moments(results, vehicle, opened),
            'worst': worst_frames(results, opened),
            'grounds': {drive.name: ground_of(opened(drive.name))
                        for drive in worst_drives(results)}}


def followed(drives: Drives, vehicle: Vehicle, store: ResultFile) -> list[DriveResult]:
    """Follow the drives that have no result yet; return the results of all."""
    for name in tqdm(drives.names, desc='driving', unit='drive', dynamic_ncols=True):
        if name not in store.results:
            store.add(name, vehicle.drive(name, drives.opened(name)).as_json())
    return [DriveResult.from_json(store.results[name]) for name in drives.names]


def compared(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the figures of one evaluation, or those of several by the names of their weights."""
    if len(evaluations) == 1:
        return evaluations[0].figures
    return {'by_weights': {each.name: each.figures for each in evaluations}}


def require_apart(weights: Sequence[Path]) -> None:
    """Refuse to compare weights with themselves."""
    if len({path.resolve() for path in weights}) < len(weights):
        raise ValueError('the same weights are given twice')
