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
named.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
import logging
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from fg2_ros.commands.options import add_options, Output
from fg2_ros.commands.tables import text_table
from fg2_ros.replay.settings import ReplaySettings, TopicNames
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.replay.run import ReplayResult


@dataclass(frozen=True)
class Bag:
    """What is replayed."""

    bag: Path = setting(
        MISSING, 'A rosbag2 folder, .mcap, .db3 or ROS 1 .bag.', of=Path,
        option={'positional': True})


@dataclass(frozen=True)
class ReplayFiles:
    """What is written."""

    out: Path | None = setting(
        None, 'Gets poses.csv, poses.geojson and the bag poses.', of=Path,
        option={'metavar': 'FOLDER'})
    report: Path | None = setting(
        None, 'A page; needs a ground truth with headings.', of=Path,
        option={'metavar': 'FILE.html'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, Bag, ReplaySettings, TopicNames, ReplayFiles, Output)


def run(what: Bag, settings: ReplaySettings, topics: TopicNames, files: ReplayFiles,
        output: Output) -> int:
    """Replay the bag, write the poses and sum up."""
    from fg2_ros.report.drive import write_report
    result = replay_with_bar(what.bag, settings, topics, files)
    print(text_table(result.figures))
    print('\n'.join(result.reasons()))
    output.write(result.figures)
    if files.report and result.drive is not None:
        files.report.parent.mkdir(parents=True, exist_ok=True)
        write_report(files.report, result.drive.record, result.drive.background,
                     f'Replay of {what.bag.name}', f'Weights {settings.weights.name}')
    if result.end:
        print(f'fg2 replay: {result.end}', file=sys.stderr)
    return 130 if result.interrupted else int(bool(result.end))


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
