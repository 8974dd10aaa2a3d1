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

"""A map for a page: an aerial picture with vector layers over it, to zoom and to move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fg2_ros.drawing import ellipse_axes
from fg2_ros.report.html_page import jpeg_uri, render
from markupsafe import Markup
import numpy as np

MAP_MARGIN_M, MAP_ASPECT = 14.0, 1.5  # a map is at least this much wider than it is high


@dataclass(frozen=True)
class Layer:
    """
    Things of one kind; its shapes are keyword arguments of the template's macro for the kind.

    :param name: its class in the style sheet.
    :param label: what the legend calls it.
    """

    name: str
    label: str
    kind: str
    shapes: list[dict]


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
        self._layers: list[Layer] = []

    def add_path(self, name: str, label: str, points_m: np.ndarray) -> None:
        """Draw a line through (N, 2) points."""
        points = ' '.join(f'{x:.2f},{y:.2f}' for x, y in self._places(points_m))
        self._layers.append(Layer(name, label, 'path', [{'points': points}]))

    def add_dots(self, name: str, label: str, points_m: np.ndarray, titles: Sequence[str],
                 radius_m: float) -> None:
        """Draw dots at (N, 2) points that tell their title to the pointer."""
        self._layers.append(Layer(name, label, 'dot', [
            {'x': x, 'y': y, 'radius': radius_m, 'title': title}
            for (x, y), title in zip(self._places(points_m), titles)]))

    def add_ellipses(self, name: str, label: str, points_m: np.ndarray,
                     covariances: np.ndarray) -> None:
        """Draw the 95 % ellipses of (N, 2, 2) covariances around (N, 2) points."""
        shapes = []
        for (x, y), covariance in zip(self._places(points_m), covariances):
            major_m, minor_m, angle_rad = ellipse_axes(covariance)
            turn_deg = -np.degrees(angle_rad)  # y grows downwards
            shapes.append(
                {'x': x, 'y': y, 'major': major_m, 'minor': minor_m, 'turn_deg': turn_deg})
        self._layers.append(Layer(name, label, 'ellipse', shapes))

    def html(self) -> Markup:
        """Return the map with its legend and what lets it be zoomed."""
        return render(
            'map.html', picture=jpeg_uri(self._picture), layers=self._layers,
            width=self.width_m, height=self.height_m)

    def _places(self, points_m: np.ndarray) -> np.ndarray:
        """Return (N, 2) points in metres to the right of and below the upper left corner."""
        points_m = np.asarray(points_m, float).reshape(-1, 2)
        return (points_m - (self._west_m, self._north_m)) * (1, -1)
