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
Lenses: where in a camera's image a direction appears.

Directions are (..., 3) in the camera's own axes: of an equirectangular camera the panorama's (x
through the centre column, y left, z up), of the others the optical ones (z through the lens, x
right, y down). Pixels are continuous (column, row); the centre of pixel (i, j) is at
(j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
import math
from typing import NamedTuple, Protocol

from fg2_ros.geometry.panorama import pixel_from_direction
import numpy as np

WIDEST_PINHOLE_RAD = math.radians(88.0)  # between the axis and what a pinhole image shows
_OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


class Projection(NamedTuple):
    """
    Where directions appear.

    :param column: continuous; so is ``row``.
    :param seen: whether the image shows the direction.
    :param merit: larger is nearer to the middle of what the lens shows.
    """

    column: np.ndarray
    row: np.ndarray
    seen: np.ndarray
    merit: np.ndarray


class Lens(Protocol):
    """What an image is the picture of."""

    @property
    def width(self) -> int:
        """Return the columns of the image."""

    @property
    def height(self) -> int:
        """Return the rows of the image."""

    @property
    def pixels_per_rad(self) -> float:
        """Return how fine the image is in its middle."""

    def project(self, directions: np.ndarray) -> Projection:
        """Return where (..., 3) directions appear."""


@dataclass(frozen=True)
class Equirectangular:
    """
    A panorama of all around, between two elevations.

    :param low_rad: elevation of the lower edge of the last row; ``high_rad`` of the upper of the
        first.
    """

    width: int
    height: int
    low_rad: float = -math.pi / 2
    high_rad: float = math.pi / 2

    @property
    def is_whole(self) -> bool:
        """Whether it shows everything from the nadir to the zenith."""
        return (self.low_rad, self.high_rad) == (-math.pi / 2, math.pi / 2)

    @property
    def pixels_per_rad(self) -> float:
        """Return how many columns a radian has."""
        return self.width / (2 * math.pi)

    def project(self, directions: np.ndarray) -> Projection:
        """Return where (..., 3) directions appear."""
        rows_per_rad = self.height / (self.high_rad - self.low_rad)
        column, row = pixel_from_direction(directions, self.width, rows_per_rad * math.pi)
        row = row - (math.pi / 2 - self.high_rad) * rows_per_rad
        seen = (row >= 0) & (row <= self.height)
        return Projection(column, row, seen, np.zeros_like(row))


@dataclass(frozen=True, eq=False)
class Pinhole:
    """
    A pinhole camera, with or without distortion.

    :param matrix: (3, 3) intrinsics, in pixels whose centres are whole numbers, as OpenCV and
        ``camera_info`` have them.
    :param distortion: as OpenCV has them: k1, k2, p1, p2 (plumb_bob), and so on (rational
        polynomial, thin prism).
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: tuple[float, ...] = ()

    @property
    def pixels_per_rad(self) -> float:
        """Return the focal length."""
        return float(self.matrix[0, 0])

    @cached_property
    def _widest(self) -> float:
        """Return the tangent up to which distortion grows: beyond it the polynomial folds."""
        tangents = np.linspace(0, math.tan(WIDEST_PINHOLE_RAD), 4000)
        return _growing_until(tangents, self._distorted(tangents, np.zeros(4000))[0])

    def _distorted(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and rows of points in the plane one focal length ahead."""
        if any(self.distortion):
            x, y = _distorted_points(x, y, self.distortion)
        (fx, skew, cx), (_, fy, cy), _ = self.matrix.tolist()
        return fx * x + skew * y + (cx + 0.5), fy * y + (cy + 0.5)

    def project(self, directions: np.ndarray) -> Projection:
        """Return where (..., 3) directions appear."""
        x, y, z = np.moveaxis(directions, -1, 0)
        aside = np.hypot(x, y)
        ahead = (z > 0) & (aside <= self._widest * z)
        column, row = (np.full(z.shape, -1.0, np.float32) for _ in range(2))
        column[ahead], row[ahead] = self._distorted(x[ahead] / z[ahead], y[ahead] / z[ahead])
        merit = z / np.hypot(aside, z)
        return Projection(column, row, ahead & self._is_inside(column, row), merit)

    def _is_inside(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        return (column >= 0) & (column <= self.width) & (row >= 0) & (row <= self.height)


@dataclass(frozen=True, eq=False)
class Fisheye:
    """
    A fisheye lens (Kannala and Brandt; OpenCV's fisheye, ROS's equidistant).

    The distance from the centre is f (t + k1 t^3 + k2 t^5 + k3 t^7 + k4 t^9), t the angle from the
    axis.

    :param matrix: see `Pinhole`.
    :param distortion: k1 to k4.
    :param widest_rad: angle from the axis up to which there is a picture.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    widest_rad: float = math.pi

    @property
    def pixels_per_rad(self) -> float:
        """Return the focal length."""
        return float(self.matrix[0, 0])

    @cached_property
    def _widest(self) -> float:
        angles = np.linspace(0, self.widest_rad, 4000)
        return _growing_until(angles, self._distorted(angles))

    def _distorted(self, angle: np.ndarray) -> np.ndarray:
        square = angle * angle
        factor = np.zeros_like(angle)
        for coefficient in reversed(self.distortion):
            factor = (factor + coefficient) * square
        return angle * (1 + factor)

    def project(self, directions: np.ndarray) -> Projection:
        """Return where (..., 3) directions appear."""
        x, y, z = np.moveaxis(directions, -1, 0)
        aside = np.hypot(x, y)
        angle = np.arctan2(aside, z)
        scale = self._distorted(angle) / np.maximum(aside, 1e-9)
        (fx, skew, cx), (_, fy, cy), _ = self.matrix.tolist()
        column = fx * scale * x + skew * scale * y + cx + 0.5
        row = fy * scale * y + cy + 0.5
        seen = (angle <= self._widest) & (column >= 0) & (column <= self.width) \
            & (row >= 0) & (row <= self.height)
        return Projection(column, row, seen, -angle)


def _distorted_points(x: np.ndarray, y: np.ndarray, coefficients: tuple[float, ...]
                      ) -> tuple[np.ndarray, np.ndarray]:
    """Return points in the plane one focal length ahead as OpenCV's model distorts them."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = (*coefficients, *(0.0,) * 12)[:12]
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    if k4 or k5 or k6:
        radial /= 1 + square * (k4 + square * (k5 + square * k6))
    twice = 2 * x * y
    return (x * radial + p1 * twice + p2 * (square + 2 * x * x) + square * (s1 + square * s2),
            y * radial + p2 * twice + p1 * (square + 2 * y * y) + square * (s3 + square * s4))


def optical_from_body() -> np.ndarray:
    """Return the (3, 3) turn from axes x forward, y left, z up to the optical ones (REP-103)."""
    return _OPTICAL_FROM_BODY.copy()


def _growing_until(arguments: np.ndarray, values: np.ndarray) -> float:
    """Return the last argument before values that began to grow stop to."""
    stops = np.flatnonzero(np.diff(values) <= 0)
    return float(arguments[stops[0] if len(stops) else -1])
