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

"""Replay many bags: a folder each, finished ones are skipped, and a summary of all."""

from __future__ import annotations

from collections.abc import Mapping
import csv
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
from typing import Any

from fg2_ros.files import replacing, sha256_of
from fg2_ros.recipe import bag_recipe, require_same, write_recipe
from fg2_ros.replay.settings import ReplaySettings, TopicNames

POSES, FIGURES_FILE, SUMMARY_FILE = 'poses', 'figures.json', 'summary.csv'
COLUMNS = ('images', 'accepted', 'images_with_truth', 'median_error_m', 'p95_error_m',
           'median_yaw_error_deg', 'latency_p50_ms', 'ended_early')


@dataclass(frozen=True)
class ReplayTask:
    """
    A bag that is replayed.

    :param folder: gets the folder ``poses`` with what a replay writes, and ``figures.json`` when
        that is complete; no other bag's.
    """

    bag: Path
    folder: Path
    settings: ReplaySettings
    topics: TopicNames


def replay_one(task: ReplayTask) -> dict[str, Any]:
    """
    Replay a bag, unless that is done; return the figures.

    What an interrupted replay left is written anew.

    :raises ValueError: if something cannot be used, or the folder holds what other settings made.
    """
    from fg2_ros.replay.run import replay_bag
    figures = figures_if_done(task)
    if figures is not None:
        return figures
    write_recipe(task.folder, _recipe(task))
    shutil.rmtree(task.folder / POSES, ignore_errors=True)
    figures = replay_bag(task.bag, task.settings, task.topics, out=task.folder / POSES).figures
    with replacing(task.folder / FIGURES_FILE) as partial:
        partial.write_text(json.dumps(figures, indent=2) + '\n')
    return figures


def figures_if_done(task: ReplayTask) -> dict[str, Any] | None:
    """
    Return the figures of a replay that is done; None if it is not.

    :raises ValueError: if the folder holds what other settings made.
    """
    require_same(task.folder, _recipe(task))
    path = task.folder / FIGURES_FILE
    return json.loads(path.read_text()) if path.exists() else None


def _recipe(task: ReplayTask) -> dict[str, Any]:
    return bag_recipe(task.bag, task.settings, task.topics) | {
        'weights_sha256': sha256_of(task.settings.weights)}


def summary_rows(figures: Mapping[str, Mapping[str, Any]], failures: Mapping[str, str]
                 ) -> list[dict[str, Any]]:
    """Return a line for each bag, by names; of one that failed, why in ``ended_early``."""
    rows = [{'bag': name} | {column: each.get(column) for column in COLUMNS}
            for name, each in figures.items()]
    return rows + [{'bag': name} | dict.fromkeys(COLUMNS) | {'ended_early': failure}
                   for name, failure in failures.items()]


def write_summary(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the lines of bags as CSV."""
    with replacing(path) as partial, partial.open('w', newline='') as file:
        table = csv.DictWriter(file, ('bag', *COLUMNS))
        table.writeheader()
        table.writerows(rows)
