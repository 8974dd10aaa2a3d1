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

"""The supported cameras; each turns its images into what the localizer takes."""

from __future__ import annotations

import math
from typing import Sequence

import cv2
from fg2_ros.cameras.bars import BarFinder, Bars
from fg2_ros.cameras.calibration import Calibration, read_fisheyes
from fg2_ros.cameras.lenses import Equirectangular
from fg2_ros.cameras.levelling import angle_of, heading_of, LevelImage, Leveller, tilt_of
from fg2_ros.cameras.resampling import panorama_of, Resampling, View
from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.geometry.panorama import rotation3
import numpy as np

TOLERANCE = 0.02  # of the sides of a picture


class EquirectangularCamera:
    """
    A camera whose images are panoramas: whole, cropped in height or with black bars.

    :param height: rows of the panoramas that are made where images cannot stay as they are.
    :raises ValueError: if a setting makes no sense, or a file cannot be read.
    """

    def __init__(self, settings: CameraSettings, height: int):
        """Read the mask."""
        self._elevations = elevations_of(settings.vertical_fov_deg)
        self._stated = bars_of(settings.bars_px)
        self._user_mask = read_mask(settings.masks[0]) if settings.masks else None
        self._finder = BarFinder()
        self._leveller = Leveller(height, math.radians(settings.level_from_deg))
        self._mask_shape = height, 2 * height
        self._mask_key: tuple = ()
        self._mask: np.ndarray | None = None

    def level(self, image: np.ndarray, level_from_camera: np.ndarray) -> LevelImage:
        """
        Return the level panorama of an image.

        :param image: (H, W, 3) uint8 RGB.
        :param level_from_camera: see `Leveller.level`.
        :raises ValueError: with what to set, if the image cannot be a panorama.
        """
        bars, dark = self._bars(image)
        picture = bars.without(image)
        lens = self._lens(picture, image)
        return self._leveller.level(
            picture, lens, level_from_camera, self._mask_of(image.shape, bars, dark))

    def _bars(self, image: np.ndarray) -> tuple[Bars, Bars]:
        """Return what is cut off, and what is masked."""
        if self._stated is not None:
            return self._stated, Bars()
        found = self._finder.find(image)
        if self._fits(image):
            return Bars(), found._replace(left=0, right=0)
        return (found, Bars()) if self._fits(found.without(image)) else (Bars(), Bars())

    def _fits(self, picture: np.ndarray) -> bool:
        """Return whether pixels are squares by what is known."""
        low_rad, high_rad = self._elevations or (-math.pi / 2, math.pi / 2)
        wanted = picture.shape[1] * (high_rad - low_rad) / (2 * math.pi)
        return abs(picture.shape[0] - wanted) <= TOLERANCE * wanted

    def _lens(self, picture: np.ndarray, image: np.ndarray) -> Equirectangular:
        height, width = picture.shape[:2]
        if self._elevations is not None:
            return Equirectangular(width, height, *self._elevations)
        if not self._fits(picture):
            raise ValueError(
                f'the panorama must be twice as wide as high, not {image.shape[1]}x'
                f'{image.shape[0]}{_after(self._stated)}: if it is cropped or squeezed in height, '
                'say its angles in camera.vertical_fov_deg; if it has black bars, their rows and '
                'columns in camera.bars_px')
        return Equirectangular(width, height)

    def _mask_of(self, shape: tuple[int, ...], bars: Bars, dark: Bars) -> np.ndarray | None:
        """Return the mask over the picture, of a size that does not depend on it."""
        if self._user_mask is None and dark == Bars():
            return None
        if (shape, bars, dark) != self._mask_key:
            self._mask_key = shape, bars, dark
            mask: np.ndarray = np.ones(shape[:2], np.uint8)
            if self._user_mask is not None:
                mask = cv2.resize(
                    self._user_mask.astype(np.uint8), shape[1::-1],
                    interpolation=cv2.INTER_NEAREST)
            mask[:dark.top] = mask[shape[0] - dark.bottom:] = 0
            self._mask = cv2.resize(
                bars.without(mask), self._mask_shape[::-1],
                interpolation=cv2.INTER_NEAREST).astype(bool)
        return self._mask


class FisheyeCamera:
    """
    A camera whose images hold the circles of fisheye lenses.

    :param height: rows of the panoramas.
    :raises ValueError: if the calibration or a mask cannot be used.
    """

    def __init__(self, settings: CameraSettings, height: int):
        """Read the calibration and the mask."""
        mask = read_mask(settings.masks[0]) if settings.masks else None
        lenses = read_fisheyes(settings.calibration)
        self._size = lenses[0][0].width, lenses[0][0].height
        self._map = panorama_of(
            [View(lens, rotation, mask=mask) for lens, rotation in lenses], height)
        self._lens = Equirectangular(2 * height, height)
        self._leveller = Leveller(height, math.radians(settings.level_from_deg))

    def level(self, image: np.ndarray, level_from_camera: np.ndarray) -> LevelImage:
        """
        Return the level panorama of an image.

        :param image: (H, W, 3) uint8 RGB, of the size that the calibration names.
        :param level_from_camera: (3, 3) rotation of the camera's axes, x forward, y left, z up.
        :raises ValueError: if it has another size.
        """
        if image.shape[1::-1] != self._size:
            raise ValueError(
                f'the image has {image.shape[1]}x{image.shape[0]} pixels, but its calibration '
                f'(camera.calibration) is for {self._size[0]}x{self._size[1]}')
        return self._leveller.level(
            self._map([image]), self._lens, level_from_camera, _unless_all(self._map.seen))


class Ring:
    """
    Several pinhole or fisheye cameras that look around, such as the six faces of a cube.

    :param height: rows of the panoramas.
    :raises ValueError: if the masks cannot be used.
    """

    def __init__(self, settings: CameraSettings, height: int):
        """Read the masks."""
        count = len(settings.topics)
        if settings.masks and len(settings.masks) != count:
            raise ValueError(f'camera.masks has {len(settings.masks)} files for {count} cameras')
        self._masks = [read_mask(path) if path else None
                       for path in settings.masks or ('',) * count]
        self._height = height
        self._lens = Equirectangular(2 * height, height)
        self._leveller = Leveller(height, math.radians(settings.level_from_deg))
        self._maps: dict[tuple[int, ...], Resampling] = {}
        self._calibrations: list[Calibration | None] = [None] * count
        self._turns = np.full((count, 3, 3), np.nan)

    def level(self, images: Sequence[np.ndarray | None],
              calibrations: Sequence[Calibration | None], base_from_cameras: np.ndarray,
              level_from_base: np.ndarray) -> LevelImage:
        """
        Return the level panorama, which looks ahead, of the images of all cameras.

        :param images: (H, W, 3) uint8 RGB; None where a camera has sent none.
        :param calibrations: None where an image is None.
        :param base_from_cameras: (N, 3, 3) rotations of the cameras' optical axes.
        :param level_from_base: (3, 3) rotation of the vehicle, without its yaw.
        """
        self._forget_if_changed(calibrations, base_from_cameras)
        there = tuple(index for index, image in enumerate(images) if image is not None)
        if there not in self._maps:
            self._maps[there] = panorama_of(
                [self._view(index) for index in there], self._height)
        resampling = self._maps[there]
        panorama = resampling([
            np.zeros((1, 1, 3), np.uint8) if image is None else image for image in images])
        return self._leveller.level(
            panorama, self._lens, level_from_base, _unless_all(resampling.seen))

    def _forget_if_changed(self, calibrations: Sequence[Calibration | None],
                           turns: np.ndarray) -> None:
        for index, calibration in enumerate(calibrations):
            if calibration is None:
                continue
            if calibration != self._calibrations[index] \
                    or not np.allclose(turns[index], self._turns[index], atol=1e-4):
                self._maps.clear()
                self._calibrations[index], self._turns[index] = calibration, turns[index]

    def _view(self, index: int) -> View:
        calibration = self._calibrations[index]
        assert calibration is not None, 'an image is never without its calibration'
        return View(calibration.lens, self._turns[index], index, self._masks[index])


class PinholeCamera:
    """
    A camera for weights of pinhole cameras: rectified, and turned upright.

    :param settings: from which tilt on it is turned.
    """

    def __init__(self, settings: CameraSettings):
        """Start with no map."""
        self._from_rad = math.radians(settings.level_from_deg)
        self._calibration: Calibration | None = None
        self._turn = np.full((3, 3), np.nan)
        self._map: Resampling | None = None

    def level(self, image: np.ndarray, calibration: Calibration,
              base_from_camera: np.ndarray) -> LevelImage:
        """
        Return the rectified image of a camera that is upright.

        :param image: (H, W, 3) uint8 RGB.
        :param calibration: for images of its size.
        :param base_from_camera: (3, 3) rotation of the axes x through the image's middle, y left,
            z up.
        """
        yaw_rad = heading_of(base_from_camera)
        turn = np.eye(3)
        if tilt_of(base_from_camera) > self._from_rad:
            turn = rotation3(0, 0, -yaw_rad) @ base_from_camera
        if not calibration.is_raw and np.array_equal(turn, np.eye(3)):
            return LevelImage(image, yaw_rad, camera_k=calibration.matrix)
        resampling = self._map_of(calibration, turn)
        return LevelImage(resampling([image]), yaw_rad, camera_k=calibration.matrix)

    def _map_of(self, calibration: Calibration, turn: np.ndarray) -> Resampling:
        if self._map is None or calibration != self._calibration \
                or not angle_of(turn @ self._turn.T) <= 1e-3:
            self._calibration, self._turn = calibration, turn
            self._map = calibration.rectification(turn)
        return self._map


def elevations_of(vertical_fov_deg: tuple[float, ...]) -> tuple[float, float] | None:
    """
    Return the lowest and highest elevation in radians; None if nothing is stated.

    :raises ValueError: if these are none.
    """
    if not vertical_fov_deg:
        return None
    low, high = vertical_fov_deg if len(vertical_fov_deg) == 2 else (
        -vertical_fov_deg[0] / 2, vertical_fov_deg[0] / 2)
    if len(vertical_fov_deg) > 2 or not -90 <= low < high <= 90:
        raise ValueError(
            f'camera.vertical_fov_deg = {list(vertical_fov_deg)} is neither an angle up to 180 '
            'nor two elevations between -90 and 90, the lower one first')
    return math.radians(low), math.radians(high)


def bars_of(bars_px: tuple[int, ...]) -> Bars | None:
    """
    Return the bars that are stated; None if nothing is.

    :raises ValueError: if these are none.
    """
    if bars_px and (len(bars_px) != 4 or min(bars_px) < 0):
        raise ValueError(f'camera.bars_px = {list(bars_px)} is not [top, bottom, left, right]')
    return Bars(*bars_px) if bars_px else None


def read_mask(path: str) -> np.ndarray:
    """
    Return the (h, w) bool array of an image file, True where it is not black.

    :raises ValueError: if it cannot be read.
    """
    image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f'the mask {path!r} (camera.masks) is not a readable image')
    return image > 127


def _unless_all(seen: np.ndarray) -> np.ndarray | None:
    return None if seen.all() else seen


def _after(stated: Bars | None) -> str:
    return '' if stated is None else ' without its bars (camera.bars_px)'
