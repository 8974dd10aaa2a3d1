"""Charts and maps as inline SVG: no library to load, sharp at any size."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
from fg2_ros.drawing import ellipse_axes
import numpy as np

CHART_WIDTH, CHART_HEIGHT = 760, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
MAP_MARGIN_M, MAP_ASPECT = 14.0, 1.5  # a map is at least this much wider than it is high


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


class Map:
    """
    An aerial picture with things drawn on it in map metres.

    :param image: (H, W, 3) uint8 RGB, north-up.
    :param resolution_m: metres a pixel.
    :param centre_m: (east, north) of the image's centre.
    :param around_m: (N, 2) points to be seen; the image is cut to them and some margin.
    """

    def __init__(self, image: np.ndarray, resolution_m: float, centre_m: tuple[float, float],
                 around_m: np.ndarray):
        """Cut the image."""
        height, width = image.shape[:2]
        west_m = centre_m[0] - width / 2 * resolution_m
        north_m = centre_m[1] + height / 2 * resolution_m
        low, high = around_m.min(axis=0) - MAP_MARGIN_M, around_m.max(axis=0) + MAP_MARGIN_M
        widen_m = max(0.0, MAP_ASPECT * (high[1] - low[1]) - (high[0] - low[0]))
        low[0], high[0] = low[0] - widen_m / 2, high[0] + widen_m / 2
        columns = np.clip([(low[0] - west_m) / resolution_m,
                           (high[0] - west_m) / resolution_m], 0, width).astype(int)
        rows = np.clip([(north_m - high[1]) / resolution_m,
                        (north_m - low[1]) / resolution_m], 0, height).astype(int)
        self._west_m = west_m + columns[0] * resolution_m
        self._north_m = north_m - rows[0] * resolution_m
        self._picture = image[slice(*rows), slice(*columns)]
        self.height_m, self.width_m = np.array(self._picture.shape[:2]) * resolution_m
        self._layers: list[str] = []

    def add_path(self, name: str, points_m: np.ndarray) -> None:
        """Draw a line through (N, 2) points."""
        points = ' '.join(f'{x:.2f},{y:.2f}' for x, y in zip(*self._place(points_m)))
        self._layers.append(f'<g class="{name}"><polyline points="{points}"/></g>')

    def add_dots(self, name: str, points_m: np.ndarray, titles: Sequence[str],
                 radius_m: float) -> None:
        """Draw dots at (N, 2) points that tell their title to the pointer."""
        dots = ''.join(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius_m}"><title>{escape(title)}</title>'
            '</circle>' for x, y, title in zip(*self._place(points_m), titles))
        self._layers.append(f'<g class="{name}">{dots}</g>')

    def add_ellipses(self, name: str, points_m: np.ndarray, covariances: np.ndarray) -> None:
        """Draw the 95 % ellipses of (N, 2, 2) covariances around (N, 2) points."""
        ellipses = []
        for x, y, covariance in zip(*self._place(points_m), covariances):
            major_m, minor_m, angle_rad = ellipse_axes(covariance)
            turn_deg = -np.degrees(angle_rad)  # y grows downwards
            ellipses.append(
                f'<ellipse rx="{major_m:.3f}" ry="{minor_m:.3f}" '
                f'transform="translate({x:.2f} {y:.2f}) rotate({turn_deg:.1f})"/>')
        self._layers.append(f'<g class="{name}">{"".join(ellipses)}</g>')

    def svg(self) -> str:
        """Return the map."""
        return (
            f'<svg id="map" class="map" viewBox="0 0 {self.width_m:.2f} {self.height_m:.2f}" '
            'role="img">'
            f'<image href="{jpeg_uri(self._picture)}" width="{self.width_m:.2f}" '
            f'height="{self.height_m:.2f}" preserveAspectRatio="none"/>'
            + ''.join(self._layers) + self._scale_bar() + '</svg>')

    def _place(self, points_m: np.ndarray):
        points_m = np.asarray(points_m, float).reshape(-1, 2)
        return points_m[:, 0] - self._west_m, self._north_m - points_m[:, 1]

    def _scale_bar(self) -> str:
        x, y = 0.03 * self.width_m, 0.965 * self.height_m
        size = 0.018 * self.width_m
        return (
            f'<g class="scale"><path d="M{x} {y - size / 2}V{y}H{x + 20}V{y - size / 2}"/>'
            f'<text x="{x + 10}" y="{y - size / 2}" font-size="{size}" text-anchor="middle">'
            f'20 m</text><text x="{x + 10}" y="{y - 2 * size}" font-size="{size * 1.2}" '
            'text-anchor="middle">N ↑</text></g>')


def jpeg_uri(image: np.ndarray, quality: int = 85) -> str:
    """Return a data URI of a (H, W, 3) uint8 RGB image."""
    _, jpeg = cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data_uri(jpeg.tobytes())


def data_uri(jpeg: bytes) -> str:
    """Return a data URI of JPEG bytes."""
    return 'data:image/jpeg;base64,' + base64.b64encode(jpeg).decode()


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
