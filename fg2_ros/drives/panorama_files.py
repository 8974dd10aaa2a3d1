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

"""Panoramas as files of a drive."""

from __future__ import annotations

from pathlib import Path

import cv2
from fg2_ros.datasets.drives import IMAGES, MASKS
from fg2_ros.files import replacing
import numpy as np

JPEG_QUALITY = 95


def write_panorama(folder: Path, name: str, pixels: np.ndarray, seen: np.ndarray | None,
                   rows: int) -> None:
    """
    Write a level panorama of a drive, and its mask; the panorama comes last.

    :param folder: of the drive.
    :param name: of the file, which ends in ``.jpg``.
    :param pixels: (H, 2 H, 3) uint8 RGB.
    :param seen: (h, 2 h) bool of any size, which parts are a picture; None: all.
    :param rows: larger ones are made as small.
    """
    if len(pixels) > rows:
        pixels = cv2.resize(pixels, (2 * rows, rows), interpolation=cv2.INTER_AREA)
    if seen is not None:
        _encode((folder / MASKS / name).with_suffix('.png'),
                np.where(seen, 255, 0).astype(np.uint8), [])
    _encode(folder / IMAGES / name, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encode(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(cv2.imencode(path.suffix, pixels, options)[1].tobytes())
