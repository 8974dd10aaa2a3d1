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

"""Measure the accuracy of localization."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TYPE_CHECKING

from fg2_ros.commands.options import add_options, NetworkOptions, Output
from fg2_ros.commands.recorded import data_sets_of
from fg2_ros.commands.tables import drive_table, group_table, side_by_side, text_table
from fg2_ros.evaluation.drives.settings import (
    CitySettings, DrivesRun, FaultSettings, NetworksSettings, RecordedSettings, require_defaults)
from fg2_ros.evaluation.settings import SimulatedSettings
from fg2_ros.evaluation.vigor_kitti.settings import (
    KittiPart, OrientationSettings, RunSettings, SolverSettings, VigorPart)
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.evaluation.drives.sources import Drives


@dataclass(frozen=True)
class Page:
    """Whether an evaluation is shown."""

    report: Path | None = setting(
        None, 'Write a page.', of=Path, option={'metavar': 'FILE.html'})


@dataclass(frozen=True)
class PageOfCases(Page):
    """What is shown of an evaluation."""

    cases: int = setting(4, 'Worst and best frames on the page.', between=(0, 1000))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of each data set."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='DATA_SET', required=True)
    simulated = data_sets.add_parser('sim', help='simulated cities, rendered on the fly')
    add_options(simulated, run_simulated, SimulatedSettings, NetworkOptions, Output)
    drives = data_sets.add_parser(
        'drives', help='the tracker along recorded or simulated drives, and what can go wrong')
    add_options(drives, run_drives, RecordedSettings, CitySettings, FaultSettings, DrivesRun,
                NetworksSettings, Page, Output)
    vigor = data_sets.add_parser('vigor', help='panoramas of four cities')
    add_options(vigor, run_vigor, VigorPart, SolverSettings, OrientationSettings, RunSettings,
                PageOfCases, Output)
    kitti = data_sets.add_parser('kitti', help='forward camera of a vehicle')
    add_options(kitti, run_kitti, KittiPart, SolverSettings, RunSettings, PageOfCases, Output)


def run_simulated(settings: SimulatedSettings, network: NetworkOptions, output: Output) -> int:
    """Evaluate in simulated cities."""
    from fg2_ros.evaluation import simulated
    from fg2_ros.evaluation.current_imagery import CurrentImagery
    from fg2_ros.localizer import Localizer, LocalizerSettings, PatchSettings
    from tqdm import tqdm
    imagery = CurrentImagery()
    localizer = Localizer.load(
        network.weights, imagery, device=network.device, precision=network.precision,
        settings=LocalizerSettings(patch=PatchSettings(recentre_m=0.0)))  # every patch anew
    with tqdm(total=settings.frames, desc='localizing', dynamic_ncols=True) as bar:
        results = simulated.localize_cities(
            simulated.shoot_cities(settings), localizer, imagery, settings,
            lambda result: bar.update())
    return tell(simulated.simulated_metrics(results) | {
        'weights': network.weights.name, 'difficulty': settings.difficulty,
        'city_seeds': list(settings.city_seeds), 'prior_offset_m': settings.prior_offset_m,
        'yaw_error_deg': settings.yaw_error_deg}, output)


def run_drives(which: RecordedSettings, cities: CitySettings, wrong: FaultSettings,
               running: DrivesRun, networks: NetworksSettings, page: Page, output: Output) -> int:
    """Let the tracker follow recorded drives, or simulated ones."""
    from fg2_ros.evaluation.drives.evaluate import compared, evaluate_drives
    from fg2_ros.report.trust import write_trust_report
    with chosen_drives(which, cities, wrong, running) as drives:
        evaluations = evaluate_drives(
            drives, networks, running.single_frame, running.out, page.report is not None)
        if page.report:
            write_trust_report(page.report, evaluations)
    figures = {each.name: each.figures for each in evaluations}
    first = evaluations[0].figures
    print(side_by_side(figures) if len(figures) > 1 else text_table(first))
    for name, found in figures.items():
        print(drive_table(found['by_drive'], name if len(figures) > 1 else 'drive'))
    output.write(compared(evaluations))
    return 0


@contextmanager
def chosen_drives(which: RecordedSettings, cities: CitySettings, wrong: FaultSettings,
                  running: DrivesRun) -> Iterator[Drives]:
    """
    Give the drives that settings ask for; simulated ones are rendered, bags are read.

    :raises ValueError: if there are none, or settings of the other kind are set.
    """
    from fg2_ros.evaluation.drives.sources import RecordedDrives, SimulatedDrives
    with TemporaryDirectory() as temporary:
        cache = running.cache or Path(temporary)
        if which.drives:
            require_defaults(cities, 'simulated')
            data_sets = data_sets_of(which.drives, which.build, cache)
            yield RecordedDrives(replace(which, drives=tuple(data_sets)), wrong)
        else:
            require_defaults(which, 'recorded')
            drives = SimulatedDrives(cities, wrong, cache)
            drives.render(running.workers)
            yield drives


def run_vigor(part: VigorPart, solving: SolverSettings, orientation: OrientationSettings,
              running: RunSettings, page: PageOfCases, output: Output) -> int:
    """Evaluate on VIGOR."""
    return run_data_set(part, solving, orientation, running, page, output)


def run_kitti(part: KittiPart, solving: SolverSettings, running: RunSettings, page: PageOfCases,
              output: Output) -> int:
    """Evaluate on KITTI."""
    return run_data_set(part, solving, OrientationSettings(), running, page, output)


def run_data_set(part: VigorPart | KittiPart, solving: SolverSettings,
                 orientation: OrientationSettings, running: RunSettings, page: PageOfCases,
                 output: Output) -> int:
    """Evaluate on a part of a data set, and write its page."""
    from fg2_ros.evaluation.vigor_kitti.evaluate import evaluate_data_set
    from fg2_ros.report.vigor_kitti import write_crossview_report
    evaluation = evaluate_data_set(
        part, solving, orientation, running, page.cases if page.report else None)
    if page.report:
        write_crossview_report(
            page.report, evaluation.figures, evaluation.results, evaluation.best,
            evaluation.worst, {'weights': solving.weights.name, 'root': part.root.name,
                               'limit': running.limit})
    return tell(evaluation.figures, output)


def tell(figures: dict[str, Any], output: Output) -> int:
    """Print the figures as tables and write them as JSON; return the exit code."""
    print(text_table(figures))
    if 'groups' in figures:
        print(group_table(figures['groups']))
    output.write(figures)
    return 0
