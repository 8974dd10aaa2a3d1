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

"""Pieces of self-contained HTML pages."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template


def rendered(template: str, title: str, subtitle: str, **parts: str) -> str:
    """Return a page of this package's style; all texts must be HTML."""
    body = _template(template).substitute(parts)
    return _template('page.html').substitute(
        title=title, subtitle=subtitle, body=body, style=_read('style.css'))


def _template(name: str) -> Template:
    return Template(_read(name))


def _read(name: str) -> str:
    return files('fg2_ros.report').joinpath('templates', name).read_text('utf-8')


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return large figures: (name, value, note), all HTML."""
    return ''.join(
        f'<div class="card"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>' for name, value, note in rows)


def number(value: float | None, unit: str, digits: int) -> str:
    """Return a number with its unit, a dash for None."""
    if value is None:
        return '–'
    return f'{value:.{digits}f}' + (unit if unit in '°' else f'&thinsp;<small>{unit}</small>')


def table(rows: dict) -> str:
    """Return the rows of a table of names and values, which are escaped."""
    return ''.join(
        f'<tr><th>{escape(str(name))}</th><td>{"–" if value is None else escape(str(value))}'
        '</td></tr>' for name, value in rows.items())


def wide_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return the inside of a table with a heading; the texts, HTML, start at the left first."""
    def line(cells: Iterable[str], tag: str) -> str:
        first, *others = cells
        return (f'<tr><{tag} class="first">{first}</{tag}>'
                + ''.join(f'<{tag}>{cell}</{tag}>' for cell in others) + '</tr>')

    return (f'<thead>{line(head, "th")}</thead><tbody>'
            + ''.join(line(row, 'td') for row in rows) + '</tbody>')


def figure(uri: str, title: str, caption: str) -> str:
    """Return a picture with its caption, which is HTML."""
    return (f'<figure><img src="{uri}" alt="{escape(title)}">'
            f'<figcaption>{caption}</figcaption></figure>')
