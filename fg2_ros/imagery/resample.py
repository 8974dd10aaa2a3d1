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
Exact, antialiased resampling between image grids that a smooth projection relates.

The projection is evaluated on a few Chebyshev nodes of the target square and spread to its pixels
as the polynomial through them. Between map frames, Mercator and orthophotos the projection is so
smooth that over 2 km the polynomial differs from it by less than a micrometre.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.polynomial import chebyshev

NODES = 5
_AFFINE_PX = 0.005  # a map this close to an affine one is taken as such


def unit_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Return (u, v), each (5, 5): where in the unit square (u right, v down) to project."""
    axis = (chebyshev.chebpts1(NODES) + 1) / 2
    u, v = np.meshgrid(axis, axis)
    return u, v


@lru_cache(maxsize=32)
def _spreading(count: int) -> np.ndarray:
    """Return the (count, 5) matrix from node values to those at ``count`` pixel centres."""
    return _interpolation((np.arange(count) + 0.5) / count * 2 - 1).astype(np.float32)


def spread(at_nodes: np.ndarray, count: int) -> np.ndarray:
    """
    Return (count, count) float32 values at the pixel centres of the unit square.

    :param at_nodes: (5, 5) values at `unit_nodes`, small enough for float32 (no world pixels).
    """
    matrix = _spreading(count)
    return matrix @ at_nodes.astype(np.float32) @ matrix.T


class Pyramid:
    """
    An image that can be sampled at any scale at or below its own without aliasing.

    :param image: (H, W, 3) uint8.
    :param valid: (H, W) uint8, 255 where the image has content and 0 elsewhere; None means
        everywhere.
    """

    def __init__(self, image: np.ndarray, valid: np.ndarray | None = None):
        """Keep the full-size level; the smaller ones are made when they are needed."""
        self._levels = {(0, 0): (image, valid)}

    def warp(self, x_nodes: np.ndarray, y_nodes: np.ndarray,
             size_px: int) -> tuple[np.ndarray, np.ndarray | None]:
        """
        Return the image under a smooth map of the unit square.

        :param x_nodes: (5, 5) continuous image columns (pixel centres at + 0.5) at `unit_nodes`.
        :param y_nodes: (5, 5) continuous image rows.
        :param size_px: pixels along the square's sides.
        :return: (size_px, size_px, 3) uint8, black where there is nothing, and (size_px, size_px)
            bool, False there, or None if there is something everywhere.
        """
        # Halved until a target pixel covers 1-2 source pixels; a slight blur does the rest.
        scales = [slope / size_px for slope in slopes(x_nodes, y_nodes)]
        halvings = [max(0, int(np.floor(np.log2(scale)))) for scale in scales]
        image, valid = self._level(*halvings)
        x_step, y_step = 2.0 ** np.array(halvings)
        return _warped(image, valid, x_nodes / x_step, y_nodes / y_step,
                       (scales[0] / x_step, scales[1] / y_step), size_px)

    def _level(self, across: int, down: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return image and mask, halved so many times across and down."""
        if (across, down) not in self._levels:
            image, valid = self._level(max(across - 1, 0), max(down - 1, 0))
            halved = _halved(image, across > 0, down > 0)
            if valid is not None:
                valid = np.where(_halved(valid, across > 0, down > 0) == 255, 255, 0)
                valid = valid.astype(np.uint8)
            self._levels[across, down] = halved, valid
        return self._levels[across, down]


def slopes(x_nodes: np.ndarray, y_nodes: np.ndarray) -> tuple[float, float]:
    """Return how many source columns, and how many rows, lie along a side of the unit square."""
    middle, span = NODES // 2, np.ptp(chebyshev.chebpts1(NODES)) / 2

    def slope(nodes: np.ndarray) -> float:
        along, down = nodes[middle, -1] - nodes[middle, 0], nodes[-1, middle] - nodes[0, middle]
        return float(np.hypot(along, down) / span)

    return slope(x_nodes), slope(y_nodes)


def source_resolution_m(size_m: float, x_nodes: np.ndarray, y_nodes: np.ndarray) -> float:
    """Return the metres of ground that a source pixel spans, along its longer side."""
    return size_m / min(slopes(x_nodes, y_nodes))


def pixels_touched(nodes: np.ndarray, size_px: int) -> tuple[int, int]:
    """Return (first, end) of the source columns (or rows) that `Pyramid.warp` looks at."""
    low, high = extent(nodes)
    # Interpolation reaches one pixel, the blur another; halved images need more of both.
    reach = 2 + 3 * np.ptp(nodes) / size_px
    return int(np.floor(low - reach)), int(np.ceil(high + reach))


def extent(nodes: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest value over the whole unit square."""
    matrix = _edge_spreading()
    values = matrix @ (nodes - nodes[0, 0]) @ matrix.T + nodes[0, 0]
    return float(values.min()), float(values.max())


@lru_cache(maxsize=1)
def _edge_spreading() -> np.ndarray:
    return _interpolation(np.linspace(-1, 1, 9))


def _interpolation(positions: np.ndarray) -> np.ndarray:
    """Return the matrix from values at the nodes to those at positions in [-1, 1]."""
    at_nodes = chebyshev.chebvander(chebyshev.chebpts1(NODES), NODES - 1)
    return chebyshev.chebvander(positions, NODES - 1) @ np.linalg.inv(at_nodes)


def _warped(image: np.ndarray, valid: np.ndarray | None, x_nodes, y_nodes,
            scales: tuple[float, float], size_px: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return `Pyramid.warp` of a level of which a target pixel covers less than 2 x 2 pixels."""
    height, width = image.shape[:2]
    left, right = np.clip(pixels_touched(x_nodes, size_px), 0, width)
    top, bottom = np.clip(pixels_touched(y_nodes, size_px), 0, height)
    if left >= right or top >= bottom:
        return (np.zeros((size_px, size_px, 3), np.uint8), np.zeros((size_px, size_px), bool))
    crop = np.s_[top:bottom, left:right]
    nodes = x_nodes - left, y_nodes - top
    warped = _sampled(_blurred(image[crop], scales), *nodes, size_px)
    mask = None
    if valid is not None and not valid[crop].all():
        core = cv2.erode(valid[crop], np.ones((3, 3), np.uint8))
        mask = _sampled(core, *nodes, size_px) == 255
    if not (_within(x_nodes, width) and _within(y_nodes, height)):
        x, y = (spread(axis, size_px) for axis in nodes)
        inside = (x >= -left) & (x <= width - left) & (y >= -top) & (y <= height - top)
        mask = inside if mask is None else mask & inside
    if mask is None or mask.all():
        return warped, None
    warped[~mask] = 0
    return warped, mask


def _within(nodes: np.ndarray, size: int) -> bool:
    low, high = extent(nodes)
    return 0 <= low and high <= size


def _sampled(image: np.ndarray, x_nodes: np.ndarray, y_nodes: np.ndarray,
             size_px: int) -> np.ndarray:
    """Return an image under a smooth map, interpolated linearly; its edge goes on outside."""
    if image.ndim == 3:  # OpenCV is more than twice as fast with four channels as with three
        padded = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        return cv2.cvtColor(_interpolated(padded, x_nodes, y_nodes, size_px), cv2.COLOR_RGBA2RGB)
    return _interpolated(image, x_nodes, y_nodes, size_px)


def _interpolated(image, x_nodes, y_nodes, size_px: int) -> np.ndarray:
    matrix = _affine(x_nodes, y_nodes, size_px)
    if matrix is not None:
        return cv2.warpAffine(
            image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE)
    half = np.float32(0.5)  # for OpenCV, pixel centres are whole numbers
    return cv2.remap(image, spread(x_nodes, size_px) - half, spread(y_nodes, size_px) - half,
                     cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def affine_misfit(x_nodes: np.ndarray, y_nodes: np.ndarray) -> float:
    """Return how far a map is from an affine one, at the worst node along the worse axis."""
    return _nearest_affine(x_nodes, y_nodes)[1]


def _affine(x_nodes, y_nodes, size_px: int) -> np.ndarray | None:
    """Return the (2, 3) matrix from target to source pixels, None if the map is not affine."""
    matrix, misfit = _nearest_affine(x_nodes, y_nodes)
    if misfit > _AFFINE_PX:
        return None
    slope, offset = matrix[:2].T / size_px, matrix[2]
    return np.column_stack([slope, offset + slope.sum(axis=1) / 2 - 0.5])


def _nearest_affine(x_nodes, y_nodes) -> tuple[np.ndarray, float]:
    """Return the (3, 2) matrix from (u, v, 1) to (x, y), and its largest error at a node."""
    design, fit = _affine_fit()
    values = np.stack([x_nodes, y_nodes], axis=-1).reshape(-1, 2)
    values_0 = values[0]
    matrix = fit @ (values - values_0)
    misfit = np.abs(design @ matrix - (values - values_0)).max()
    matrix[2] += values_0
    return matrix, float(misfit)


@lru_cache(maxsize=1)
def _affine_fit() -> tuple[np.ndarray, np.ndarray]:
    u, v = unit_nodes()
    design = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    return design, np.linalg.pinv(design)


def _blurred(image: np.ndarray, scales: tuple[float, float]) -> np.ndarray:
    """Return the image without the detail that target pixels of 1-2 source pixels cannot show."""
    across, down = (_kernel(scale) for scale in scales)
    if len(across) == len(down) == 1:
        return image
    return cv2.sepFilter2D(image, -1, across, down, borderType=cv2.BORDER_REPLICATE)


def _kernel(scale: float) -> np.ndarray:
    """Return a kernel as wide as the mean of two samples that are half a target pixel apart."""
    if scale <= 1.02:
        return np.ones(1, np.float32)
    side = min(scale, 2.0) ** 2 / 32  # half of the variance that the kernel is to have
    return np.array([side, 1 - 2 * side, side], np.float32)


def _halved(image: np.ndarray, across: bool, down: bool) -> np.ndarray:
    height, width = image.shape[:2]
    even = cv2.copyMakeBorder(
        image, 0, height % 2 * down, 0, width % 2 * across, cv2.BORDER_REPLICATE)
    size = even.shape[1] // (1 + across), even.shape[0] // (1 + down)
    return cv2.resize(even, size, interpolation=cv2.INTER_AREA)
