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

"""Detection of black bars around pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLACK = 20  # of 255: compression makes black bars a little lighter


class Bars(NamedTuple):
    """How many rows and columns of an image are no picture."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def without(self, image: np.ndarray) -> np.ndarray:
        """Return the picture, or a part of it in the memory of the image."""
        height, width = image.shape[:2]
        return image[self.top:height - self.bottom, self.left:width - self.right]


class BarFinder:
    """Finds the rows and columns at the edges that have been black in all images."""

    def __init__(self) -> None:
        """Start with no image."""
        self._shape: tuple[int, ...] = ()

    def find(self, image: np.ndarray) -> Bars:
        """
        Return the bars of a camera's images after one more of them.

        A night sky is taken for a bar until it shows a light; a black image has no bars.

        :param image: (H, W, 3) uint8, of a camera that is always the same.
        """
        height, width = image.shape[:2]
        if image.shape != self._shape:
            self._shape, self._bars = image.shape, Bars(height, height, width, width)
        top, bottom, left, right = self._bars  # no row or column beyond them is looked at again
        rows = _are_dark(image[:top], 1)
        if len(rows) == height and rows.all():
            return Bars()
        self._bars = Bars(
            _length(rows), _length(_are_dark(image[height - bottom:], 1)[::-1]),
            _length(_are_dark(image[:, :left], 0)),
            _length(_are_dark(image[:, width - right:], 0)[::-1]))
        return self._bars


def _are_dark(image: np.ndarray, axis: int) -> np.ndarray:
    """Return which rows (axis 1) or columns (0) of an image are dark from end to end."""
    rows, columns, colours = image.shape
    lines = image.reshape(rows, columns * colours) if axis else image.max(axis=0)
    return lines.max(axis=1) <= _BLACK


def _length(dark: np.ndarray) -> int:
    """Return how many are dark before the first that is not."""
    return len(dark) if dark.all() else int(np.argmin(dark))
