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

"""The files of a drive's panoramas."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
from fg2_ros.datasets.drives import IMAGES, MASKS
from fg2_ros.datasets.image_files import write_image
import numpy as np


def file_name_of(stamp_ns: int) -> str:
    """Return the name of the file of an image."""
    return f'{stamp_ns}.jpg'


def write_panorama(folder: Path, name: str, pixels: np.ndarray, seen: np.ndarray | None,
                   rows: int) -> None:
    """
    Write a level panorama, and which parts of it are a picture.

    :param folder: of the drive.
    :param name: of the file in ``images/``.
    :param pixels: (H, 2 H, 3) uint8 RGB.
    :param seen: (h, w) bool of any size; None for all.
    :param rows: higher images are made smaller.
    """
    if len(pixels) > rows:
        pixels = cv2.resize(pixels, (2 * rows, rows), interpolation=cv2.INTER_AREA)
    if seen is not None:
        _write((folder / MASKS / name).with_suffix('.png'),
               np.where(seen, 255, 0).astype(np.uint8))
    _write(folder / IMAGES / name, pixels)


def turned(pixels: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Return a panorama, or a mask, whose centre column looked too far to the left."""
    turn = math.remainder(yaw_rad, 2 * math.pi) / (2 * math.pi)
    return np.roll(pixels, -round(turn * pixels.shape[1]), axis=1)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, pixels)
