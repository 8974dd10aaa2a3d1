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

"""Charts and maps as inline SVG: no library to load, sharp at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

CHART_WIDTH, CHART_HEIGHT = 760, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34


@dataclass(frozen=True)
class Series:
    """
    One curve of a chart; NaN interrupts it.

    :param style: 'line' or 'dots'; both are classes in the page's style sheet, as ``name`` is.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = 'line'


@dataclass(frozen=True)
class Limit:
    """A horizontal line that something is to stay below."""

    y: float
    text: str


def line_chart(series: Sequence[Series], y_label: str, x_label: str = 'time [s]',
               limit: Limit | None = None) -> str:
    """Return an SVG chart whose y axis begins at zero."""
    x = np.concatenate([each.x[np.isfinite(each.y)] for each in series])
    y = np.concatenate([each.y[np.isfinite(each.y)] for each in series])
    axes = _Axes(
        x.min(initial=0.0), x.max(initial=1.0),
        1.05 * max(y.max(initial=0.0), limit.y if limit else 0.0) or 1.0)
    x_ticks = nice_ticks(axes.x_low, axes.x_high, 8)
    parts = [_grid(axes, x_ticks, nice_ticks(0.0, axes.y_high, 5), x_label, y_label)]
    parts += [_curve(axes, each) for each in series]
    if limit:
        y = axes.y(limit.y)
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{CHART_WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="limit-text" x="{CHART_WIDTH - RIGHT - 4}" y="{y - 5}" '
            f'text-anchor="end">{escape(limit.text)}</text>')
    return (f'<svg class="chart" viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img">'
            + ''.join(parts) + '</svg>')


def histogram(values: np.ndarray, high: float, bins: int, x_label: str) -> str:
    """Return an SVG chart of the shares of values in bins; the last one holds all beyond it."""
    edges = np.linspace(0.0, high, bins + 1)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    shares = counts / max(len(values), 1)
    axes = _Axes(0.0, high, 1.05 * float(shares.max(initial=0.0)) or 1.0)
    x, tops, floor = axes.x(edges), axes.y(shares), CHART_HEIGHT - BOTTOM
    bars = ''.join(
        f'<rect x="{left}" y="{top}" width="{max(right - left - 1, 1):.1f}" '
        f'height="{floor - top:.1f}"><title>{share:.1%}</title></rect>'
        for left, right, top, share in zip(x, x[1:], tops, shares))
    grid = _grid(axes, nice_ticks(0.0, high, 8), nice_ticks(0.0, axes.y_high, 5), x_label,
                 'share of frames')
    return (f'<svg class="chart" viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img">'
            f'{grid}<g class="bars">{bars}</g></svg>')


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers that cover an interval from within."""
    span = max(high - low, 1e-9)
    power = 10.0 ** np.floor(np.log10(span / count))
    step = next(
        factor * power for factor in (1, 2, 2.5, 5, 10) if span / (factor * power) <= count)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [k * step for k in range(first, last + 1)]


@dataclass(frozen=True)
class _Axes:
    """Places data on the canvas."""

    x_low: float
    x_high: float
    y_high: float

    def x(self, value):
        share = (value - self.x_low) / max(self.x_high - self.x_low, 1e-9)
        return np.round(LEFT + share * (CHART_WIDTH - LEFT - RIGHT), 1)

    def y(self, value):
        return np.round(
            CHART_HEIGHT - BOTTOM - value / self.y_high * (CHART_HEIGHT - TOP - BOTTOM), 1)


def _grid(axes: _Axes, x_ticks, y_ticks, x_label: str, y_label: str) -> str:
    floor, right = CHART_HEIGHT - BOTTOM, CHART_WIDTH - RIGHT
    parts = [
        f'<line x1="{LEFT}" x2="{right}" y1="{axes.y(tick)}" y2="{axes.y(tick)}"/>'
        f'<text x="{LEFT - 6}" y="{axes.y(tick) + 4}" text-anchor="end">{tick:g}</text>'
        for tick in y_ticks]
    parts += [
        f'<text x="{axes.x(tick)}" y="{floor + 15}" text-anchor="middle">{tick:g}</text>'
        for tick in x_ticks]
    middle = (TOP + floor) / 2
    parts.append(
        f'<text x="{(LEFT + right) / 2}" y="{CHART_HEIGHT - 3}" text-anchor="middle">'
        f'{escape(x_label)}</text><text transform="translate(13 {middle}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>')
    return f'<g class="grid">{"".join(parts)}</g>'


def _curve(axes: _Axes, series: Series) -> str:
    points = list(zip(axes.x(series.x), axes.y(series.y)))
    radius = 2.2 if series.style == 'dots' else 1.5  # a single value between two gaps is no line
    marks = ''.join(
        f'<circle cx="{x}" cy="{y}" r="{radius}"/>' for x, y in points if np.isfinite(y))
    if series.style == 'line':
        marks += f'<path d="{_path(points)}"/>'
    return f'<g class="{series.name} {series.style}">{marks}</g>'


def _path(points) -> str:
    commands, pen_down = [], False
    for x, y in points:
        if np.isfinite(y):
            commands.append(f'{"L" if pen_down else "M"}{x} {y}')
        pen_down = bool(np.isfinite(y))
    return ''.join(commands)
