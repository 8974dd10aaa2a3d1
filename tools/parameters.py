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
Write config/fg2.yaml, the manual of the parameters: `.venv/bin/python tools/parameters.py`.

What stands above `/**:` in that file is kept; the rest follows from fg2_ros/ros/node_settings.py.
"""

from __future__ import annotations

from dataclasses import Field, fields, is_dataclass
from pathlib import Path
import textwrap
from typing import Any, Iterator

from fg2_ros.ros.node_settings import NodeSettings

MANUAL = Path(__file__).resolve().parent.parent / 'config' / 'fg2.yaml'
WIDTH = 99
START = '/**:\n'
TITLES = {
    '': 'The node', 'camera': 'Cameras', 'imagery': 'Aerial imagery',
    'sensors': 'What messages leave out',
    'motion': 'Odometry', 'prior': 'GNSS and headings',
    'publication': 'When a pose is published', 'transform': 'map -> odom',
    'localizer': 'Localizer', 'localizer.patch': 'Aerial patches kept between images',
    'localizer.solver': 'Matches to pose', 'localizer.solver.posterior': 'Dense likelihood',
    'localizer.solver.refinement': 'Sub-cell refinement',
    'localizer.acceptance': 'When the estimate of a single image is good enough'}


def main() -> None:
    """Write the file anew."""
    MANUAL.write_text(manual(MANUAL.read_text()))


def manual(text: str) -> str:
    """Return the manual, with the words above the parameters taken from a given one."""
    words, _, _ = text.partition(START)
    body = '\n\n'.join(section('', NodeSettings(), '    '))
    return f'{words}{START}  ros__parameters:\n{body}\n'


def section(name: str, settings: Any, indent: str) -> Iterator[str]:
    """Yield the paragraphs of a settings dataclass and of those nested in it."""
    heading = f'{indent}# {TITLES[name]} '.ljust(WIDTH, '-') + '\n'
    if name:
        heading += f'{indent}{name.rpartition(".")[2]}:\n'
        indent += '  '
    for declared in fields(settings):
        value = getattr(settings, declared.name)
        if is_dataclass(value):
            nested = f'{name}.{declared.name}'.strip('.')
            yield heading + '\n\n'.join(section(nested, value, indent))
        else:
            yield heading + parameter(declared, value, indent)
        heading = ''


def parameter(declared: Field, value: Any, indent: str) -> str:
    """Return what a parameter does and its default."""
    comment = textwrap.fill(
        f'{declared.metadata["help"]} ({"; ".join(facts(declared, value))})', WIDTH,
        initial_indent=f'{indent}# ', subsequent_indent=f'{indent}# ', break_on_hyphens=False,
        break_long_words=False)
    return f'{comment}\n{indent}{declared.name}: {written(value)}'


def facts(declared: Field, value: Any) -> Iterator[str]:
    """Yield unit, default, range and choices, and whether a running node refuses a change."""
    about = declared.metadata
    if about['unit']:
        yield about['unit']
    yield f'default {written(value)}'
    if about['range']:
        yield '{:g} to {:g}'.format(*about['range'])
    if about['choices']:
        yield 'one of ' + ', '.join(map(str, about['choices']))
    if about['read_only']:
        yield 'fixed'


def written(value: Any) -> str:
    """Return a value as YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else repr(value)


if __name__ == '__main__':
    main()
