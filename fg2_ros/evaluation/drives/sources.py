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

"""The drives of an evaluation: simulated cities, or recorded data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from fg2_ros.evaluation.drives import recorded, rendered
from fg2_ros.evaluation.drives.faults import faulty, RenderedSources
from fg2_ros.evaluation.drives.recorded import RecordedSources, Run, runs_of
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, render_missing
from fg2_ros.evaluation.drives.settings import (
    CitySettings, FaultSettings, OF_CITIES, RecordedSettings)
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.files import sha256_of
from tqdm import tqdm

Name = int | str  # of a drive: the seed of a simulated one, the name of a recorded one


class Drives(Protocol):
    """Drives that are followed one after the other."""

    @property
    def names(self) -> Sequence[Name]:
        """Return the names of the drives, in order."""

    def opened(self, name: Name) -> SensorStream:
        """
        Return a drive.

        :raises ValueError: if it cannot be read, or cannot have the fault that is wanted.
        """

    def described(self) -> dict[str, Any]:
        """Return what drives these are, for figures; ready for JSON."""

    def identity(self) -> dict[str, Any]:
        """Return what results depend on beside that; ready for JSON."""


@dataclass(frozen=True)
class SimulatedDrives:
    """
    A drive in each of some cities.

    :param cache: the folder of the rendered drives.
    """

    cities: CitySettings
    wrong: FaultSettings
    cache: Path

    @property
    def names(self) -> Sequence[Name]:
        """Return the seeds of the cities."""
        return self.cities.seeds

    def render(self, workers: int) -> None:
        """Render what the cache lacks of the drives, and of those that faults take images from."""
        seeds = self.cities.seeds
        specs = [self._spec(seed) for seed in sorted(
            {*seeds, *(self.cities.other_seed(seed) for seed in seeds)})]
        with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
            render_missing(specs, self.cache, workers, lambda spec: bar.update())

    def opened(self, name: Name) -> SensorStream:
        """Return a drive; it is rendered if the cache lacks it."""
        seed = int(name)
        drive = open_drive(self._spec(seed), self.cache)
        other = open_drive(self._spec(self.cities.other_seed(seed)), self.cache)
        return faulty(rendered.stream_of(drive), RenderedSources(drive, other), self.wrong)

    def described(self) -> dict[str, Any]:
        """Return the settings of cities and faults."""
        values = asdict(self.cities) | asdict(self.wrong) | {
            'city_seeds': list(self.cities.city_seeds), 'frames_per_drive': self.cities.frames}
        del values['frames']  # the figures have it for all drives together
        return values

    def identity(self) -> dict[str, Any]:
        """Return nothing more."""
        return {}

    def _spec(self, seed: int) -> DriveSpec:
        cities = self.cities
        return DriveSpec(seed, cities.difficulty, cities.frames, cities.rate_hz, cities.world)


@dataclass(frozen=True)
class RecordedDrives:
    """
    Runs of the drives of data sets.

    :raises ValueError: if the fault needs a simulated city.
    """

    which: RecordedSettings
    wrong: FaultSettings = FaultSettings()

    def __post_init__(self) -> None:
        """Refuse what only a simulated city can show."""
        if self.wrong.fault in OF_CITIES:
            raise ValueError(f'the fault {self.wrong.fault!r} needs simulated cities: recorded '
                             'drives cannot have it')

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Return the runs by their names."""
        return {run.name: run for run in runs_of(self.which.drives, self.which.split)}

    @property
    def names(self) -> Sequence[Name]:
        """Return the names of the runs."""
        return list(self.runs)

    def opened(self, name: Name) -> SensorStream:
        """Return a run."""
        run = self.runs[str(name)]
        around = RecordedSources(run, list(self.runs.values()))
        return faulty(recorded.stream_of(run), around, self.wrong)

    def described(self) -> dict[str, Any]:
        """Return what was recorded, and the settings of faults."""
        runs = self.runs.values()
        return asdict(self.wrong) | {
            'data_sets': sorted({path.name for path in self.which.drives}),
            'split': self.which.split or recorded.split_of(run.drive for run in runs),
            'recorded_drives': len({run.drive.folder for run in runs}),
            'length_m': sum(run.length_m for run in runs),
            'simulated_fixes': not all(recorded.has_fixes(run) for run in runs),
            'simulated_motion': any(recorded.is_bare(run) for run in runs)}

    def identity(self) -> dict[str, Any]:
        """Return the digests of the drives' tables of images."""
        return {'keyframes': {run.name: sha256_of(run.drive.keyframes_file)
                              for run in self.runs.values()}}
