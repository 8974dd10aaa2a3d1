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
The network's view of an image, and the pixels that it came from.

A panorama is rolled until its centre column looks north by the prior heading; below it lies the
north-up aerial patch. A pinhole image stays as it is, and the patch is turned instead, so that up
is where the optical axis looks by the prior heading. Either way a camera whose heading is what the
view stands for is found with no rotation.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.panorama import north_aligned, pixel_from_direction
from fg2_ros.localizer.resize import resized, seen_resized
import numpy as np


@dataclass(frozen=True, eq=False)
class GivenImage:
    """
    An image as it was given.

    :param pixels: (H, W, 3) uint8 RGB.
    :param camera_k: (3, 3) intrinsics of a pinhole camera; None for a panorama.
    :param seen: (h, w) bool over a panorama, of any size, which parts are a picture; None: all.
    """

    pixels: np.ndarray
    camera_k: np.ndarray | None = None
    seen: np.ndarray | None = None


@dataclass(frozen=True)
class PanoramaView:
    """
    A panorama, resized and rolled.

    :param image: (h, w, 3) uint8 at the network's size; black where nothing was seen.
    :param heading_rad: map yaw of the given image's centre column that the roll stands for.
    :param given_hw: height and width of the given image.
    :param seen: (h, w) bool, which parts are a picture; None: all.
    """

    image: np.ndarray
    heading_rad: float
    given_hw: tuple[int, int]
    seen: np.ndarray | None = None
    camera_k = None

    @classmethod
    def of(cls, given: GivenImage, hw: tuple[int, int], how: str, yaw_rad: float
           ) -> PanoramaView:
        """
        Return the view of a panorama whose centre column looks to a map yaw.

        :param hw: of the network's images.
        :param how: see `resized`.
        """
        image, seen = resized(given.pixels, hw, how), None
        if given.seen is not None:
            seen = seen_resized(given.seen, hw)
            image = np.where(seen[..., None], image, np.uint8(0))
            seen, _ = north_aligned(seen, yaw_rad)
        rolled, heading_rad = north_aligned(image, yaw_rad)
        return cls(rolled, heading_rad, given.pixels.shape[:2], seen)

    def given_pixels(self, ground_m: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """
        Return the (M, 2) continuous (column, row) of points in the given image.

        :param ground_m: (M, 2) (row, column) in the ground grid of the network.
        :param height_m: (M,) above the camera.
        """
        height, width = self.given_hw
        direction = np.stack([-ground_m[:, 0], -ground_m[:, 1], height_m], axis=-1)
        column, row = pixel_from_direction(direction, width, height)
        rolled_px = (math.pi / 2 - self.heading_rad) / (2 * math.pi) * width
        return np.stack([(column - rolled_px) % width, row], axis=-1)


@dataclass(frozen=True)
class PinholeView:
    """
    A rectified pinhole image, resized.

    :param image: (h, w, 3) uint8 at the network's size.
    :param heading_rad: map yaw of the optical axis for which the aerial patch is turned.
    :param given_k: (3, 3) intrinsics of the given image, in its pixels.
    :param given_hw: height and width of the given image.
    """

    image: np.ndarray
    heading_rad: float
    given_k: np.ndarray
    given_hw: tuple[int, int]

    @classmethod
    def of(cls, given: GivenImage, hw: tuple[int, int], how: str, heading_rad: float
           ) -> PinholeView:
        """Return the view of an image with intrinsics; see `PanoramaView.of`."""
        assert given.camera_k is not None, 'a pinhole network needs the intrinsics of its image'
        return cls(resized(given.pixels, hw, how), heading_rad,
                   np.asarray(given.camera_k, float), given.pixels.shape[:2])

    @property
    def camera_k(self) -> np.ndarray:
        """Return the (3, 3) intrinsics in pixels of the network's image."""
        scale = np.divide(self.image.shape[:2], self.given_hw)
        return np.diag([scale[1], scale[0], 1.0]) @ self.given_k

    def given_pixels(self, ground_m: np.ndarray, height_m: np.ndarray) -> np.ndarray:
        """
        Return the (M, 2) continuous (column, row) of points in the given image.

        :param ground_m: (M, 2) (row, column) in the ground grid; the camera looks to -row.
        :param height_m: (M,) above the camera.
        """
        optical = np.stack([ground_m[:, 1], -height_m, -ground_m[:, 0]])
        image = self.given_k @ optical
        return (image[:2] / np.maximum(image[2], 1e-6)).T
