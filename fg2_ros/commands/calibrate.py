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

"""
Find how much the images of a camera may be believed, and write it into a weights file.

A tracker follows drives on which nothing is wrong, simulated ones or, with --drives, recorded
ones: then what is found holds for their camera and country. It (temper, correlation, odds of right
places, what no number of images averages out) is written into the metadata of the weights, with
the drives it was found on; nodes and replays take it from there.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fg2_ros.commands.options import add_options, NetworkOptions, Output
from fg2_ros.datasets.drives import TRAIN, VALIDATION
from fg2_ros.evaluation.drives.settings import require_defaults
from fg2_ros.settings import setting
from fg2_ros.simulation.seeds import seed_range

if TYPE_CHECKING:
    from fg2_ros.tracker.settings import Calibration


@dataclass(frozen=True)
class CitySettings:
    """Which simulated drives are followed."""

    city_seeds: tuple = setting(
        (1008, 1023), 'A drive in each city and difficulty, first and last.', parse=seed_range,
        option={'metavar': 'A-B'})
    frames: int = setting(60, 'Images of each drive.', between=(20, 10 ** 4))
    rate_hz: float = setting(
        4.0, 'Of the images, a second.', between=(0.1, 50.0),
        option={'name': 'rate', 'metavar': 'HZ'})


@dataclass(frozen=True)
class RecordedSettings:
    """Which recorded drives are followed, if any."""

    drives: tuple = setting(
        (), 'Data set or drive that `fg2 drives build` or `fg2 import` made, instead of simulated '
        'cities; may be given several times.', of=Path, option={'metavar': 'DATASET'})
    split: str = setting(
        VALIDATION, 'Which of their images: with those for training only if the weights have not '
        'been trained on them, and never those for testing.',
        choices=(VALIDATION, f'{TRAIN}+{VALIDATION}'))


@dataclass(frozen=True)
class CalibrationFiles:
    """Where the calibrated weights go, and what is to be there the next time."""

    out: Path | None = setting(
        None, 'Weights file with the calibration; by default nothing is written.', of=Path,
        option={'metavar': 'FILE'})
    cache: Path | None = setting(
        None, 'Keep there what the network makes of the images (50 MB a minute of driving), and '
        'the rendered drives (13 MB each), so that the next time is quicker.', of=Path,
        option={'metavar': 'FOLDER'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, RecordedSettings, CitySettings, CalibrationFiles, NetworkOptions,
                Output)


def run(recorded: RecordedSettings, cities: CitySettings, files: CalibrationFiles,
        network: NetworkOptions, output: Output) -> int:
    """Calibrate, and say what was found."""
    from fg2_ros.network.weights import with_metadata
    from fg2_ros.tracker.settings import METADATA_KEY
    found = calibration(recorded, cities, files.cache, network).to_dict()
    for name, value in found.items():
        print(f'{name}: {value if isinstance(value, str) else format(value, ".4g")}')
    if files.out:
        with_metadata(network.weights, files.out, {METADATA_KEY: found})
    output.write({METADATA_KEY: found})
    return 0


def calibration(recorded: RecordedSettings, cities: CitySettings, cache: Path | None,
                network: NetworkOptions) -> Calibration:
    """Return the calibration on recorded drives if there are any, else on simulated ones."""
    from fg2_ros.evaluation.drives.calibrate import calibrate_on_cities, calibrate_on_recordings
    if recorded.drives:
        require_defaults(cities, 'simulated')
        return calibrate_on_recordings(
            network.weights, recorded.drives, recorded.split, cache, network.device,
            network.precision)
    require_defaults(recorded, 'recorded')
    return calibrate_on_cities(
        network.weights, cities.city_seeds, cities.frames, cities.rate_hz, cache,
        network.device, network.precision)
