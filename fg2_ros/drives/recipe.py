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

"""What a drive is made with, kept beside it: what was made with another recipe is not mixed."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
from typing import Any

from fg2_ros.files import replacing

RECIPE_FILE = 'recipe.json'
NO_EFFECT = ('cache', 'wait_s')  # settings that change nothing in the result


def plain_settings(settings: Any) -> dict[str, Any]:
    """Return the settings of a dataclass that decide the result, ready for JSON."""
    plain = json.loads(json.dumps(asdict(settings), default=str))
    return {name: value for name, value in plain.items() if name not in NO_EFFECT}


def write_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Begin a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / RECIPE_FILE) as partial:
        partial.write_text(json.dumps(recipe, indent=2) + '\n')


def require_same(folder: Path, recipe: dict[str, Any]) -> None:
    """
    Refuse a folder that was begun with another recipe.

    :raises ValueError: if it was; the sentence says what is different.
    """
    path = folder / RECIPE_FILE
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        before = {}
    if before != recipe:
        odd = [name for part in recipe if isinstance(recipe[part], dict)
               for name, value in recipe[part].items()
               if before.get(part, {}).get(name) != value]
        what = f'with other settings ({", ".join(odd)})' if odd else 'of other data'
        raise ValueError(f'{folder} was made {what}: name another folder, or remove it')
