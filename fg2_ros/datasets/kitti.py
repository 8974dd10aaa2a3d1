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

"""KITTI with satellite images: a forward camera and a north-up patch around its GPS position."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Sequence

from fg2_ros.datasets.frames import (
    BrokenLabel, CrossViewFrame, finite_numbers, label_lines, posix_path, read_image, resized_rgb,
    rotation_of_yaw, UnreadableFrame)
from fg2_ros.network.config import FG2Config
import numpy as np
from PIL import Image

SHIFT_RANGE_M, ROTATION_RANGE_DEG = 20.0, 10.0  # of a noise of 1
CAMERA_FROM_GPS_M = (1.08, 0.26)  # to the right and back
CROP_PX = 504
ZOOM, SCALE, LATITUDE_DEG = 18, 2, 49.015  # of all satellite images
RESOLUTION_M = (
    156543.03392 * math.cos(math.radians(LATITUDE_DEG)) / 2 ** ZOOM / SCALE)
# A quirk of the published numbers: true offsets and the resolution are those of a patch of 512
# pixels that is shown at 504, although the patch is cropped.
QUIRK = CROP_PX / 512
CROP_RESOLUTION_M = RESOLUTION_M / QUIRK
LAYOUT = (
    'ROOT/raw_data/<day>/<drive>/{image_02,oxts}/data/, ROOT/raw_data/<day>/calib_cam_to_cam.txt, '
    'ROOT/satmap/<day>/<drive>/ and ROOT/splits/{train,test1,test2}_files.txt')


@dataclass(frozen=True)
class PoseNoise:
    """Error of the aerial patch's pose in shares of its range, as the test files have it."""

    right: float
    up: float
    turn: float


@dataclass(frozen=True)
class KittiLabel:
    """One camera frame; its noise is drawn anew each epoch where the label has none."""

    day: str
    drive: str
    frame: str
    noise: PoseNoise | None

    @property
    def name(self) -> str:
        """Return the frame's path as the split files have it."""
        return f'{self.day}/{self.drive}/{self.frame}'


class KittiDataset:
    """
    One split of KITTI; the aerial patch's up is the heading, up to the noise.

    :param root: folder of the data set.
    :param split: 'train', 'test1' (same area) or 'test2' (another area).
    :param config: image sizes and grid of the network.
    :param seed: of the noise of training frames.
    :raises ValueError: if there is no such split, or its file is missing.
    """

    def __init__(self, root: str | Path, split: str,
                 config: FG2Config = FG2Config.preset('kitti'), seed: int = 0):
        if split not in ('train', 'test1', 'test2'):
            raise ValueError(f'KITTI has no split {split!r}')
        self.root, self.config, self.seed, self.epoch = Path(root), config, seed, 0
        self.labels: list[KittiLabel] = []
        self.problems: list[str] = []
        file = self.root / 'splits' / f'{split}_files.txt'
        for number, line in label_lines(file, LAYOUT):
            try:
                self.labels.append(_parsed(line, with_noise=split != 'train'))
            except BrokenLabel as problem:
                self.problems.append(f'{file}, line {number}: {problem}')

    @property
    def names(self) -> list[str]:
        """Return the frames' paths as the split file has them."""
        return [label.name for label in self.labels]

    def __len__(self) -> int:
        """Return the number of usable labels."""
        return len(self.labels)

    def __getitem__(self, index: int) -> CrossViewFrame:
        """
        Return a frame.

        :raises UnreadableFrame: if one of its files cannot be read.
        """
        label, config = self.labels[index], self.config
        noise = label.noise or self._drawn_noise(index)
        drive = self.root / 'raw_data' / label.day / label.drive
        image = read_image(drive / 'image_02' / 'data' / label.frame)
        satellite = read_image(self.root / 'satmap' / label.name)
        yaw_deg = math.degrees(
            _heading_rad(drive / 'oxts' / 'data' / Path(label.frame).with_suffix('.txt')))
        patch = aligned_patch(satellite, yaw_deg, noise)
        shift_px = np.array([noise.up, -noise.right]) * SHIFT_RANGE_M / RESOLUTION_M * QUIRK
        return CrossViewFrame(
            name=label.name, group=label.drive,
            ground=resized_rgb(image, config.ground_image_hw),
            aerial=resized_rgb(patch, config.aerial_image_hw),
            rotation=rotation_of_yaw(noise.turn * ROTATION_RANGE_DEG),
            translation=(shift_px * config.grid_extent_m / CROP_PX).astype(np.float32),
            metres_per_grid_metre=CROP_RESOLUTION_M * CROP_PX / config.grid_extent_m,
            camera_k=_intrinsics(drive.parent / 'calib_cam_to_cam.txt', image.size, config))

    def set_epoch(self, epoch: int) -> None:
        """Have the noise of training frames drawn for an epoch; the same one gives the same."""
        self.epoch = epoch

    def subset(self, indices: Sequence[int]) -> KittiDataset:
        """Return the data set of some of its frames, in the order given."""
        part = copy(self)
        part.labels = [self.labels[index] for index in indices]
        return part

    def _drawn_noise(self, index: int) -> PoseNoise:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return PoseNoise(*map(float, rng.uniform(-1, 1, 3)))


def aligned_patch(satellite: Image.Image, yaw_deg: float, noise: PoseNoise) -> Image.Image:
    """
    Return the 504 x 504 patch around the camera, heading up, displaced and turned by the noise.

    :param satellite: north-up, centred on the GPS position.
    :param yaw_deg: map yaw of the vehicle (0 east, counter-clockwise).
    """
    nearest, bilinear = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
    heading_up = satellite.rotate(90 - yaw_deg, resample=nearest)
    at_camera = _shifted(heading_up, *CAMERA_FROM_GPS_M, bilinear)
    displaced = _shifted(
        at_camera, -noise.right * SHIFT_RANGE_M, noise.up * SHIFT_RANGE_M, bilinear)
    turned = displaced.rotate(noise.turn * ROTATION_RANGE_DEG, resample=nearest)
    left, top = ((side - CROP_PX) // 2 for side in turned.size)
    return turned.crop((left, top, left + CROP_PX, top + CROP_PX))


def _shifted(
        image: Image.Image, right_m: float, down_m: float,
        resample: Image.Resampling) -> Image.Image:
    """Return an image whose centre is what was so many metres off its centre."""
    return image.transform(
        image.size, Image.Transform.AFFINE,
        (1, 0, right_m / RESOLUTION_M, 0, 1, down_m / RESOLUTION_M), resample=resample)


def _parsed(line: str, with_noise: bool) -> KittiLabel:
    path, *fields = line.split()
    path = posix_path(path)
    if path.count('/') != 2:
        raise BrokenLabel(f'{path!r} is not <day>/<drive>/<frame>.png')
    day, drive, frame = path.split('/')
    if len(fields) != (3 if with_noise else 0):
        wanted = 'shift x, shift y and theta' if with_noise else 'nothing'
        raise BrokenLabel(f'{wanted} must follow the frame, not {len(fields)} fields')
    values = finite_numbers(fields)
    if any(abs(value) > 1 for value in values):
        raise BrokenLabel('shift x, shift y and theta must lie in [-1, 1]')
    return KittiLabel(day, drive, frame, PoseNoise(*values) if with_noise else None)


def _heading_rad(path: Path) -> float:
    """Return the map yaw that an OXTS file holds."""
    try:
        heading = float(path.read_text().split()[5])
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise UnreadableFrame(f'{path} holds no heading: {error}') from error
    if not math.isfinite(heading):
        raise UnreadableFrame(f'{path} holds no finite heading')
    return heading


def _intrinsics(path: Path, size: tuple[int, int], config: FG2Config) -> np.ndarray:
    """Return the (3, 3) float32 intrinsics in pixels of the network's ground image."""
    try:
        lines = dict(line.split(':', 1) for line in path.read_text().splitlines() if ':' in line)
        projection = np.array(lines['P_rect_02'].split(), float).reshape(3, 4)
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise UnreadableFrame(f'{path} holds no P_rect_02: {error}') from error
    height, width = config.ground_image_hw
    scale = np.array([width / size[0], height / size[1], 1.0])
    return (projection[:, :3] * scale[:, None]).astype(np.float32)
