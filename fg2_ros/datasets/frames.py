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
Frames of cross-view data sets: a ground image, its aerial patch and the true pose.

A data set indexes its label files when it is made and reads images when it is asked for a frame.
Label lines that are broken are left out and listed in ``problems``; a frame whose files cannot be
read raises `UnreadableFrame`. Nothing is ever replaced by something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from pathlib import Path
from typing import Iterator, Protocol, Sequence

from fg2_ros.geometry.se2 import rotation2
import numpy as np
from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True)
class CrossViewFrame:
    """
    One ground image with its aerial patch and the true pose, ``Y = R X + t``.

    :param name: unique in the data set.
    :param group: city or drive.
    :param ground: (h, w, 3) uint8 RGB at the network's size.
    :param aerial: (n, n, 3) uint8 RGB at the network's size.
    :param rotation: (2, 2) float32 R, aerial to ground.
    :param translation: (2,) float32 t, (row, column) in metres of the network's ground grid.
    :param metres_per_grid_metre: real metres of one metre of the network's grid.
    :param camera_k: (3, 3) float32 intrinsics in pixels of ``ground``; None for a panorama.
    """

    name: str
    group: str
    ground: np.ndarray
    aerial: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    metres_per_grid_metre: float
    camera_k: np.ndarray | None = None

    @property
    def yaw_deg(self) -> float:
        """Return by how many degrees the ground image was rolled to the right, wrapped."""
        return yaw_deg_of(self.rotation)

    @property
    def camera_m(self) -> np.ndarray:
        """Return (row, column) of the camera from the aerial patch's centre, grid metres."""
        return -self.rotation.T @ self.translation


class CrossViewDataset(Protocol):
    """What is evaluated; readable from several processes."""

    @property
    def labels(self) -> Sequence[object]:
        """Return what the label files say, for each frame."""

    @property
    def names(self) -> Sequence[str]:
        """Return the frames' names."""

    @property
    def problems(self) -> Sequence[str]:
        """Return a sentence for each label that cannot be used."""

    def __len__(self) -> int:
        """Return the number of usable labels."""

    def __getitem__(self, index: int) -> CrossViewFrame:
        """Return a frame; raises `UnreadableFrame` if its files cannot be read."""


class TrainingDataset(CrossViewDataset, Protocol):
    """What is trained on."""

    def set_epoch(self, epoch: int) -> None:
        """Have what is random about the frames drawn for an epoch."""

    def subset(self, indices: Sequence[int]) -> TrainingDataset:
        """Return the data set of some of its frames, in the order given."""


class UnreadableFrame(ValueError):
    """A frame cannot be read; the sentence names the file."""


class BrokenLabel(ValueError):
    """A line of a label file cannot be used; the sentence says why."""


def yaw_deg_of(rotation: np.ndarray) -> float:
    """Return the roll to the right, in degrees, of the ground image that has a (2, 2) R."""
    return -math.degrees(math.atan2(rotation[1, 0], rotation[0, 0]))


def rotation_of_yaw(yaw_deg: float) -> np.ndarray:
    """Return the (2, 2) float32 R of a north-up ground image that was rolled to the right."""
    return rotation2(math.radians(-yaw_deg)).astype(np.float32)


def rolled(frame: CrossViewFrame, yaw_deg: float) -> CrossViewFrame:
    """
    Return a panorama's frame with an (additionally) unknown orientation.

    :param yaw_deg: the panorama's content moves to the right by this angle, rounded to whole
        columns; the true pose turns by exactly this angle, as published.
    :raises ValueError: if the frame is not of a panorama.
    """
    if frame.camera_k is not None:
        raise ValueError('only a panorama can be rolled')
    columns = round(yaw_deg / 360 * frame.ground.shape[1])
    turn = rotation_of_yaw(yaw_deg)
    return replace(
        frame, ground=np.roll(frame.ground, columns, axis=1), rotation=turn @ frame.rotation,
        translation=turn @ frame.translation)


def intrinsics_of(camera_ks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """
    Return the (B, 3, 3) intrinsics of frames, None of panoramas.

    :param camera_ks: of each frame, as in `CrossViewFrame`.
    :raises ValueError: if there are panoramas and other images among them.
    """
    known = [camera_k for camera_k in camera_ks if camera_k is not None]
    if known and len(known) < len(camera_ks):
        raise ValueError('panoramas and images of pinhole cameras cannot be in one batch')
    return np.stack(known) if known else None


def read_image(path: Path) -> Image.Image:
    """
    Return an RGB image.

    :raises UnreadableFrame: if the file is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            return image.convert('RGB')
    except FileNotFoundError as error:
        raise UnreadableFrame(f'there is no image {path}') from error
    except UnidentifiedImageError as error:
        raise UnreadableFrame(f'{path} is not an image') from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableFrame(f'the image {path} is damaged: {error}') from error


def resized_rgb(image: Image.Image, hw: tuple[int, int]) -> np.ndarray:
    """Return a (h, w, 3) uint8 array, antialiased bilinear, as published networks expect it."""
    return np.asarray(image.resize((hw[1], hw[0]), Image.Resampling.BILINEAR))


def label_lines(path: Path, layout: str) -> Iterator[tuple[int, str]]:
    """
    Yield (line number, line) of a label file, without empty lines.

    :param layout: of the data set, for the error's sentence.
    :raises ValueError: if the file cannot be read.
    """
    try:
        text = path.read_text('utf-8-sig', errors='replace')
    except OSError as error:
        raise ValueError(f'cannot read {path} ({error.strerror}); expected is {layout}') from error
    for number, line in enumerate(text.split('\n'), 1):
        if line.strip():
            yield number, line.strip()


def posix_path(name: str) -> str:
    """Return a relative path of a list as it is written here: no backslash, no ``./``."""
    parts = name.replace('\\', '/').split('/')
    return '/'.join(part for part in parts if part not in ('', '.'))


def file_name(name: str) -> str:
    """Return the last part of a path of a list."""
    return posix_path(name).rpartition('/')[2]


def finite_numbers(fields: list[str]) -> list[float]:
    """
    Return fields as numbers.

    :raises BrokenLabel: if one is not a finite number.
    """
    values = []
    for field in fields:
        try:
            values.append(float(field))
        except ValueError as error:
            raise BrokenLabel(f'{field!r} is not a number') from error
        if not math.isfinite(values[-1]):
            raise BrokenLabel(f'{field!r} is not finite')
    return values
