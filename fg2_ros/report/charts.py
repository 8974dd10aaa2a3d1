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

"""Charts for a page: Matplotlib draws them, the page's style sheet colours them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import io
import re
from typing import Any

from fg2_ros.report.html_page import render
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

# Names of the style sheet's colours, which differ in the dark, and what they are in the light.
COLOURS = {
    'soft': '#667085', 'line': '#e4e7ec', 'teal': '#12b5cb', 'orange': '#f79009',
    'violet': '#6941c6', 'green': '#3b8a3e', 'brown': '#8a6d1f', 'red': '#d92d20'}
CYCLE = ('teal', 'orange', 'violet', 'green', 'brown')
METADATA = ('Creator', 'Date', 'Format', 'Type')  # none, so that a drawing has no time
WIDTH, HEIGHT = 760, 210  # points, about as many pixels
STYLE: dict[Any, Any] = {
    'font.size': 10, 'font.family': 'sans-serif', 'font.sans-serif': ['DejaVu Sans'],
    'svg.fonttype': 'none', 'text.parse_math': False, 'text.color': COLOURS['soft'],
    'axes.labelcolor': COLOURS['soft'], 'axes.facecolor': 'none', 'figure.facecolor': 'none',
    'axes.edgecolor': COLOURS['line'], 'axes.axisbelow': True, 'axes.grid': True,
    'axes.grid.axis': 'y', 'grid.color': COLOURS['line'], 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.spines.left': False, 'axes.xmargin': 0.01,
    'xtick.color': COLOURS['line'], 'xtick.labelcolor': COLOURS['soft'], 'ytick.left': False,
    'ytick.labelcolor': COLOURS['soft'], 'legend.frameon': False, 'lines.linewidth': 1.8,
    'lines.markersize': 4, 'lines.markeredgewidth': 0}


@dataclass(frozen=True)
class Curve:
    """
    One curve of a chart; NaN interrupts it.

    :param label: what the legend calls it.
    :param colour: one of `COLOURS`, by name.
    :param dots: whether its points are not connected.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: str = CYCLE[0]
    dots: bool = False


@dataclass(frozen=True)
class Limit:
    """A horizontal line that something is to stay below."""

    y: float
    text: str


def line_chart(title: str, curves: Sequence[Curve], y_label: str, x_label: str = 'time [s]',
               limit: Limit | None = None) -> Markup:
    """
    Return a chart whose y axis begins at zero.

    :param title: what the chart is called where it cannot be seen.
    """
    def draw(axes: Axes) -> None:
        for curve in curves:
            _draw_curve(axes, curve)
        if limit:
            _draw_limit(axes, limit)
        axes.set(xlabel=x_label, ylabel=y_label)
        _fit_height(axes, np.concatenate(
            [[limit.y if limit else 0.0], *(curve.y for curve in curves)]))
        if len(curves) > 1:
            axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=5)

    return chart(title, draw)


def histogram(title: str, values: np.ndarray, high: float, bins: int, x_label: str) -> Markup:
    """
    Return a chart of the shares of values in bins; the last one holds all beyond it.

    :param title: what the chart is called where it cannot be seen.
    :param high: end of the last bin.
    """
    edges = np.linspace(0.0, high, bins + 1)
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    percent = 100 * counts / max(len(values), 1)

    def draw(axes: Axes) -> None:
        axes.bar(edges[:-1], percent, 0.9 * high / bins, align='edge', color=COLOURS[CYCLE[0]])
        axes.set(xlabel=x_label, ylabel='share of frames [%]')
        _fit_height(axes, percent)

    return chart(title, draw)


def chart(title: str, draw: Callable[[Axes], None], width: float = WIDTH,
          height: float = HEIGHT) -> Markup:
    """
    Return a chart as an element of a page; what is drawn the same way is the same text.

    :param title: what the chart is called where it cannot be seen.
    :param draw: puts everything onto the axes that it is given.
    :param width: in points, 72 of which are an inch.
    :param height: in points.
    """
    with rc_context({**STYLE, 'svg.hashsalt': title}):
        figure = Figure((width / 72, height / 72), layout='constrained')
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format='svg', metadata=dict.fromkeys(METADATA))
    return render('chart.html', title=title, width=width, height=height,
                  drawing=Markup(_drawing(file.getvalue())))  # its texts are escaped


def _draw_curve(axes: Axes, curve: Curve) -> None:
    axes.plot(curve.x, curve.y, linestyle='none' if curve.dots else '-', marker='o',
              markevery=slice(None) if curve.dots else _ends(curve.y),
              color=COLOURS[curve.colour], label=curve.label)


def _ends(y: np.ndarray) -> np.ndarray:
    """Return which values have a gap beside them; between two of them a line shows nothing."""
    known = np.pad(np.isfinite(y), 1)
    return known[1:-1] & ~(known[:-2] & known[2:])


def _draw_limit(axes: Axes, limit: Limit) -> None:
    axes.axhline(limit.y, color=COLOURS['red'], linestyle=(0, (5, 4)), linewidth=1)
    axes.annotate(limit.text, (1, limit.y), (-4, 4), color=COLOURS['red'], ha='right',
                  xycoords=axes.get_yaxis_transform(), textcoords='offset points')


def _fit_height(axes: Axes, values: np.ndarray) -> None:
    """Let an axis begin at zero and hold all values that are finite."""
    known = values[np.isfinite(values)]
    low, high = known.min(initial=0.0), known.max(initial=0.0)
    axes.set_ylim(1.05 * low, 1.08 * high if high > low else 1.0)


def _drawing(svg: str) -> str:
    """Return what is inside an SVG file, for a page that holds several such drawings."""
    drawing = svg[svg.index('</defs>') + len('</defs>'):svg.rindex('</svg>')]  # without its style
    drawing = re.sub(r' id="[\w.]+_\d+"', '', drawing)  # they are counted anew in each file
    for name, colour in COLOURS.items():
        drawing = drawing.replace(colour, f'var(--{name})')
    return drawing
