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

"""The baseline on a textured plane, where it must work, and on noise, where it cannot."""

import cv2
from fg2_ros.evaluation import baseline
from fg2_ros.geometry.panorama import pixel_directions
from fg2_ros.geometry.se2 import wrap_angle
import numpy as np
import pytest

RESOLUTION_M = 0.2
CAMERA_HEIGHT_M = 2.0


def plane_texture(seed: int, side_px: int = 480) -> np.ndarray:
    """Return a (side, side, 3) north-up texture with detail from half a metre to ten metres."""
    rng = np.random.default_rng(seed)
    octaves = [
        cv2.GaussianBlur(rng.standard_normal((side_px, side_px)), (0, 0), sigma) * sigma
        for sigma in (2, 4, 8, 16)]
    grey = np.clip(128 + 60 * sum(octaves), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def plane_panorama(texture: np.ndarray, east_m, north_m, yaw_rad) -> np.ndarray:
    """Return what a level camera above the texture's plane sees; the sky is white."""
    direction = pixel_directions(1024, 512)
    reach = CAMERA_HEIGHT_M / np.maximum(-direction[..., 2], 1e-3)
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    east = east_m + reach * (c * direction[..., 0] - s * direction[..., 1])
    north = north_m + reach * (s * direction[..., 0] + c * direction[..., 1])
    middle = (texture.shape[0] - 1) / 2
    return cv2.remap(
        texture, (middle + east / RESOLUTION_M).astype(np.float32),
        (middle - north / RESOLUTION_M).astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255))


def errors(seed: int, aerial_seed: int) -> tuple[float, float]:
    """Return (metres, radians) of one try whose views show planes of the given seeds."""
    rng = np.random.default_rng(seed)
    east_m, north_m = rng.uniform(-12, 12, 2)
    yaw_rad = rng.uniform(-np.pi, np.pi)
    found = baseline.estimate(
        plane_panorama(plane_texture(seed), east_m, north_m, yaw_rad),
        yaw_rad + np.radians(rng.uniform(-10, 10)), CAMERA_HEIGHT_M, plane_texture(aerial_seed),
        RESOLUTION_M)
    return np.hypot(found.x - east_m, found.y - north_m), abs(wrap_angle(found.yaw - yaw_rad))


def test_textured_plane_is_solved():
    metres, radians = np.transpose([errors(seed, seed) for seed in range(8)])
    assert np.median(metres) < 0.2
    assert np.max(metres) < 0.4
    assert np.degrees(np.max(radians)) < 0.5


def test_unrelated_views_are_not_solved():
    metres, _ = np.transpose([errors(seed, seed + 100) for seed in range(6)])
    assert np.median(metres) > 3


def test_small_aerial_image_is_refused():
    with pytest.raises(ValueError, match='10.0 m wide'):
        baseline.estimate(
            np.zeros((64, 128, 3), np.uint8), 0.0, 2.0, np.zeros((50, 50, 3), np.uint8), 0.2)
