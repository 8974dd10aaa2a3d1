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

"""Calibrations of pinhole and fisheye cameras, from camera_info and YAML files."""

from __future__ import annotations

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, Sequence

from fg2_ros.cameras.lenses import Fisheye, Lens, optical_from_body, Pinhole
from fg2_ros.cameras.resampling import Resampling, View
from fg2_ros.geometry.panorama import rotation3
from fg2_ros.settings import read_yaml
import numpy as np

PINHOLE_MODELS = ('', 'plumb_bob', 'rational_polynomial', 'thin_prism_fisheye', 'thin_prism')
FISHEYE_MODELS = ('equidistant', 'fisheye', 'kannala_brandt')
_COUNTS = (0, 4, 5, 8, 12)  # of coefficients
_LENS_KEYS = {'centre_px', 'radius_px', 'fov_deg', 'focal_px', 'distortion', 'rotation_deg'}


@dataclass(frozen=True, eq=False)
class Calibration:
    """
    The calibration of a camera, for images of one size.

    :param matrix: (3, 3) intrinsics of the rectified image.
    :param lens: what the images show, rectified or not.
    :param is_raw: whether they are not rectified.
    :param rectified_from_raw: (3, 3) rotation of the optical axes.
    """

    width: int
    height: int
    matrix: np.ndarray
    lens: Lens
    is_raw: bool = False
    rectified_from_raw: np.ndarray | None = None

    def rectification(self, level_from_camera: np.ndarray) -> Resampling:
        """
        Return what makes rectified images, of ``matrix`` and the same size.

        :param level_from_camera: (3, 3) by which the camera's body axes are turned besides.
        """
        column, row = np.meshgrid(
            np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32))
        rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(
            self.matrix).T.astype(np.float32)
        axes = optical_from_body()
        turn = axes @ level_from_camera @ axes.T
        if self.rectified_from_raw is not None:
            turn = turn @ self.rectified_from_raw
        return Resampling([View(self.lens, turn)], rays, float(self.matrix[0, 0]))


def lens_of(model: str, distortion: Sequence[float], matrix: np.ndarray, width: int,
            height: int) -> Lens:
    """
    Return a lens by its name in ROS.

    :param model: `distortion_model` of a camera_info.
    :param matrix: (3, 3) intrinsics of the raw image.
    :raises ValueError: if the model is not known, or has other coefficients.
    """
    if model in FISHEYE_MODELS:
        if len(distortion) not in (0, 4):
            raise ValueError(f'a camera_info of the model {model} has {len(distortion)} '
                             'coefficients (d) instead of 4')
        return Fisheye(width, height, matrix, tuple(distortion) or (0.0,) * 4, math.radians(100))
    if model not in PINHOLE_MODELS or len(distortion) not in _COUNTS:
        raise ValueError(
            f'a camera_info of the model {model!r} with {len(distortion)} coefficients (d) is '
            f'not supported: models are {", ".join(filter(None, PINHOLE_MODELS))} and '
            f'{", ".join(FISHEYE_MODELS)}')
    return Pinhole(width, height, matrix, tuple(distortion))


def read_fisheyes(path: str) -> list[tuple[Fisheye, np.ndarray]]:
    """
    Return the lenses of a YAML file with (3, 3) rotations from their optical axes to the camera's.

    :raises ValueError: with the file's name, if it does not describe them.
    """
    if not path:
        raise ValueError('camera.layout is fisheye: camera.calibration must name the YAML file '
                         'that describes its lenses')
    content = read_yaml(Path(path).expanduser())
    try:
        width, height = (
            round(_numbers(content, name, 1)[0]) for name in ('width', 'height'))
        return [_fisheye(lens, width, height) for lens in _nonempty(content['lenses'])]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f'{error} is missing' if isinstance(error, KeyError) else error
        raise ValueError(f'{path} describes no fisheye lenses: {what}') from None


def _nonempty(lenses: Any) -> list:
    if not isinstance(lenses, list) or not lenses:
        raise ValueError('lenses must be a list')
    return lenses


def _fisheye(values: dict[str, Any], width: int, height: int) -> tuple[Fisheye, np.ndarray]:
    unknown = sorted(set(values) - _LENS_KEYS)
    if unknown:
        raise ValueError(f'{unknown[0]} is unknown; a lens has {", ".join(sorted(_LENS_KEYS))}')
    cx, cy = _numbers(values, 'centre_px', 2)
    fov_deg, = _numbers(values, 'fov_deg', 1)
    if not 0 < fov_deg <= 360:
        raise ValueError(f'fov_deg = {fov_deg:g} is not between 0 and 360')
    half_rad = math.radians(fov_deg) / 2
    fx, fy = _focal_px(values, half_rad)
    k1, k2, k3, k4 = _numbers({'distortion': [0, 0, 0, 0], **values}, 'distortion', 4)
    roll, pitch, yaw = np.radians(
        _numbers({'rotation_deg': [0, 0, 0], **values}, 'rotation_deg', 3))
    matrix = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]], float)
    return (Fisheye(width, height, matrix, (k1, k2, k3, k4), half_rad),
            rotation3(roll, pitch, yaw) @ optical_from_body().T)


def _focal_px(values: dict[str, Any], half_rad: float) -> tuple[float, float]:
    """Return the focal lengths on both axes, which may follow from the circle."""
    if 'focal_px' not in values:
        fx = fy = _numbers(values, 'radius_px', 1)[0] / half_rad
    elif isinstance(values['focal_px'], list):
        fx, fy = _numbers(values, 'focal_px', 2)
    else:
        fx = fy = _numbers(values, 'focal_px', 1)[0]
    if min(fx, fy) <= 0:
        raise ValueError('focal_px or radius_px must be positive')
    return fx, fy


def _numbers(values: dict[str, Any], name: str, count: int) -> tuple[float, ...]:
    """Return so many numbers of this name; one need be no list."""
    found = values[name]
    several = found if isinstance(found, list) else [found]
    if len(several) != count or not all(
            isinstance(each, (int, float)) and math.isfinite(each) for each in several):
        wanted = f'{count} numbers' if count > 1 else 'a number'
        raise ValueError(f'{name} must be {wanted}, not {found!r}')
    return tuple(map(float, several))
