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
Make a data set of your own recorded drives, to evaluate, calibrate and train with.

`fg2 drives build --bag A.mcap --bag B.mcap --truth /rtk/fix --source ign_bd_ortho --out DATASET`
keeps level panoramas with their true poses, and the ground around them.  The same command goes on
where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, MISSING
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from fg2_ros.commands.bars import stage_bar
from fg2_ros.commands.options import add_options, NetworkOptions, Output
from fg2_ros.commands.tables import columns
from fg2_ros.commands.task_options import TaskOptions
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.replay.settings import TopicNames
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.datasets.drives import RecordedDrive


@dataclass(frozen=True)
class BuildFiles:
    """What a data set is made of, and where it goes."""

    out: Path = setting(
        MISSING, 'The data set: gets a folder for each bag, and index.html.', of=Path,
        option={'metavar': 'FOLDER'})
    bag: tuple = setting(
        (), 'A rosbag2 folder, .mcap, .db3 or ROS 1 .bag; again for each further one.', of=str,
        option={'metavar': 'BAG'})


@dataclass(frozen=True)
class RefineFiles:
    """Whose poses are refined, and where the drives go."""

    drives: Path = setting(
        MISSING, 'A data set, or one drive, that was built with --smooth.', of=Path,
        option={'positional': True, 'name': 'dataset', 'metavar': 'DATASET'})
    out: Path = setting(
        MISSING, 'The new data set: gets a folder for each drive, and index.html.', of=Path,
        option={'metavar': 'FOLDER'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    building = actions.add_parser('build', help='make a data set of bags')
    add_options(building, build, BuildFiles, BuildSettings, TopicNames, TaskOptions, Output)
    refining = actions.add_parser('refine', help='make smoothed poses better with the images')
    add_options(refining, refine, RefineFiles, NetworkOptions, Output)


def build(files: BuildFiles, settings: BuildSettings, topics: TopicNames, tasks: TaskOptions,
          output: Output) -> int:
    """Make a drive of each bag, and the page."""
    from fg2_ros.bags.names import bag_names
    from fg2_ros.drives.ground import permitted_sources
    from fg2_ros.report.recorded_drives import write_drives_page
    if not files.bag:
        raise ValueError('there is no bag: name one (--bag)')
    permitted_sources(settings)
    bags = {name: Path(bag) for name, bag in zip(
        bag_names(list(map(Path, files.bag))), files.bag)}
    try:
        drives = _build_all(bags, files.out, settings, topics, tasks)
    except KeyboardInterrupt:
        print('fg2 drives build: interrupted; the same command goes on from here',
              file=sys.stderr)
        return 130
    if drives:
        tell(drives)
        print(f'{write_drives_page(files.out)} shows it')
        output.write({'drives': [figures_of(drive) for drive in drives]})
    return int(len(drives) < len(bags))


def refine(files: RefineFiles, network: NetworkOptions, output: Output) -> int:
    """Let the tracker follow smoothed drives, smooth them with its poses, and write the page."""
    from fg2_ros.datasets.drives import open_drives
    from fg2_ros.drives.refine import refine_drive
    from fg2_ros.evaluation.current_imagery import CurrentImagery
    from fg2_ros.evaluation.drives.vehicle import Vehicle
    from fg2_ros.files import sha256_of
    from fg2_ros.localizer import Localizer
    from fg2_ros.report.recorded_drives import write_drives_page
    imagery = CurrentImagery()
    vehicle = Vehicle(Localizer.load(
        network.weights, imagery, device=network.device, precision=network.precision),
        imagery, has_single=False)
    weights = {'name': network.weights.name, 'sha256': sha256_of(network.weights),
               'precision': network.precision}
    drives = []
    for drive in open_drives(files.drives):
        with stage_bar() as show:
            drives.append(refine_drive(
                drive, files.out / drive.name, vehicle, weights,
                lambda total, done: show(f'{drive.name}: images', total, done)))
    tell(drives)
    print(f'{write_drives_page(files.out)} shows it')
    output.write({'drives': [figures_of(drive) for drive in drives]})
    return 0


def _build_all(bags: Mapping[str, Path], out: Path, settings: BuildSettings, topics: TopicNames,
               tasks: TaskOptions) -> list[RecordedDrive]:
    """Return the drives that could be made."""
    if tasks.is_wanted_for(len(bags)):
        return _build_many(bags, out, settings, topics, tasks)
    return [build_with_bar(bag, out / name, settings, topics) for name, bag in bags.items()]


def _build_many(bags: Mapping[str, Path], out: Path, settings: BuildSettings, topics: TopicNames,
                tasks: TaskOptions) -> list[RecordedDrive]:
    """Return the drives that could be built; the others are reported."""
    from fg2_ros.datasets.drives import RecordedDrive
    from fg2_ros.drives.batch import build_one, BuildTask, made_before
    outcomes = tasks.outcomes('drives build', build_one, made_before, {
        name: BuildTask(bag, out / name, settings, topics) for name, bag in bags.items()})
    return [RecordedDrive(out / name) for name, outcome in outcomes.items()
            if not outcome.failure]


def build_with_bar(bag: Path, folder: Path, settings: BuildSettings,
                   topics: TopicNames) -> RecordedDrive:
    """Make a drive of a bag, and show the progress; see `fg2_ros.drives.build.build_drive`."""
    from fg2_ros.drives.build import build_drive
    with stage_bar() as show:
        return build_drive(
            bag, folder, settings, topics,
            lambda stage, total, done: show(f'{folder.name}: {stage}', total, done))


def tell(drives: Sequence[RecordedDrive]) -> None:
    """Print what there is of each drive, and what was left out and why."""
    from fg2_ros.report.recorded_drives import split_counts
    rows = [[drive.name, str(len(drive.keyframes)), *map(str, split_counts([drive]).values())]
            for drive in drives]
    print(columns(['drive', 'images', *split_counts(drives)], rows))
    for drive in drives:
        for reason, count in drive.facts.left_out.items():
            print(f'{drive.name}: left out, {reason}: {count}')
        clock = drive.facts.truth.get('clock') or {}
        if 'words' in clock:
            print(f'{drive.name}: the clock of the truth is {clock["words"]}')
        for remark in drive.facts.truth.get('remarks', ()):
            print(f'{drive.name}: {remark}')
    splits = {name for name, count in split_counts(drives).items() if count and name != 'none'}
    if len(splits) == 1:
        print(f'all images are of one split, {splits.pop()}: the drives are too small for blocks '
              'of ground of several; --block makes these smaller, and --split says which split a '
              'whole drive is of')


def figures_of(drive: RecordedDrive) -> dict[str, Any]:
    """Return what a drive holds, ready for JSON."""
    from fg2_ros.report.recorded_drives import split_counts
    return {'drive': drive.name, 'images': len(drive.keyframes), 'splits': split_counts([drive]),
            'left_out': drive.facts.left_out, 'truth': drive.facts.truth}
