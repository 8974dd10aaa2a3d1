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

"""Settings of the evaluation on drives."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fg2_ros.datasets.drives import SPLITS
from fg2_ros.settings import setting, SHIPPED_WEIGHTS
from fg2_ros.simulation.seeds import seed_range
from fg2_ros.simulation.worlds import WORLDS

FAULTS = (
    'none', 'yaw180', 'yaw90', 'other_city', 'other_street', 'mirrored', 'prior_30m', 'occluded',
    'dark', 'stale', 'clouds', 'odometry_jump', 'odometry_restart', 'gnss_jump', 'kidnapped',
    'standstill', 'mount_180')
OF_HEADING = ('yaw180', 'yaw90')
OF_CITIES = ('other_city', 'stale', 'clouds', 'standstill')
EVERY_SPLIT = 'all'


@dataclass(frozen=True)
class CitySettings:
    """Which simulated drives are driven."""

    city_seeds: tuple = setting(
        (2100, 2139), 'A drive in each city, first and last; seeds below 1100 were seen in '
        'training, validation and calibration.', parse=seed_range, option={'metavar': 'A-B'})
    difficulty: str = setting('standard', 'Of the cities.', choices=('standard', 'hard'))
    world: str = setting(
        'A', 'What cities, vehicles and sensors look like. A: as in training; B: other facades, '
        'roofs, grounds, camera and aerial sensor.', choices=tuple(WORLDS))
    frames: int = setting(60, 'Images of each drive.', between=(3, 10 ** 4))
    rate_hz: float = setting(
        4.0, 'Of the images, a second.', between=(0.1, 50.0),
        option={'name': 'rate', 'metavar': 'HZ'})

    @property
    def seeds(self) -> range:
        """Return the seeds of the drives."""
        return range(self.city_seeds[0], self.city_seeds[1] + 1)

    def other_seed(self, seed: int) -> int:
        """Return the seed of the city that a fault takes images from: the next one."""
        return seed + 1 if seed < self.city_seeds[1] or len(self.seeds) == 1 else self.seeds[0]


@dataclass(frozen=True)
class FaultSettings:
    """
    What is wrong with the drives.

    :raises ValueError: if the heading is left out and wrong at once.
    """

    fault: str = setting(
        'none', 'What is wrong: see docs/drives.md.', choices=FAULTS,
        option={'metavar': 'KIND'})
    prior_offset_m: float = setting(
        0.0, 'All fixes are off by so many metres, and claim half of it as sigma.',
        between=(0.0, 1e4), option={'name': 'prior_offset', 'metavar': 'M'})
    has_heading: bool = setting(True, 'Whether there is a heading.', option={'name': 'heading'})

    def __post_init__(self):
        """Refuse a fault of a heading that is not there."""
        if not self.has_heading and self.fault in OF_HEADING:
            raise ValueError(f'the fault {self.fault!r} needs a heading')


@dataclass(frozen=True)
class RecordedSettings:
    """Which recorded drives are followed; none for simulated ones."""

    drives: tuple = setting(
        (), 'Data sets or drives that `fg2 drives build` or `fg2 import` made, or bags, instead '
        'of simulated cities.', of=Path, option={'positional': True, 'metavar': 'DATASET|BAG'})
    build: Path | None = setting(
        None, 'Of bags: YAML file with the options of `fg2 drives build` (truth, source, ...).',
        of=Path, option={'metavar': 'FILE.yaml'})
    split: str | None = setting(
        None, 'Which of their images; by default those for testing if there are any, else all.',
        of=str, choices=(*SPLITS, EVERY_SPLIT))


@dataclass(frozen=True)
class DrivesRun:
    """How drives are gone through, and where results go."""

    single_frame: bool = setting(
        True, 'Localize each image alone, too, for comparison; takes twice as long.')
    cache: Path | None = setting(
        None, 'Keep rendered drives (13 MB each), or those made of bags, there.', of=Path,
        option={'metavar': 'FOLDER'})
    out: Path | None = setting(
        None, 'Keep the result of each drive there; the same command again goes on with them.',
        of=Path, option={'metavar': 'FOLDER'})
    workers: int = setting(2, 'Rendering processes.', between=(1, 256))


@dataclass(frozen=True)
class NetworksSettings:
    """Which weights run where."""

    weights: tuple = setting(
        (SHIPPED_WEIGHTS,), 'File that `fg2 train` or `fg2 convert` made; given several times, '
        'they are compared on the same drives.', of=Path, option={'metavar': 'FILE'})
    device: str = setting('auto', 'Torch device.')
    precision: str = setting(
        'fp32', 'auto: bf16 on a CPU with instructions for it, else fp32.',
        choices=('auto', 'fp32', 'fp16', 'bf16'))


def require_defaults(settings: Any, kind: str) -> None:
    """
    Refuse settings that would have no effect.

    :param kind: of the drives that they are of.
    :raises ValueError: if a value is not the default.
    """
    for declared in fields(settings):
        if getattr(settings, declared.name) != declared.default:
            name = declared.metadata['option'].get('name', declared.name).replace('_', '-')
            raise ValueError(f'--{name} is for {kind} drives, and these are not')
