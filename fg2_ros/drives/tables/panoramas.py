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

"""Level panoramas from images with poses: whole, cropped, tilted, or cube maps."""

from __future__ import annotations

from dataclasses import replace
import math

from fg2_ros.cameras.cameras import EquirectangularCamera
from fg2_ros.cameras.lenses import Equirectangular
from fg2_ros.cameras.levelling import LevelImage, Leveller
from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.datasets.frames import read_image, UnreadableFrame
from fg2_ros.drives.tables.columns import BadRow
from fg2_ros.drives.tables.cubes import read_cube
from fg2_ros.drives.tables.photos import PosedPhoto
from fg2_ros.geometry.panorama import rotation3
import numpy as np

LONGEST_PX = 32766  # of a side: OpenCV's maps have 16 bits


def level_panorama(photo: PosedPhoto, camera: CameraSettings, rows: int) -> LevelImage:
    """
    Return the level panorama of an image, whose centre column looks where the image's does.

    Each image is judged by itself, so that the result does not depend on those before.

    :param camera: what is stated of all images; of a panorama that says itself how it was
        cropped, its own word counts where nothing is.
    :param rows: of what cannot stay as it is.
    :raises BadRow: if it cannot be read, or is no panorama.
    """
    level_from_panorama = rotation3(
        math.radians(photo.roll_deg), -math.radians(photo.pitch_deg), 0.0)
    try:
        if photo.path.is_dir():
            return _level_cube(photo, camera, level_from_panorama, rows)
        pixels = np.asarray(read_image(photo.path))
        if max(pixels.shape) > LONGEST_PX:
            raise BadRow('it is too large', f'{pixels.shape[1]}x{pixels.shape[0]} pixels')
        if photo.elevations_deg is not None and not camera.vertical_fov_deg:
            camera = replace(camera, vertical_fov_deg=photo.elevations_deg)
        height = min(rows, pixels.shape[1] // 2)
        return EquirectangularCamera(camera, height).level(pixels, level_from_panorama)
    except UnreadableFrame as error:
        raise BadRow('the image cannot be read', str(error)) from None
    except BadRow:
        raise
    except ValueError as error:
        raise BadRow('it is no panorama', str(error)) from None


def _level_cube(photo: PosedPhoto, camera: CameraSettings, level_from_panorama: np.ndarray,
                rows: int) -> LevelImage:
    pixels, seen = read_cube(photo.path)
    height, width = pixels.shape[:2]
    leveller = Leveller(min(rows, height), math.radians(camera.level_from_deg))
    return leveller.level(pixels, Equirectangular(width, height), level_from_panorama, seen)
