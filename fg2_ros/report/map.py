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

"""A map for a page: an aerial picture with vector layers over it, as inline SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
from fg2_ros.drawing import ellipse_axes
import numpy as np

MAP_MARGIN_M, MAP_ASPECT = 14.0, 1.5  # a map is at least this much wider than it is high


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
