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

"""Training curves as one self-contained page of inline SVG."""

from __future__ import annotations

from html import escape
import math
from pathlib import Path
from typing import Iterable, Sequence

_WIDTH, _HEIGHT, _MARGIN = 640, 240, 48
_COLOURS = ('#1f6fb2', '#c4541a', '#3b8a3e', '#7a4fa3', '#8a6d1f')
CHARTS = (
    ('Loss (nats a cell)', ('info_nce', 'local', 'layers', 'pose', 'validation_loss')),
    ('Position error (m)', ('validation_mean_m', 'validation_median_m')),
    ('Yaw error (degrees)', ('validation_median_deg',)),
    ('Learning rate', ('rate',)))


def write_curves(
        records: Sequence[dict], path: Path,
        charts: Iterable[tuple[str, Sequence[str]]] = CHARTS) -> None:
    """
    Write the page.

    :param records: of the log, each with ``step`` and some of the values that the charts name.
    :param charts: titles and the values that each shows.
    """
    charts = ''.join(_chart(title, names, records) for title, names in charts)
    path.write_text(
        '<!DOCTYPE html><meta charset="utf-8"><title>Training</title>'
        '<style>body{font:14px sans-serif;margin:2em}svg{display:block}</style>'
        f'<h1>Training, step {records[-1]["step"]}</h1>{charts}', encoding='utf-8')


def _chart(title: str, names: Iterable[str], records: Sequence[dict]) -> str:
    lines = {name: [(r['step'], r[name]) for r in records if name in r] for name in names}
    points = [point for line in lines.values() for point in line if math.isfinite(point[1])]
    if not points:
        return ''
    last, top = max(x for x, _ in points), max(y for _, y in points) or 1.0
    body = ''.join(
        _polyline(name, line, last, top, index)
        for index, (name, line) in enumerate(lines.items()) if line)
    axis_x, axis_y = _place(0, 0, last, top), _place(0, top, last, top)
    end = _place(last, 0, last, top)
    return (
        f'<h2>{escape(title)}</h2><svg width="{_WIDTH}" height="{_HEIGHT}">'
        f'<path d="M{axis_y}L{axis_x}L{end}" fill="none" stroke="#888"/>'
        f'<text x="2" y="{_MARGIN / 2}">{top:.3g}</text>'
        f'<text x="{_WIDTH - 60}" y="{_HEIGHT - 2}">{last}</text>{body}</svg>')


def _polyline(name: str, line: list[tuple[float, float]], last: float, top: float,
              index: int) -> str:
    colour = _COLOURS[index]
    points = ' '.join(_place(x, y, last, top) for x, y in line if math.isfinite(y))
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        f'<text x="{_WIDTH - 260}" y="{16 + 16 * index}" fill="{colour}">'
        f'{escape(name)}: {line[-1][1]:.3g}</text>')


def _place(x: float, y: float, last: float, top: float) -> str:
    right = _MARGIN + x / last * (_WIDTH - 1.5 * _MARGIN)
    down = _HEIGHT - _MARGIN / 2 - y / top * (_HEIGHT - _MARGIN)
    return f'{right:.1f},{down:.1f}'
