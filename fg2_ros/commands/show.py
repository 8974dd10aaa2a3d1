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

"""Show what was matched in one frame of VIGOR or KITTI: lines from pixel to pixel."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.commands.options import add_options, Output
from fg2_ros.evaluation.vigor_kitti.settings import KittiPart, SolverSettings, VigorPart
from fg2_ros.settings import setting


@dataclass(frozen=True)
class Shown:
    """What is drawn where."""

    index: int = setting(MISSING, 'Of the frame, as reports have it.', of=int)
    out: Path = setting(MISSING, '.png, .jpg or .html.', of=Path)


@dataclass(frozen=True)
class Roll:
    """How a panorama is changed before."""

    roll_deg: float | None = setting(
        None, 'Roll the panorama to the right before, degrees.', of=float,
        option={'name': 'roll', 'metavar': 'DEG'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of each data set."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='DATA_SET', required=True)
    vigor = data_sets.add_parser('vigor', help='panoramas of four cities')
    add_options(vigor, run, VigorPart, SolverSettings, Shown, Output, Roll)
    kitti = data_sets.add_parser('kitti', help='forward camera of a vehicle')
    add_options(kitti, run, KittiPart, SolverSettings, Shown, Output)


def run(part: VigorPart | KittiPart, solving: SolverSettings, shown: Shown, output: Output,
        roll: Roll = Roll()) -> int:
    """
    Localize the frame, draw its matches and say how far off the pose is.

    :raises ValueError: if there is no such frame, or options cannot be used.
    """
    if shown.out.suffix.lower() not in ('.png', '.jpg', '.jpeg', '.html'):
        raise ValueError(f'{shown.out} must end with .png, .jpg or .html')
    from fg2_ros.evaluation.vigor_kitti.evaluate import localize_case
    from fg2_ros.report.vigor_kitti import write_case
    case = localize_case(part, solving, shown.index, roll.roll_deg)
    write_case(shown.out, case)
    print(f'{case.result.name}: {case.result.errors_text}')
    output.write(case.result.to_dict())
    return 0
