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
Make a data set of images with their poses: a table, or images that tell their poses themselves.

`fg2 import FOLDER --source ign_bd_ortho --sigma-m 0.5 --sigma-deg 2 --out DATASET` reads the CSV,
GeoJSON or JSON file in the folder, or EXIF and GPano of the images; each sequence becomes a
drive.  The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path
from typing import Any, TYPE_CHECKING

from fg2_ros.commands.bars import stage_bar
from fg2_ros.commands.drives import figures_of, tell
from fg2_ros.commands.options import add_options, Output
from fg2_ros.drives.tables.settings import ImportSettings
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.drives.tables.importing import ImportResult

NAMED = 5  # images that are named for each reason; left_out.csv has all


@dataclass(frozen=True)
class ImportFiles:
    """What is imported, and where it goes."""

    images: Path = setting(
        MISSING, 'A table (.csv, .geojson, .json, .jsonl), or a folder of images.', of=Path,
        option={'positional': True, 'name': 'folder_or_table'})
    out: Path = setting(
        MISSING, 'The data set: gets a folder for each drive, index.html and left_out.csv.',
        of=Path, option={'metavar': 'FOLDER'})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, ImportFiles, ImportSettings, Output)


def run(files: ImportFiles, settings: ImportSettings, output: Output) -> int:
    """Import, name what was left out, write the page."""
    from fg2_ros.report.recorded_drives import write_drives_page
    result = import_with_bar(files, settings)
    tell(result.drives)
    for sentence in sentences_of(result):
        print(sentence)
    print(f'{write_drives_page(files.out)} shows it')
    output.write({'drives': [figures_of(drive) for drive in result.drives],
                  'left_out': result.reasons(), 'without_imagery': result.without_ground})
    return 0


def import_with_bar(files: ImportFiles, settings: ImportSettings) -> ImportResult:
    """Import, and show the progress."""
    from fg2_ros.drives.tables.importing import import_drives
    with stage_bar() as show:
        return import_drives(
            files.images, files.out, settings,
            lambda drive, stage, total, done: show(f'{drive}: {stage}', total, done))


def sentences_of(result: ImportResult) -> list[str]:
    """Return what was left out, by reason, with the lines of the first ones."""
    sentences = [f'{name}: left out, there is no aerial imagery of the same place'
                 for name in result.without_ground]
    for reason, count in result.reasons().items():
        these: list[Any] = [each for each in result.left_out if each.reason == reason]
        named = '; '.join(f'{each.where}: {each.detail}' for each in these[:NAMED])
        more = f'; and {count - NAMED} more in left_out.csv' if count > NAMED else ''
        sentences.append(f'left out, {reason}: {count} ({named}{more})')
    return sentences
