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
Equirectangular panoramas (2:1) and the camera frames behind them.

The **optical bearing frame** of a panorama has x forward (centre column), y left, z up, as
``base_link`` does (REP-103). Continuous pixel coordinates put pixel (row i, column j)'s centre at
(i + 0.5, j + 0.5). Columns grow clockwise (to the right of forward); row 0 is the zenith and the
last row the nadir.
"""

from __future__ import annotations

import numpy as np


def pixel_from_direction(direction: np.ndarray, width: float, height: float):
    """Return continuous (column, row) of (..., 3) directions; float32 ones are faster."""
    direction = np.asarray(direction)
    if direction.dtype != np.float32:
        direction = direction.astype(float)
    x, y, z = np.moveaxis(direction, -1, 0)
    column = (0.5 - np.arctan2(y, x) / (2 * np.pi)) % 1.0 * width
    row = (0.5 - np.arctan2(z, np.hypot(x, y)) / np.pi) * height
    return column, row


def direction_from_pixel(column, row, width: int, height: int) -> np.ndarray:
    """Return (..., 3) unit directions in the panorama's frame of continuous pixels."""
    azimuth = (0.5 - np.asarray(column, float) / width) * 2 * np.pi
    elevation = (0.5 - np.asarray(row, float) / height) * np.pi
    return np.stack([
        np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation)], axis=-1)


def pixel_directions(width: int, height: int) -> np.ndarray:
    """Return the (height, width, 3) unit directions of all pixel centres."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return direction_from_pixel(column, row, width, height)


def rotation3(roll_rad: float, pitch_rad: float, yaw_rad: float) -> np.ndarray:
    """Return the (3, 3) outer-from-inner rotation of fixed-axis roll, pitch, yaw (REP-103)."""
    cr, sr = np.cos(roll_rad), np.sin(roll_rad)
    cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
    cy, sy = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr]])


def north_aligned(panorama: np.ndarray, yaw_rad: float) -> tuple[np.ndarray, float]:
    """
    Roll a panorama so that its centre column looks north where ``yaw_rad`` is its map yaw.

    Columns are whole, so the roll is exact to half a pixel only; the yaw that was undone exactly
    is returned beside it.

    :param panorama: (H, W, ...) image.
    :param yaw_rad: map yaw of the centre column (0 east, counter-clockwise).
    :return: the rolled image and the map yaw that its roll stands for.
    """
    width = panorama.shape[1]
    shift = round((np.pi / 2 - yaw_rad) / (2 * np.pi) * width)
    return np.roll(panorama, shift, axis=1), np.pi / 2 - shift * 2 * np.pi / width
