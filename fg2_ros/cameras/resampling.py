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

"""Remapping of images by maps that are computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math
from typing import Sequence

import cv2
from fg2_ros.cameras.lenses import Equirectangular, Lens
from fg2_ros.geometry.panorama import pixel_directions
import numpy as np


@dataclass(frozen=True, eq=False)
class View:
    """
    A camera beside others.

    :param target_from_camera: (3, 3) rotation of the camera's axes, see `fg2_ros.cameras.lenses`.
    :param image: which of the images it has taken.
    :param mask: (h, w) bool of any size, where its image shows what it should; None: everywhere.
    """

    lens: Lens
    target_from_camera: np.ndarray
    image: int = 0
    mask: np.ndarray | None = None


class Resampling:
    """
    One image, of given directions, out of those of several cameras.

    Each direction is taken from the camera in whose image it is nearest to the middle. Images
    that are finer than what is made of them are halved before, so that nothing flickers.

    :param views: the cameras; the others' images may have other sizes.
    :param directions: (H, W, 3) of the pixels to make, in the target's axes.
    :param pixels_per_rad: how fine they are.
    """

    def __init__(self, views: Sequence[View], directions: np.ndarray, pixels_per_rad: float):
        """Compute the maps."""
        shape = directions.shape[:2]
        best = np.full(shape, -np.inf, np.float32)
        owner = np.full(shape, -1, np.int16)
        projected = []
        for index, view in enumerate(views):
            found = view.lens.project(directions @ view.target_from_camera.astype(np.float32))
            seen = found.seen if view.mask is None else found.seen & _shown(view, *found[:2])
            better = seen & (found.merit > best)
            best[better], owner[better] = found.merit[better], index
            projected.append(found)
        self.shape = shape
        self.seen = owner >= 0
        self._parts = [
            _Part(view, owner == index, found.column, found.row, pixels_per_rad)
            for index, (view, found) in enumerate(zip(views, projected))
            if (owner == index).any()]

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """
        Return the (H, W, 3) uint8 image; black where none of the cameras sees.

        :param images: (h, w, 3) uint8, of the sizes of the lenses.
        """
        halved: dict[tuple[int, int], np.ndarray] = {}
        result = np.zeros((*self.shape, 3), np.uint8)
        for part in self._parts:
            key = part.image, part.halvings
            if key not in halved:
                halved[key] = _halved(images[part.image], part.halvings)
            part.draw(halved[key], result)
        return result


class _Part:
    """What one camera gives to an image."""

    def __init__(self, view: View, owned: np.ndarray, column: np.ndarray, row: np.ndarray,
                 pixels_per_rad: float):
        self.image = view.image
        ratio = max(view.lens.pixels_per_rad / pixels_per_rad, 1.0)
        self.halvings = int(math.log2(ratio) + 1e-6)
        rows, columns = np.flatnonzero(owned.any(1)), np.flatnonzero(owned.any(0))
        self._window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        scale = 0.5 ** self.halvings
        self._wraps = isinstance(view.lens, Equirectangular)
        last = max(view.lens.height >> self.halvings, 1) - 1
        x = column[self._window] * scale - 0.5
        y = np.clip(row[self._window] * scale - 0.5, 0, last) if self._wraps \
            else row[self._window] * scale - 0.5
        self._maps = cv2.convertMaps(
            x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)
        own = owned[self._window]
        self._own = None if own.all() else own.astype(np.uint8)

    def draw(self, image: np.ndarray, result: np.ndarray) -> None:
        drawn = cv2.remap(
            image, *self._maps, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP if self._wraps else cv2.BORDER_REPLICATE)
        window = result[self._window]
        if self._own is None:
            window[:] = drawn
        else:
            np.copyto(window, drawn, where=self._own[..., None].astype(bool))


def panorama_directions(height: int) -> np.ndarray:
    """Return the (height, 2 height, 3) float32 directions of a panorama's pixels; not to write."""
    return _panorama_directions(height)


@lru_cache(maxsize=4)
def _panorama_directions(height: int) -> np.ndarray:
    directions = pixel_directions(2 * height, height).astype(np.float32)
    directions.setflags(write=False)
    return directions


def panorama_of(views: Sequence[View], height: int) -> Resampling:
    """Return what makes a whole panorama, twice as wide as high, in the target's axes."""
    return Resampling(
        views, panorama_directions(height), Equirectangular(2 * height, height).pixels_per_rad)


def _halved(image: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(image[:2 * height, :2 * width], (width, height),
                           interpolation=cv2.INTER_AREA)
    return image


def _shown(view: View, column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return whether a view's mask shows pixels; those beyond its image do not matter."""
    assert view.mask is not None
    height, width = view.mask.shape
    x = np.clip(column * (width / view.lens.width), 0, width - 1).astype(np.intp)
    y = np.clip(row * (height / view.lens.height), 0, height - 1).astype(np.intp)
    return view.mask[y, x]
