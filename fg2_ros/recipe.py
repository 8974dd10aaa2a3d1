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

"""A recipe file in each output folder, so that results of other settings are not mixed in."""

from __future__ import annotations

from dataclasses import asdict
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fg2_ros.files import replacing

RECIPE_FILE = 'recipe.json'
NO_EFFECT = ('cache', 'wait_s')  # settings that change nothing in the result


def plain(settings: Any) -> dict[str, Any]:
    """
    Return the settings of a dataclass that decide the result, as JSON would give them back.

    Addresses of imagery may hold keys, so their digests are compared.
    """
    values = json.loads(json.dumps(asdict(settings), default=str))
    if 'source' in values:
        values['source'] = [_without_keys(text) for text in values['source']]
    return {name: value for name, value in values.items() if name not in NO_EFFECT}


def _without_keys(source: str) -> str:
    if '://' not in source:
        return source
    return f'{urlsplit(source).hostname} {hashlib.sha256(source.encode()).hexdigest()[:12]}'


def bag_recipe(bag: Path, settings: Any, topic_names: Any) -> dict[str, Any]:
    """Return the recipe of what is made of a bag with settings, both dataclasses."""
    files = [bag] if bag.is_file() else sorted(file for file in bag.rglob('*') if file.is_file())
    return {'bag': bag.name, 'bag_bytes': sum(file.stat().st_size for file in files),
            'settings': plain(settings), 'wanted_topics': plain(topic_names)}


def write_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Write what a folder is made with into it; it is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / RECIPE_FILE) as partial:
        partial.write_text(json.dumps(recipe, indent=2) + '\n')


def require_same(folder: Path, recipe: dict[str, Any]) -> None:
    """
    Accept a folder that is new, or was begun with the same recipe.

    :param recipe: ready for JSON; groups of settings are mappings in it.
    :raises ValueError: with the names of what differs, or if it holds files of something else.
    """
    path = folder / RECIPE_FILE
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f'{folder} holds other files already: name another folder')
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
