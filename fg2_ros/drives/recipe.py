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

"""What a drive is made with, so that what other settings made is not mixed with it."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

from fg2_ros.files import replacing

RECIPE_FILE = 'recipe.json'


def plain(settings: Any) -> dict[str, Any]:
    """Return a dataclass as JSON would give it back."""
    return json.loads(json.dumps(asdict(settings), default=str))


def write_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Write what a drive is made with into its folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / RECIPE_FILE) as partial:
        partial.write_text(json.dumps(recipe, indent=2) + '\n')


def require_same(folder: Path, recipe: dict[str, Any]) -> None:
    """
    Accept a folder that is new, or was begun with the same recipe.

    :param recipe: ready for JSON; groups of settings are mappings in it.
    :raises ValueError: with the names of what differs.
    """
    path = folder / RECIPE_FILE
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        before = {}
    if before != recipe:
        raise ValueError(f'{folder} was made with other settings '
                         f'({", ".join(_differing(before, recipe))}): name another folder, or '
                         'remove it')


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += _differing(old, new)
        elif old != new:
            names.append(name)
    return names
