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

from fg2_ros.commands.drives import build_with_bar
from fg2_ros.commands.options import read_options
from fg2_ros.datasets.drives import TEST
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.replay.settings import TopicNames


def is_bag(path: Path) -> bool:
    """Return whether a path is that of a bag: of a file, or of a rosbag2 folder."""
    from fg2_ros.bags.bag import ENDINGS
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return any(each.name.endswith(ENDINGS) for each in files)


def data_sets_of(paths: Sequence[Path], options: Path | None, folder: Path) -> list[Path]:
    """
    Return the paths with drives in the place of bags, all of whose images are for testing.

    :param options: YAML file of `fg2 drives build`'s options.
    :param folder: gets a drive for each bag; those that are there already are taken.
    :raises ValueError: if a drive cannot be made of a bag.
    """
    bags = [path for path in paths if is_bag(path)]
    if bags and options is None:
        raise ValueError(f'{bags[0]} is a bag: say with --build FILE.yaml how drives are made of '
                         'bags, with the options of "fg2 drives build" (truth, source, ...)')
    made = drives_of(bags, options, folder) if bags and options else {}
    return [made.get(path, path) for path in paths]


def drives_of(bags: Sequence[Path], options: Path, folder: Path) -> dict[Path, Path]:
    """Make a drive of each bag, and return its folder; see `data_sets_of`."""
    from fg2_ros.bags.names import bag_names
    settings, topics = read_options(options, BuildSettings, TopicNames)
    folders = {bag: folder / name for bag, name in zip(bags, bag_names(bags))}
    for bag, made in folders.items():
        build_with_bar(bag, made, replace(settings, split=TEST), topics)
    return folders
