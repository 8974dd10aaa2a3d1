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

"""Map shapes drawn into rasters of the whole city, and polylines."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

HALF_SIZE_M = 192.0  # of the city
_SUBPIXEL_BITS = 4


def cell_at(point: Sequence[float] | np.ndarray, resolution_m: float) -> tuple[int, int]:
    """Return the integer (column, row) of a map point in a raster of the city."""
    return (int((point[0] + HALF_SIZE_M) // resolution_m),
            int((HALF_SIZE_M - point[1]) // resolution_m))


def draw_polygon(raster: np.ndarray, points: ArrayLike, value: int,
                 origin: tuple[int, int] = (0, 0), cells: int = 0) -> None:
    """Fill a map polygon in a raster of the city, or in the window of one (see `_to_pixels`)."""
    cv2.fillPoly(raster, [_to_pixels(raster, points, origin, cells)], int(value),
                 shift=_SUBPIXEL_BITS)


def draw_line(raster: np.ndarray, points: ArrayLike, width_m: float, value: int,
              origin: tuple[int, int] = (0, 0), cells: int = 0) -> None:
    """Draw a map polyline of a metric width in a raster of the city, or in a window of one."""
    resolution_m = 2 * HALF_SIZE_M / (cells or len(raster))
    cv2.polylines(raster, [_to_pixels(raster, points, origin, cells)], False, int(value),
                  max(1, round(width_m / resolution_m)), cv2.LINE_8, _SUBPIXEL_BITS)


def _to_pixels(raster: np.ndarray, points: ArrayLike, origin: tuple[int, int],
               cells: int) -> np.ndarray:
    """
    Return (K, 1, 2) OpenCV fixed-point (column, row) of map points; pixel centres at .5.

    ``raster`` covers the city, or is the window at ``origin`` (row, column) of a raster of
    ``cells`` rows that does.
    """
    resolution_m = 2 * HALF_SIZE_M / (cells or len(raster))
    x, y = np.asarray(points, float).T
    column = (x + HALF_SIZE_M) / resolution_m - 0.5 - origin[1]
    row = (HALF_SIZE_M - y) / resolution_m - 0.5 - origin[0]
    pixels = np.stack([column, row], axis=-1) * 2 ** _SUBPIXEL_BITS
    return np.round(pixels).astype(np.int32)[:, None]


def window_around(points: ArrayLike, resolution_m: float, cells: int,
                  margin_m: float = 4.0) -> tuple[slice, slice]:
    """Return (row, column) slices of the window of a raster around map points."""
    low, high = np.min(points, axis=0) - margin_m, np.max(points, axis=0) + margin_m
    column0, row1 = cell_at(low, resolution_m)
    column1, row0 = cell_at(high, resolution_m)
    return (slice(*np.clip([row0, row1 + 1], 0, cells)),
            slice(*np.clip([column0, column1 + 1], 0, cells)))


def resampled(polyline: np.ndarray, step_m: float) -> np.ndarray:
    """Return a polyline's points every ``step_m`` along it."""
    length = np.concatenate([
        [0.0], np.cumsum(np.linalg.norm(np.diff(polyline, axis=0), axis=1))])
    at = np.arange(0, length[-1], step_m)
    return np.stack([np.interp(at, length, polyline[:, k]) for k in (0, 1)], axis=-1)


def moved_left(polyline: np.ndarray, left_m: float) -> np.ndarray:
    """Return a polyline moved sideways, left of its direction."""
    tangent = np.gradient(polyline, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return polyline + left_m * np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)


def smoothed(polyline: np.ndarray) -> np.ndarray:
    """Return a polyline whose points are means of seven."""
    kernel = np.ones(7) / 7
    padded = np.pad(polyline, ((3, 3), (0, 0)), mode='edge')
    return np.stack([np.convolve(padded[:, k], kernel, 'valid') for k in (0, 1)], axis=-1)


def rectangle_path(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return a closed-by-fill path of 4 x 8 points around a rectangle in grid axes."""
    (u0, v0), (u1, v1) = low, high
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    ring = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1], [u0, v0]])
    return np.concatenate([a + t * (b - a) for a, b in zip(ring[:-1], ring[1:])])
