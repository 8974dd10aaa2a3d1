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

"""Resizing images to the network's size as in training, and turning them."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

RESIZES = ('bilinear', 'area')
WHOLE = 0.99  # share of a network's pixel that must have been seen


def resized(image: np.ndarray, hw: tuple[int, int], how: str) -> np.ndarray:
    """
    Return an image at another size, antialiased where it shrinks.

    :param image: (H, W, 3) uint8.
    :param hw: height and width wanted.
    :param how: 'bilinear', a triangle filter as wide as a new pixel (Pillow's, with which the
        published networks were trained), or 'area', the mean of what a new pixel covers.
    :raises ValueError: if ``how`` is neither.
    """
    if how not in RESIZES:
        raise ValueError(f'an image is resized {" or ".join(RESIZES)}, not {how!r}')
    if image.shape[:2] == tuple(hw):
        return image
    if how == 'bilinear':
        return np.array(Image.fromarray(image).resize(hw[::-1], Image.Resampling.BILINEAR))
    shrinks = image.shape[0] >= hw[0]
    return cv2.resize(
        image, hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def seen_resized(seen: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Return which pixels of an image of another size show a picture, (H, W) bool of (h, w)."""
    return cv2.resize(
        seen.astype(np.float32), hw[::-1], interpolation=cv2.INTER_AREA) > WHOLE


def turned(image: np.ndarray, up_yaw_rad: float, size_px: int) -> np.ndarray:
    """
    Return the middle of a north-up image, turned so that up is another direction.

    :param image: (H, H, 3) uint8 or (H, H) float32, at least sqrt(2) times as large as what is
        cut.
    :param up_yaw_rad: map yaw (0 east, counter-clockwise) to which up looks in the result.
    :return: (size_px, size_px) or (size_px, size_px, 3), with the same pixel size and centre;
        black beyond the image.
    """
    cosine, sine = np.cos(up_yaw_rad), np.sin(up_yaw_rad)
    linear = np.array([[sine, -cosine], [cosine, sine]])
    source_centre, centre = (image.shape[0] - 1) / 2, (size_px - 1) / 2
    shift = source_centre - linear @ (centre, centre)
    return cv2.warpAffine(
        image, np.column_stack([linear, shift]), (size_px, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
