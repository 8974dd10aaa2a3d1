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
Localize the images of a recorded drive, without ROS running.

The messages of the bag go through what the node does with them, one after the other, as fast as
the localizer is; imagery is waited for. Topics that are the only ones of their type need not be
named. Several bags get a folder each in --out; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import logging
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from fg2_ros.commands.options import add_options, Output
from fg2_ros.commands.tables import columns, text_table
from fg2_ros.commands.task_options import TaskOptions
from fg2_ros.replay.settings import ReplaySettings, TopicNames
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.replay.run import ReplayResult


@dataclass(frozen=True)
class Bags:
    """What is replayed."""

    bag: tuple = setting(
        (), 'A rosbag2 folder, .mcap, .db3 or ROS 1 .bag; or several.', of=str,
        option={'positional': True})


@dataclass(frozen=True)
class ReplayFiles:
    """What is written."""

    out: Path | None = setting(
        None, 'Gets poses.csv, poses.geojson and the bag poses; of several bags a folder for each '
        'and summary.csv.', of=Path,
        option={'metavar': 'FOLDER'})
    report: Path | None = setting(
        None, 'A page; needs a ground truth with headings.', of=Path,
        option={'metavar': 'FILE.html'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(
        parser, run, Bags, ReplaySettings, TopicNames, ReplayFiles, TaskOptions, Output)


def run(what: Bags, settings: ReplaySettings, topics: TopicNames, files: ReplayFiles,
        tasks: TaskOptions, output: Output) -> int:
    """Replay the bags, write the poses and sum up."""
    bags = list(map(Path, what.bag))
    if not bags:
        raise ValueError('there is no bag: name one, or several')
    if tasks.is_wanted_for(len(bags)):
        return _replay_many(bags, settings, topics, files, tasks, output)
    return _replay_one(bags[0], settings, topics, files, output)


def _replay_one(bag: Path, settings: ReplaySettings, topics: TopicNames, files: ReplayFiles,
                output: Output) -> int:
    from fg2_ros.report.drive import write_report
    result = replay_with_bar(bag, settings, topics, files)
    print(text_table(result.figures))
    print('\n'.join(result.reasons()))
    output.write(result.figures)
    if files.report and result.drive is not None:
        files.report.parent.mkdir(parents=True, exist_ok=True)
        write_report(files.report, result.drive.record, result.drive.background,
                     f'Replay of {bag.name}', f'Weights {settings.weights.name}')
    if result.end:
        print(f'fg2 replay: {result.end}', file=sys.stderr)
    return 130 if result.interrupted else int(bool(result.end))


def _replay_many(bags: Sequence[Path], settings: ReplaySettings, topics: TopicNames,
                 files: ReplayFiles, tasks: TaskOptions, output: Output) -> int:
    """Replay bags in processes of their own."""
    from fg2_ros.bags.names import bag_names
    from fg2_ros.replay.batch import (
        figures_if_done, replay_one, ReplayTask, summary_rows, SUMMARY_FILE, write_summary)
    if files.out is None or files.report is not None:
        raise ValueError('several bags want a folder for what comes of them (--out), and go '
                         'without --report')
    outcomes = tasks.outcomes('replay', replay_one, figures_if_done, {
        name: ReplayTask(bag, files.out / name, settings, topics)
        for name, bag in zip(bag_names(bags), bags)})
    figures = {name: each.value for name, each in outcomes.items() if not each.failure}
    failures = {name: each.failure for name, each in outcomes.items() if each.failure}
    rows = summary_rows(figures, failures)
    files.out.mkdir(parents=True, exist_ok=True)
    write_summary(files.out / SUMMARY_FILE, rows)
    print(columns(list(rows[0]), [
        ['' if value is None else str(value) for value in (row | (
            {'ended_early': 'failed'} if row['bag'] in failures else {})).values()]
        for row in rows]))
    output.write({'bags': figures, 'failed': failures})
    return int(bool(failures) or any(each['ended_early'] for each in figures.values()))


def replay_with_bar(bag: Path, settings: ReplaySettings, topics: TopicNames,
                    files: ReplayFiles) -> ReplayResult:
    """Replay, and show the progress."""
    from fg2_ros.replay.run import replay_bag
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm
    with logging_redirect_tqdm([logging.getLogger()]), tqdm(
            desc='localizing', unit='image', dynamic_ncols=True) as bar:
        def show(total: int, accepted: int) -> None:
            bar.total = total
            bar.set_postfix_str(f'{accepted} accepted', refresh=False)
            bar.update()
        return replay_bag(bag, settings, topics, out=files.out,
                          for_page=files.report is not None, progress=show)
