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

"""Augmentation: season, light, camera and clutter, drawn anew for each training sample."""

from __future__ import annotations

from functools import lru_cache

import cv2
from fg2_ros.geometry.panorama import pixel_directions, pixel_from_direction, rotation3
import numpy as np

TILT_SIGMA_RAD = np.radians(1.5)  # of roll and pitch that levelling leaves
LOWEST_QUALITY, HIGHEST_QUALITY = 30, 90  # of JPEG
BODY_RAD = (np.radians(-65.0), np.radians(-20.0))  # elevations below which a vehicle hides all


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image with other colours, contrast, sharpness and noise."""
    image = cv2.transform(image, _colour_matrix(rng))
    image = cv2.LUT(image, _tone_curves(rng))
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.5:
        image = _with_noise(image, rng.uniform(1, 8), rng)
    return image


def _colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """Return a random saturation and hue rotation, which leaves grey as it is."""
    saturation, hue_rad = rng.uniform(0.3, 1.4), rng.normal(0, 0.25)
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return grey + saturation * (
        np.cos(hue_rad) * (np.eye(3) - grey) + np.sin(hue_rad) * cross)


def _tone_curves(rng: np.random.Generator) -> np.ndarray:
    """Return a (256, 1, 3) uint8 table of gamma, gain of each channel, contrast, brightness."""
    level = np.linspace(0, 1, 256)[:, None, None] ** np.exp(rng.normal(0, 0.25))
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
    contrast, brightness = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.05)
    level = (level * gain - 0.5) * contrast + 0.5 + brightness
    return np.clip(np.round(level * 255), 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1024, 1024, 3), np.float32)


def _with_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add a random window of stored Gaussian noise: drawing fresh noise would take too long."""
    height, width = image.shape[:2]
    bank = _noise_bank()
    row, column = (rng.integers(0, 1024 - size) for size in (height, width))
    noise = bank[row:row + height, column:column + width]
    return cv2.addWeighted(image, 1.0, noise, sigma, 0.0, dtype=cv2.CV_8U)


def another_camera(panorama: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a (h, w, 3) uint8 panorama as it may be after tilt, a vehicle's body and JPEG."""
    if rng.random() < 0.5:
        panorama = tilted(panorama, *rng.normal(0, TILT_SIGMA_RAD, 2))
    if rng.random() < 0.3:
        panorama = _above_a_body(panorama, rng)
    return recompressed(panorama, rng) if rng.random() < 0.5 else panorama


def another_survey(aerial: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an (n, n, 3) uint8 aerial image as it may be in another season and after JPEG."""
    if rng.random() < 0.5:
        aerial = in_another_season(aerial, rng)
    return recompressed(aerial, rng) if rng.random() < 0.5 else aerial


def tilted(panorama: np.ndarray, roll_rad: float, pitch_rad: float) -> np.ndarray:
    """Return a panorama as a camera takes it that is rolled and pitched."""
    height, width = panorama.shape[:2]
    level = _directions(width, height) @ rotation3(roll_rad, pitch_rad, 0.0).astype(np.float32).T
    column, row = (each.astype(np.float32) - 0.5
                   for each in pixel_from_direction(level, width, height))
    return cv2.remap(panorama, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def in_another_season(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image whose green is that of another month: fresh, dry, dark or almost gone."""
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    green = np.exp(-((hue.astype(np.float32) - 50) / 18) ** 2) * (saturation > 25)
    shifts = (rng.uniform(-28, 12), np.log(rng.uniform(0.3, 1.4)), np.log(rng.uniform(0.6, 1.4)))
    turned = (hue + shifts[0] * green) % 180
    changed = [turned, *(np.clip(channel * np.exp(shift * green), 0, 255)
                         for channel, shift in zip((saturation, value), shifts[1:]))]
    return cv2.cvtColor(cv2.merge([each.astype(np.uint8) for each in changed]), cv2.COLOR_HSV2RGB)


def recompressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image after JPEG of some quality."""
    quality = int(rng.integers(LOWEST_QUALITY, HIGHEST_QUALITY + 1))
    _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def _above_a_body(panorama: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide what is below an elevation that differs ahead and to the sides; one even colour."""
    height, width = panorama.shape[:2]
    ahead, side = rng.uniform(*BODY_RAD, 2)
    azimuth = np.linspace(0, 2 * np.pi, width, endpoint=False) + rng.uniform(0, 2 * np.pi)
    limit_rad = side + (ahead - side) * np.cos(azimuth) ** 2
    elevation_rad = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    hidden = elevation_rad[:, None] < limit_rad
    return np.where(hidden[..., None], rng.integers(0, 256, 3).astype(np.uint8), panorama)


@lru_cache(maxsize=2)
def _directions(width: int, height: int) -> np.ndarray:
    return pixel_directions(width, height).astype(np.float32)
