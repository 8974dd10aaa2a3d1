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

"""Cube maps: panoramas as six or four images in a folder."""

from __future__ import annotations

from pathlib import Path

from fg2_ros.cameras.lenses import optical_from_body, Pinhole
from fg2_ros.cameras.resampling import panorama_of, View
from fg2_ros.datasets.frames import read_image
from fg2_ros.drives.tables.columns import BadRow
from fg2_ros.geometry.panorama import rotation3
import numpy as np

_AROUND = {'front': 0.0, 'left': 90.0, 'back': 180.0, 'right': -90.0}  # yaw of the optical axis
_POLES = {'up': -90.0, 'down': 90.0}  # pitch (REP-103); up is above front
_SUFFIXES = ('.jpg', '.jpeg', '.png')


def is_cube(folder: Path) -> bool:
    """Return whether a folder holds the four faces around."""
    return all(_face(folder, name) for name in _AROUND)


def read_cube(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """
    Return the (2n, 4n, 3) uint8 RGB panorama of faces of n pixels, whose centre is front's.

    Beside it which of its pixels the faces show, (2n, 4n) bool; None if all.

    :raises BadRow: if a face cannot be read, or they differ in size.
    """
    files = {name: _face(folder, name) for name in (*_AROUND, *_POLES)}
    images = {name: np.asarray(read_image(file)) for name, file in files.items() if file}
    size = len(images['front'])
    if any(image.shape != (size, size, 3) for image in images.values()):
        raise BadRow('the faces of its cube are not squares of one size', folder.name)
    middle = size / 2 - 0.5  # the centres of pixels are whole numbers there
    lens = Pinhole(size, size, np.array([[size / 2, 0, middle], [0, size / 2, middle], [0, 0, 1]]))
    resampling = panorama_of(
        [View(lens, _turn(name), index) for index, name in enumerate(images)], 2 * size)
    seen = None if resampling.seen.all() else resampling.seen
    return resampling(list(images.values())), seen


def _turn(name: str) -> np.ndarray:
    """Return the (3, 3) rotation from a face's optical axes to the panorama's."""
    yaw_rad, pitch_rad = np.radians(_AROUND.get(name, 0.0)), np.radians(_POLES.get(name, 0.0))
    return rotation3(0, pitch_rad, yaw_rad) @ optical_from_body().T


def _face(folder: Path, name: str) -> Path | None:
    return next((file for suffix in _SUFFIXES
                 if (file := folder / f'{name}{suffix}').exists()), None)
