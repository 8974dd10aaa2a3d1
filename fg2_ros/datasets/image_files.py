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

"""Image files of data sets."""

from __future__ import annotations

from pathlib import Path

import cv2
from fg2_ros.files import replacing
import numpy as np

JPEG_QUALITY = 95


def encoded(pixels: np.ndarray, suffix: str) -> np.ndarray:
    """
    Return the (N,) uint8 content of a file.

    :param pixels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8.
    :param suffix: '.jpg' or '.png'.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(
            pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == '.jpg' else []
    return cv2.imencode(suffix, pixels, options)[1].ravel()


def write_image(path: Path, pixels: np.ndarray) -> None:
    """
    Write an image file, which appears complete or not at all.

    :param path: its suffix says what it becomes; see `encoded`, also for the pixels.
    """
    with replacing(path) as partial:
        partial.write_bytes(encoded(pixels, path.suffix).tobytes())
