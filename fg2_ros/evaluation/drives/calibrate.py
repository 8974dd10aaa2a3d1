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

"""From weights to a calibration: simulated drives are rendered, followed and learnt from."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle, product
from pathlib import Path
import tempfile

from fg2_ros.evaluation.drives.calibration import calibrated, Sample, samples_of
from fg2_ros.evaluation.drives.faults import FAULTS, RenderedSources
from fg2_ros.evaluation.drives.rendered import (
    DriveSpec, open_drive, render_missing, stream_of)
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.localizer.localizer import Localizer
from fg2_ros.simulation.cameras import MOUNTS
from fg2_ros.tracker.settings import Calibration, TrackerSettings
from fg2_ros.tracker.tracker import Tracker
from tqdm import tqdm

WRONG = 'prior_30m', 'other_street', 'mirrored'


def calibrate_on_drives(
        weights: Path, city_seeds: tuple[int, int], frames: int, rate_hz: float,
        cache: Path | None = None, device: str = 'auto',
        precision: str = 'fp32') -> Calibration:
    """
    Return the calibration of weights on drives through cities of both difficulties.

    :param city_seeds: first and last.
    :param cache: keeps the rendered drives; None for a folder that is deleted afterwards.
    :raises ValueError: for unusable weights, or if too few images are placed right.
    """
    imagery = CurrentImagery()
    vehicle = Vehicle(
        Localizer.load(weights, imagery, device=device, precision=precision), imagery, False)
    specs = [DriveSpec(seed, difficulty, frames, rate_hz) for seed, difficulty in product(
        range(city_seeds[0], city_seeds[1] + 1), MOUNTS)]
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
            render_missing(specs, folder, on_drive=lambda spec: bar.update())
        streams = [stream_of(open_drive(spec, folder)) for spec in specs]
        with tqdm(desc='following', unit='drive', dynamic_ncols=True) as bar:
            return calibrated(
                streams, _wrong(specs, folder), lambda index, stream, settings: _followed(
                    index, stream, settings, vehicle, bar),
                f'simulated cities {city_seeds[0]}-{city_seeds[1]}, {" and ".join(MOUNTS)}, '
                f'{frames} images each at {rate_hz:g} Hz')


def _wrong(specs: list[DriveSpec], folder: Path) -> list[SensorStream]:
    """Return drives with fixes of another place, or with images of another street."""
    found = []
    for spec, fault in zip(specs, cycle(WRONG)):
        drive = open_drive(spec, folder)
        found.append(FAULTS[fault](stream_of(drive), RenderedSources(drive, drive)))
    return found


def _followed(index: int, stream: SensorStream, settings: TrackerSettings, vehicle: Vehicle,
              bar: tqdm) -> list[Sample]:
    tracker = Tracker(settings, vehicle.localizer.config.cell_m)
    samples = samples_of(index, vehicle.answers(stream, tracker))
    bar.update()
    return samples
