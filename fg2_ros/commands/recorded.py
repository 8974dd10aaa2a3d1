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

"""Recorded drives as commands take them: data sets, or bags of which data sets are made first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fg2_ros.commands.options import read_options

BAG_SUFFIXES = '.mcap', '.db3', '.bag'


def is_bag(path: Path) -> bool:
    """Return whether a path is that of a bag: of a file, or of a rosbag2 folder."""
    return path.suffix in BAG_SUFFIXES or (path / 'metadata.yaml').exists()


def data_sets_of(paths: Sequence[Path], options: Path | None, folder: Path) -> list[Path]:
    """
    Return the paths with drives in the place of bags.

    :param options: YAML file of `fg2 drives build`'s options.
    :param folder: gets a drive for each bag; those that are there already are taken.
    :raises ValueError: if a drive cannot be made of a bag.
    """
    from fg2_ros.datasets.drives import TEST
    from fg2_ros.drives.build import build_drive, drive_names
    from fg2_ros.drives.settings import BuildSettings
    from fg2_ros.replay.settings import TopicNames
    from tqdm import tqdm
    bags = [path for path in paths if is_bag(path)]
    if not bags:
        return list(paths)
    if options is None:
        raise ValueError(f'{bags[0]} is a bag: say with --build FILE.yaml how drives are made of '
                         'bags, with the options of "fg2 drives build" (truth, source, ...)')
    settings, topics = read_options(options, BuildSettings, TopicNames)
    names = dict(zip(bags, drive_names(bags)))
    for bag, name in tqdm(names.items(), desc='reading bags', unit='bag', dynamic_ncols=True):
        build_drive(bag, folder / name, replace(settings, split=TEST), topics)
    return [folder / names[path] if path in names else path for path in paths]
