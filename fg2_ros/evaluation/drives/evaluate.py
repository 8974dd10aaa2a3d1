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

"""How far the tracker can be trusted: from settings to the figures of many drives."""

from __future__ import annotations

from contextlib import closing, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
import tempfile
from typing import Any

from fg2_ros.evaluation.drives.faults import displaced, FAULTS, FaultSources
from fg2_ros.evaluation.drives.figures import trust_metrics
from fg2_ros.evaluation.drives.moments import chosen_moments, Moment
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, render_missing
from fg2_ros.evaluation.drives.results import DriveResult
from fg2_ros.evaluation.drives.settings import DrivesRun, RowSettings
from fg2_ros.evaluation.drives.stream import SensorStream, stream_of
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.evaluation.simulated import CurrentCity
from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
from fg2_ros.files import sha256_of
from fg2_ros.localizer import Localizer
from tqdm import tqdm


@dataclass(frozen=True)
class Evaluation:
    """
    What came of a row of drives.

    :param figures: ready for JSON.
    :param moments: beliefs to be shown, if they are wanted.
    """

    figures: dict[str, Any]
    drives: list[DriveResult]
    moments: list[Moment]


def evaluate_drives(row: RowSettings, running: DrivesRun, weights: Path, device: str = 'auto',
                    precision: str = 'fp32', shows: bool = False) -> Evaluation:
    """
    Follow drives, and return how far the poses can be trusted.

    :param shows: whether beliefs are to be shown, for which two drives are followed once more.
    :raises ValueError: for unusable weights, or results of other settings.
    """
    imagery = CurrentCity()
    localizer = Localizer.load(weights, imagery, device=device, precision=precision)
    vehicle = Vehicle(localizer, imagery, running.single_frame)
    described = {'weights': sha256_of(weights), 'precision': precision,
                 'single_frame': running.single_frame} | _described(row)
    with ExitStack() as stack:
        cache = running.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        render_all(row, cache, running.workers)
        store = stack.enter_context(closing(ResultFile(running.out, described)))
        drives = followed(row, cache, vehicle, store)
        moments = chosen_moments(
            drives, vehicle, lambda seed: opened_stream(row, seed, cache)) if shows else []
    figures = trust_metrics(drives) | {'weights': weights.name} | _described(row)
    return Evaluation(figures, drives, moments)


def render_all(row: RowSettings, cache: Path, workers: int) -> None:
    """Render what the cache lacks of the drives, and of those that faults take images from."""
    specs = [spec_of(row, seed) for seed in sorted(
        {*row.seeds, *(row.other_seed(seed) for seed in row.seeds)})]
    with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
        render_missing(specs, cache, workers, lambda spec: bar.update())


def followed(row: RowSettings, cache: Path, vehicle: Vehicle,
             store: ResultFile) -> list[DriveResult]:
    """Follow the drives that have no result yet; return the results of all."""
    for seed in tqdm(row.seeds, desc='driving', unit='drive', dynamic_ncols=True):
        if seed not in store.results:
            store.add(seed, vehicle.drive(seed, opened_stream(row, seed, cache)).as_json())
    return [DriveResult.from_json(store.results[seed]) for seed in row.seeds]


def opened_stream(row: RowSettings, seed: int, cache: Path) -> SensorStream:
    """Return a drive as the settings have it; it is rendered if the cache lacks it."""
    rendered = open_drive(spec_of(row, seed), cache)
    around = FaultSources(rendered, open_drive(spec_of(row, row.other_seed(seed)), cache))
    stream = FAULTS[row.fault](stream_of(rendered), around)
    if row.prior_offset_m:
        stream = displaced(stream, around, row.prior_offset_m, row.prior_offset_m / 2)
    return stream if row.has_heading else replace(stream, imu=None)


def spec_of(row: RowSettings, seed: int) -> DriveSpec:
    """Return the drive of a seed."""
    return DriveSpec(seed, row.difficulty, row.frames, row.rate_hz, row.world)


def _described(row: RowSettings) -> dict[str, Any]:
    values = asdict(row) | {'city_seeds': list(row.city_seeds), 'frames_per_drive': row.frames}
    del values['frames']  # the figures have it for all drives together
    return values
