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

"""From weights to a calibration: drives are followed, those of cities or recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
import logging
from pathlib import Path
import tempfile

from fg2_ros.datasets.drives import TRAIN, VALIDATION
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives import recorded, rendered
from fg2_ros.evaluation.drives.calibration import calibrated, LEAST_WRONG, UNCALIBRATED
from fg2_ros.evaluation.drives.faults import FAULTS, RenderedSources
from fg2_ros.evaluation.drives.recorded import RecordedSources, Run, runs_of
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, render_missing, RenderedDrive
from fg2_ros.evaluation.drives.samples import Sample, samples_of
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.localizer.localizer import Localizer
from fg2_ros.simulation.cameras import MOUNTS
from fg2_ros.tracker.settings import Calibration
from fg2_ros.tracker.tracker import Tracker
from tqdm import tqdm

WRONG = 'prior_30m', 'other_street', 'mirrored'
LEAST_RUNS, LEAST_IMAGES = 3, 100  # of recorded drives
LONGEST_M = 250.0  # of a run: what is learnt of one tracker may be a matter of its luck
RENDERING = 2  # processes
WRONG_RUNS = 12  # that are wanted at least; fewer runs have several faults each


def calibrate_on_cities(
        weights: Path, city_seeds: tuple[int, int], frames: int, rate_hz: float,
        cache: Path | None = None, device: str = 'auto',
        precision: str = 'fp32') -> Calibration:
    """
    Return the calibration of weights on drives through cities of both difficulties.

    :param city_seeds: first and last.
    :param cache: keeps the rendered drives and what the network makes of their images; None for
        a folder that is deleted afterwards.
    :raises ValueError: for unusable weights, or if too few images are placed right.
    """
    specs = [DriveSpec(seed, difficulty, frames, rate_hz) for seed, difficulty in product(
        range(city_seeds[0], city_seeds[1] + 1), MOUNTS)]
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vehicle = _vehicle(weights, folder, device, precision)
        with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
            render_missing(specs, folder, RENDERING, lambda spec: bar.update())
        drives = [open_drive(spec, folder) for spec in specs]
        streams = [rendered.stream_of(drive) for drive in drives]
        return _calibrated(
            vehicle, streams, _wrong_in_cities(drives, streams),
            f'simulated cities {city_seeds[0]}-{city_seeds[1]}, {" and ".join(MOUNTS)}, '
            f'{frames} images each at {rate_hz:g} Hz')


def calibrate_on_recordings(
        weights: Path, drives: Sequence[Path], split: str, cache: Path | None = None,
        device: str = 'auto', precision: str = 'fp32') -> Calibration:
    """
    Return the calibration of weights on recorded drives: for their camera and country.

    Where the drives have too few wrong places, those odds are kept that the weights have.

    :param drives: data sets, or single drives.
    :param split: of their images, or several with plus signs between them.
    :param cache: keeps what the network makes of the images; None for a folder that is deleted
        afterwards.
    :raises ValueError: for unusable weights or drives, or if there are too few images.
    """
    runs = runs_of(drives, split, LONGEST_M)
    require_enough(runs, split)
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vehicle = _vehicle(weights, folder, device, precision)
        first = replace(
            Calibration.of(vehicle.localizer.metadata), temper=UNCALIBRATED.temper,
            nothing_share=UNCALIBRATED.nothing_share)
        return _calibrated(vehicle, [recorded.stream_of(run) for run in runs],
                           _wrong_in_recordings(runs), described(runs, drives, split), first)


def require_enough(runs: Sequence[Run], split: str) -> None:
    """
    Refuse a calibration on next to nothing.

    :raises ValueError: saying how much there is, and how much is needed.
    """
    images = sum(len(run.keyframes) for run in runs)
    if len(runs) < LEAST_RUNS or images < LEAST_IMAGES:
        raise ValueError(
            f'these drives have {images} images for {split} in {len(runs)} pieces of road: at '
            f'least {LEAST_IMAGES} in {LEAST_RUNS} are needed. Add drives' + (
                f', or --split {TRAIN}+{VALIDATION} if the weights have not been trained on them'
                if split == VALIDATION else ''))


def described(runs: Sequence[Run], paths: Sequence[Path], split: str) -> str:
    """Return what a calibration rests on."""
    drives = len({run.drive.folder for run in runs})
    return (f'recorded drives of {", ".join(sorted({path.name for path in paths}))}, {split}: '
            f'{drives} drives, {len(runs)} pieces of road, '
            f'{sum(len(run.keyframes) for run in runs)} images over '
            f'{sum(run.length_m for run in runs):.0f} m')


def _vehicle(weights: Path, folder: Path, device: str, precision: str) -> Vehicle:
    imagery = CurrentImagery()
    return Vehicle(Localizer.load(
        weights, imagery, device=device, precision=precision, kept_in=folder), imagery, False)


def _wrong_in_cities(drives: Sequence[RenderedDrive],
                     streams: Sequence[SensorStream]) -> list[SensorStream]:
    """
    Return each drive with fixes of another place, and with images that do not belong to it.

    In half of the cities these are of another street, in the others they are mirrored.
    """
    fixes, *images = WRONG
    return [FAULTS[fault](stream, RenderedSources(drive, drive))
            for drive, stream in zip(drives, streams)
            for fault in (fixes, images[drive.spec.seed % len(images)])]


def _wrong_in_recordings(runs: Sequence[Run]) -> list[SensorStream]:
    """Return the same of recorded drives; without other streets if none is far enough."""
    pairs = [(run, WRONG[(number + turn) % len(WRONG)])
             for turn in range(len(WRONG)) for number, run in enumerate(runs)]
    found = []
    for run, fault in pairs[:max(len(runs), WRONG_RUNS)]:
        around = RecordedSources(run, runs)
        if fault != 'other_street' or around.has_elsewhere:
            found.append(FAULTS[fault](recorded.stream_of(run), around))
    return found


def _calibrated(
        vehicle: Vehicle, streams: Sequence[SensorStream], wrong: Sequence[SensorStream],
        fitted_on: str, first: Calibration = UNCALIBRATED) -> Calibration:
    with tqdm(desc='following', unit='image', dynamic_ncols=True) as bar:
        found = calibrated(
            streams, wrong, lambda index, stream, settings, kind: _followed(
                index, stream, kind(settings, vehicle.localizer.config.cell_m), vehicle, bar),
            fitted_on, first)
    if found.has_odds:
        return found.calibration
    logging.getLogger(__name__).warning(
        'only %d images of these drives are sure of a wrong place, and %d are needed: how right '
        'places are told from wrong ones stays as it was', found.wrong, LEAST_WRONG)
    return replace(found.calibration, fitted_on=f'{fitted_on}; odds as before')


def _followed(index: int, stream: SensorStream, tracker: Tracker, vehicle: Vehicle,
              bar: tqdm) -> list[Sample]:
    samples = samples_of(index, vehicle.answers(stream, tracker))
    bar.update(len(stream.shots))
    return samples
