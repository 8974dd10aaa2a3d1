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

"""Nodata values of orthophotos that do not declare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_LONGEST_GAP_SHARE = 0.2  # of pixels between a value that stands apart and the others
_FEWEST_APART = 0.001  # share of the pixels, for a value that stands apart
_SHORTEST_EDGE_PX, _SMALLEST_PX = 32, 256  # of what is empty from the file's edge inwards
_FRINGE = np.ones((3, 3), np.uint8)  # at the edge of what is empty, overviews and JPEG mix values


@dataclass(frozen=True)
class Sample:
    """
    A part of an orthophoto.

    :param values: (B, h, w) of the bands that are shown.
    :param valid: (h, w) bool, False where the file declares that it has no data.
    :param edges: which sides are the file's edge: some of 'top', 'bottom', 'left' and 'right'.
    """

    values: np.ndarray
    valid: np.ndarray
    edges: frozenset[str]


@dataclass(frozen=True)
class Nodata:
    """
    A value that means "no data".

    :param value: of all bands.
    :param everywhere: whether it means so in all pixels; else only in those connected with the
        edge of what is read.
    """

    value: float
    everywhere: bool

    def mask(self, values: np.ndarray) -> np.ndarray | None:
        """
        Return where there is no data, dilated by a pixel; None if there is data everywhere.

        :param values: (B, h, w) of the bands that are shown.
        :return: (h, w) bool.
        """
        empty = _equal(values, self.value)
        if empty.any() and not self.everywhere:
            empty = _from_the_edge(empty)
        return cv2.dilate(empty, _FRINGE).astype(bool) if empty.any() else None


def find_nodata(samples: Sequence[Sample]) -> Nodata | None:
    """
    Return the undeclared nodata value of an orthophoto; None if it has none.

    It is the least or the greatest one, the same in all bands. Either it stands far apart from all
    others, as -9999 does, or it reaches from the file's edge inwards, as the black or white does
    that fills the corners of a turned picture.
    """
    values = np.concatenate([sample.values[:, sample.valid] for sample in samples], axis=1)
    if values.dtype.kind == 'f':
        values = values[:, np.isfinite(values).all(axis=0)]
    if not values.size:
        return None
    for value in (values.min(), values.max()):
        same = np.all(values == value, axis=0)
        others = values[:, ~same].astype(float)
        if not same.any() or not others.size or not np.ptp(others):
            continue
        if values.dtype != np.uint8 and _stands_apart(float(value), same.sum(), others):
            return Nodata(float(value), everywhere=True)
        usual = values.dtype != np.uint8 or value in (0, 255)
        if usual and any(_reaches_inwards(sample, float(value)) for sample in samples):
            return Nodata(float(value), everywhere=False)
    return None


def _equal(values: np.ndarray, value: float) -> np.ndarray:
    """Return (h, w) uint8, 1 where all bands have a value."""
    whole = values.dtype.kind != 'f' and value.is_integer()
    return np.all(values == (int(value) if whole else value), axis=0).astype(np.uint8)


def _stands_apart(value: float, count: int, others: np.ndarray) -> bool:
    low, high = np.percentile(others, [2, 98])
    gap = low - value if value < low else value - high
    if gap <= 2 * (high - low) or count < _FEWEST_APART * (count + others.shape[1]):
        return False
    distance = np.abs(others - value)
    between = (distance > 0.25 * gap) & (distance < 0.75 * gap)
    return between.any(axis=0).sum() <= _LONGEST_GAP_SHARE * count


def _reaches_inwards(sample: Sample, value: float) -> bool:
    empty = _equal(sample.values, value) & sample.valid
    lines = {'top': empty[0], 'bottom': empty[-1], 'left': empty[:, 0], 'right': empty[:, -1]}
    for edge in sample.edges:
        line = lines[edge]
        if line.sum() < min(_SHORTEST_EDGE_PX, len(line)):
            continue
        on_edge = {'top': (0, slice(None)), 'bottom': (-1, slice(None)),
                   'left': (slice(None), 0), 'right': (slice(None), -1)}[edge]
        _, labels, sizes, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
        touching = np.unique(labels[on_edge][line > 0])
        if sizes[touching, cv2.CC_STAT_AREA].max() >= min(_SMALLEST_PX, empty.size // 4):
            return True
    return False


def _from_the_edge(empty: np.ndarray) -> np.ndarray:
    """Return what of a mask is large and touches its edge."""
    _, labels, sizes, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    kept = np.zeros(len(sizes), np.uint8)
    kept[np.unique(rim)] = 1
    kept[sizes[:, cv2.CC_STAT_AREA] < min(_SMALLEST_PX, empty.size // 4)] = 0
    kept[0] = 0  # what is not empty
    return kept[labels]
