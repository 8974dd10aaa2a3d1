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

"""Black bars around pictures."""

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
        if image.shape != self._shape:
            self._shape = image.shape
            self._rows, self._columns = (np.ones(size, bool) for size in image.shape[:2])
        self._rows[self._rows] = image[self._rows].max(axis=(1, 2)) <= _BLACK
        self._columns[self._columns] = image[:, self._columns].max(axis=(0, 2)) <= _BLACK
        if self._rows.all():
            return Bars()
        return Bars(_length(self._rows), _length(self._rows[::-1]),
                    _length(self._columns), _length(self._columns[::-1]))


def _length(dark: np.ndarray) -> int:
    """Return how many are dark before the first that is not."""
    return int(np.argmin(dark))
