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

"""The calibration of a pinhole camera, from `camera_info` to the images it belongs to."""

from __future__ import annotations

from fg2_ros.cameras.calibration import Calibration, FISHEYE_MODELS, lens_of
from fg2_ros.cameras.lenses import Pinhole
import numpy as np
from sensor_msgs.msg import CameraInfo


class Intrinsics:
    """
    Remembers the newest calibration; it is rarely sent at the very stamp of an image.

    :param rectified: whether images are rectified, whatever camera_info says; None: if it knows no
        distortion.
    """

    def __init__(self, rectified: bool | None = None) -> None:
        """Start without one."""
        self._rectified = rectified
        self._newest: CameraInfo | None = None
        self._scaled: dict[tuple[int, int], Calibration] = {}

    def update(self, message: CameraInfo) -> None:
        """
        Remember a calibration.

        :raises ValueError: if it is none.
        """
        if self._newest is not None and _numbers(message) == _numbers(self._newest):
            return
        matrix = matrix_of(message)
        if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0 \
                or 0 in (message.width, message.height):
            raise ValueError('the camera_info is not that of a calibrated camera: its focal '
                             'lengths (p or k), width and height must be positive')
        if self._is_raw(message):
            _require_raw(message)
        self._newest = message
        self._scaled = {}

    def of(self, width: int, height: int) -> Calibration:
        """
        Return the calibration for images of a size; the same object while nothing changes.

        What `camera_info` says of cropping is applied, and binning, or any other scale, is seen
        in the size of the image.

        :raises ValueError: if there is no calibration yet.
        """
        info = self._newest
        if info is None:
            raise ValueError('there was no camera_info yet, which tells the intrinsics of a '
                             'pinhole camera')
        if (width, height) not in self._scaled:
            self._scaled = {(width, height): self._calibration(info, width, height)}
        return self._scaled[width, height]

    def _calibration(self, info: CameraInfo, width: int, height: int) -> Calibration:
        matrix = _fitted(matrix_of(info), info, width, height)
        if not self._is_raw(info):
            return Calibration(width, height, matrix, Pinhole(width, height, matrix))
        raw = _fitted(np.array(info.k, float).reshape(3, 3), info, width, height)
        turn = np.array(info.r, float).reshape(3, 3)
        return Calibration(
            width, height, matrix, lens_of(info.distortion_model, info.d, raw, width, height),
            True, turn if turn.any() else np.eye(3))

    def _is_raw(self, info: CameraInfo) -> bool:
        if self._rectified is not None:
            return not self._rectified
        return any(info.d) or info.distortion_model in FISHEYE_MODELS


def matrix_of(info: CameraInfo) -> np.ndarray:
    """Return the (3, 3) matrix of the rectified image; of a driver that gives none, the raw's."""
    projection = np.array(info.p, float).reshape(3, 4)[:, :3]
    return projection if projection[0, 0] else np.array(info.k, float).reshape(3, 3)


def _require_raw(info: CameraInfo) -> None:
    """Raise ValueError unless raw images can be rectified."""
    matrix = np.array(info.k, float).reshape(3, 3)
    if not np.isfinite([*info.k, *info.d, *info.r]).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise ValueError('the camera_info is not that of a calibrated camera: its images have '
                         'distortion (d), and the focal lengths of the raw images (k) must be '
                         'positive')
    lens_of(info.distortion_model, info.d, matrix, info.width, info.height)


def _fitted(matrix: np.ndarray, info: CameraInfo, width: int, height: int) -> np.ndarray:
    """Return a (3, 3) matrix for images as they are cropped and scaled."""
    matrix, size = matrix.copy(), np.array([info.width, info.height], float)
    if info.roi.width and info.roi.height:
        matrix[:2, 2] -= info.roi.x_offset, info.roi.y_offset
        size[:] = info.roi.width, info.roi.height
    matrix[:2] *= (np.array([width, height]) / size)[:, None]
    return matrix


def _numbers(info: CameraInfo) -> tuple:
    roi = info.roi
    return (info.width, info.height, info.distortion_model, *info.d, *info.k, *info.r, *info.p,
            roi.x_offset, roi.y_offset, roi.width, roi.height)
