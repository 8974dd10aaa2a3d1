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

"""Reading tables as they are, without a check of the values: CSV, GeoJSON, JSON, JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import csv
from dataclasses import dataclass
import json
from pathlib import Path
import re
from typing import Any

SUFFIXES = ('.csv', '.tsv', '.txt', '.geojson', '.json', '.jsonl', '.ndjson', '.geojsonl')
_DELIMITERS = ',;\t|'
_OUTER = ('properties_',)  # what GeoJSON wraps columns in


@dataclass(frozen=True)
class Row:
    """
    A line of a table.

    :param where: file and line, for messages.
    :param values: by column, in lower case with ``_`` for everything else than letters and
        digits; what is nested has the names of all levels: ``geometry_coordinates_0``.
    """

    where: str
    values: Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """
    Return the rows of a table.

    :raises ValueError: if it is no table, or cannot be read.
    """
    try:
        text = path.read_text('utf-8-sig')
        rows = list(_csv_rows(path.name, text) if path.suffix.lower() in SUFFIXES[:3]
                    else _json_rows(path.name, text))
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise ValueError(f'the table {path} cannot be read: {error}') from error
    if not rows:
        raise ValueError(f'the table {path} has no rows')
    return rows


def column_name(written: str) -> str:
    """Return what a column is called here, whatever its case and punctuation."""
    return re.sub(r'[^a-z0-9]+', '_', written.lower()).strip('_')


def _csv_rows(name: str, text: str) -> Iterator[Row]:
    heading = text.partition('\n')[0]
    lines = csv.reader(text.splitlines(), delimiter=max(_DELIMITERS, key=heading.count))
    columns = [column_name(each) for each in next(lines, [])]
    for values in lines:
        if any(value.strip() for value in values):
            yield Row(f'{name}, line {lines.line_num}', dict(zip(columns, values)))


def _json_rows(name: str, text: str) -> Iterator[Row]:
    for number, each in enumerate(_objects(text), 1):
        values = dict(_flat('', each))
        for outer in _OUTER:
            values |= {key.removeprefix(outer): value for key, value in values.items()
                       if key.startswith(outer)}
        yield Row(f'{name}, entry {number}', values)


def _objects(text: str) -> list[Any]:
    """Return the entries of a JSON document, or those one a line."""
    try:
        content = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(content, dict):
        content = next((content[key] for key in ('features', 'data', 'images')
                        if isinstance(content.get(key), list)), [content])
    return content if isinstance(content, list) else []


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of all that is nested in a value."""
    inside: Any = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    elif name:
        yield name, value
    for key, each in inside:
        yield from _flat(f'{name}_{column_name(str(key))}'.strip('_'), each)
