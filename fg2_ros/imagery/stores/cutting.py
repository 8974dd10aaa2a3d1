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

"""Patches cut from orthophotos that share a grid of pixels, as the sheets of a survey do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from fg2_ros.imagery.patch import ImageryError, PatchView
from fg2_ros.imagery.resample import pixels_touched, Pyramid, slopes, source_resolution_m
from fg2_ros.imagery.stores.orthophoto import Orthophoto
import numpy as np

_MOST_PIXELS = 64_000_000  # read for one patch


@dataclass(frozen=True)
class Cutout:
    """
    What a file holds of a patch.

    :param image: (H, H, 3) uint8 RGB, black where there is nothing.
    :param valid: (H, H) bool, False there; None if there is something everywhere.
    :param resolution_m: ground that a pixel of the file spans there.
    :param problem: why something is missing; a sentence that goes on after 'lacks 60% ...: '.
    """

    image: np.ndarray
    valid: np.ndarray | None
    resolution_m: float
    problem: str


@dataclass(frozen=True)
class Part:
    """
    An orthophoto in a grid of pixels.

    :param column: of the grid where its pixels begin, at full resolution.
    :param row: likewise.
    """

    orthophoto: Orthophoto
    column: int = 0
    row: int = 0

    def box(self, factor: int) -> np.ndarray:
        """Return left, top, right and bottom in pixels of a level."""
        left, top = self.column // factor, self.row // factor
        width, height = self.orthophoto.size(factor)
        return np.array([left, top, left + width, top + height])

    def fits(self, factor: int) -> bool:
        """Return whether the pixels of a level are in a grid with those of other parts."""
        return (factor in self.orthophoto.factors
                and not any(np.mod([self.column, self.row, *self.orthophoto.size()], factor)))


def cut(parts: Sequence[Part], view: PatchView) -> Cutout:
    """
    Return what there is of a patch in orthophotos that share a grid; the first come first.

    :param parts: of them the first begins at column 0 and row 0.
    :raises ImageryError: if one cannot be read, or has no map of the place.
    """
    first = parts[0].orthophoto
    x_nodes, y_nodes = first.pixels(view)
    factor = _factor(parts, min(slopes(x_nodes, y_nodes)) / view.size_px)
    x_ratio, y_ratio = np.divide(first.size(factor), first.size())
    x_nodes, y_nodes = x_nodes * x_ratio, y_nodes * y_ratio
    resolution_m = source_resolution_m(view.size_m, x_nodes, y_nodes)
    boxes = [part.box(factor) for part in parts]
    window = _met(_touched(x_nodes, y_nodes, view.size_px), _around(boxes))
    width, height = window[2:] - window[:2]
    if min(width, height) <= 0:
        return Cutout(*nothing(view.size_px), resolution_m, 'the place is outside it')
    if width * height > _MOST_PIXELS:
        raise ImageryError(
            f'{first.path} has no overviews: {width} x {height} of its pixels would be needed for'
            ' a patch; "gdaladdo -r average" makes some')
    if len(parts) > 1 and not _cover(boxes, window):  # at the edges of gaps a mosaic loses pixels
        alone = [cut([Part(part.orthophoto)], view) for part in parts]
        return reduce(filled, alone)
    pyramid = Pyramid(*_read(parts, boxes, factor, window))
    image, valid = pyramid.warp(x_nodes - window[0], y_nodes - window[1], view.size_px)
    return Cutout(image, valid, resolution_m, 'the place is outside it or empty in it')


def filled(first: Cutout, second: Cutout) -> Cutout:
    """Return the first cutout with its gaps filled from the second."""
    if first.valid is None:
        return first
    there = np.ones_like(first.valid) if second.valid is None else second.valid
    added = there & ~first.valid
    if not added.any():
        return first
    if not first.valid.any():
        return second
    valid = first.valid | there
    return Cutout(
        np.where(added[..., None], second.image, first.image), None if valid.all() else valid,
        max(first.resolution_m, second.resolution_m), second.problem)


def nothing(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the mask of a patch of which there is nothing."""
    return np.zeros((size_px, size_px, 3), np.uint8), np.zeros((size_px, size_px), bool)


def _factor(parts: Sequence[Part], scale: float) -> int:
    """Return the coarsest level that has all detail when a pixel shows ``scale`` of it."""
    fitting = [factor for factor in parts[0].orthophoto.factors if factor <= 1.02 * scale]
    if len(parts) > 1:
        fitting = [factor for factor in fitting if all(part.fits(factor) for part in parts)]
    return max(fitting, default=1)


def _read(parts: Sequence[Part], boxes: Sequence[np.ndarray], factor: int,
          window: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pixels of a window and where they are imagery, see `Orthophoto.read`."""
    if len(parts) == 1:
        return parts[0].orthophoto.read(factor, *window.tolist())
    width, height = window[2:] - window[:2]
    mosaic, there = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    for part, box in reversed(list(zip(parts, boxes))):
        shared = _met(window, box)
        if min(shared[2:] - shared[:2]) <= 0:
            continue
        image, valid = part.orthophoto.read(factor, *(shared - np.tile(box[:2], 2)).tolist())
        left, top, right, bottom = shared - np.tile(window[:2], 2)
        inside = np.s_[top:bottom, left:right]
        if valid is None:
            mosaic[inside], there[inside] = image, 255
        else:
            mosaic[inside] = np.where(valid[..., None] > 0, image, mosaic[inside])
            there[inside] |= valid
    return mosaic, None if there.all() else there


def _cover(boxes: Sequence[np.ndarray], window: np.ndarray) -> bool:
    """Return whether boxes leave nothing of a window free."""
    covered = np.zeros(window[:1:-1] - window[1::-1], bool)
    for box in boxes:
        left, top, right, bottom = _met(window, box) - np.tile(window[:2], 2)
        covered[top:max(top, bottom), left:max(left, right)] = True
    return bool(covered.all())


def _touched(x_nodes: np.ndarray, y_nodes: np.ndarray, size_px: int) -> np.ndarray:
    (left, right), (top, bottom) = (pixels_touched(nodes, size_px) for nodes in (x_nodes, y_nodes))
    return np.array([left, top, right, bottom])


def _met(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the box that two boxes have in common; empty ones have no width or height."""
    return np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])])


def _around(boxes: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])
