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

"""Building many drives, each as a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fg2_ros.datasets.drives import DRIVE_FILE
from fg2_ros.drives.build import build_drive
from fg2_ros.drives.settings import BuildSettings
from fg2_ros.recipe import bag_recipe, require_same
from fg2_ros.replay.settings import TopicNames


@dataclass(frozen=True)
class BuildTask:
    """
    A bag that becomes a drive.

    :param folder: of the drive.
    """

    bag: Path
    folder: Path
    settings: BuildSettings
    topics: TopicNames


def build_one(task: BuildTask) -> None:
    """
    Make a drive, unless it is there.

    :raises ValueError: see `build_drive`.
    """
    build_drive(task.bag, task.folder, task.settings, task.topics)


def made_before(task: BuildTask) -> bool | None:
    """
    Return True if a drive is complete, or else None.

    :raises ValueError: if the folder holds what other settings made.
    """
    require_same(task.folder, bag_recipe(task.bag, task.settings, task.topics))
    return (task.folder / DRIVE_FILE).exists() or None
