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

"""Figures as text tables."""

from __future__ import annotations

from typing import Any

UNITS = {'_m': 'm', '_deg': 'deg', '_ms': 'ms'}


def text_table(figures: dict[str, Any]) -> str:
    """Return the figures one a line, with their units; sentences below their count."""
    width = max(map(len, figures))
    lines = []
    for name, value in figures.items():
        if isinstance(value, list) and name in ('unreadable', 'broken_labels'):
            lines += [f'  {sentence}' for sentence in value]
        elif not isinstance(value, dict):
            lines.append(f'{name:<{width}}  {_text(name, value)}')
    return '\n'.join(lines)


def group_table(groups: dict[str, dict]) -> str:
    """Return one line for each city or drive."""
    columns = ('frames', 'mean_error_m', 'median_error_m', 'median_yaw_error_deg')
    width = max(map(len, groups))
    lines = [' ' * width + ''.join(f'{name:>22}' for name in columns)]
    lines += [f'{group:<{width}}' + ''.join(f'{_text(name, values[name]):>22}' for name in columns)
              for group, values in groups.items()]
    return '\n'.join(lines)


def side_by_side(figures: dict[str, dict[str, Any]]) -> str:
    """Return a column for each of several evaluations, and a line for each figure."""
    first = next(iter(figures.values()))
    return columns(['', *figures], [
        [name, *(_text(name, each[name]) for each in figures.values())]
        for name, value in first.items() if not isinstance(value, (dict, list))])


def drive_table(by_drive: dict[str, dict[str, Any]], title: str) -> str:
    """Return a line for each drive."""
    first = next(iter(by_drive.values()))
    return columns([title, *first], [
        [drive, *(_text(name, value) for name, value in values.items())]
        for drive, values in by_drive.items()])


def columns(head: list[str], rows: list[list[str]]) -> str:
    """Return texts below each other, as wide as they need to be."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return '\n'.join('  '.join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
                     for row in [head, *rows])


def _text(name: str, value: Any) -> str:
    if value is None:
        return '-'
    text = f'{value:.3f}' if isinstance(value, float) else str(value)
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), '')
    return f'{text} {unit}'.rstrip()
