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

"""Cameras of the simulated city: where a ray of each pixel goes, and where a point appears."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fg2_ros.geometry.panorama import pixel_directions, pixel_from_direction, rotation3
import numpy as np


@dataclass(frozen=True)
class CameraPose:
    """Pose of a camera in the city: map metres (z up from the ground) and REP-103 angles."""

    east_m: float
    north_m: float
    height_m: float
    yaw_rad: float
    roll_rad: float = 0.0
    pitch_rad: float = 0.0

    @property
    def position(self) -> np.ndarray:
        """Return the (3,) position in metres."""
        return np.array([self.east_m, self.north_m, self.height_m])

    @property
    def rotation(self) -> np.ndarray:
        """Return the (3, 3) matrix that turns camera axes (forward, left, up) into the map's."""
        return rotation3(self.roll_rad, self.pitch_rad, self.yaw_rad)


@dataclass(frozen=True)
class Mount:
    """How the cameras of a difficulty are carried: heights in metres, sigma of roll and pitch."""

    height_m: tuple[float, float]
    tilt_sigma_rad: float

    def draw_height_m(self, rng: np.random.Generator) -> float:
        """Return the height of a vehicle's camera above the ground."""
        return float(rng.uniform(*self.height_m))


MOUNTS = {
    'standard': Mount((1.7, 2.3), np.radians(0.4)),
    'hard': Mount((1.4, 3.2), np.radians(2.0))}


@dataclass(frozen=True)
class PanoramaCamera:
    """An equirectangular camera of ``width`` x ``height`` pixels (2:1 for the full sphere)."""

    width: int
    height: int

    def directions(self) -> np.ndarray:
        """Return the (height, width, 3) unit ray directions in the camera's body frame."""
        return _panorama_directions(self.width, self.height)

    def project(self, points: np.ndarray):
        """Return continuous (column, row) of (..., 3) points in the camera's body frame."""
        return pixel_from_direction(points, self.width, self.height)


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera; ``fx, fy, cx, cy`` in pixels, pixel centres at half-integers."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def directions(self) -> np.ndarray:
        """Return the (height, width, 3) unit ray directions in the camera's body frame."""
        column, row = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        ray = np.stack([
            np.ones_like(column), (self.cx - column) / self.fx, (self.cy - row) / self.fy],
            axis=-1)
        return ray / np.linalg.norm(ray, axis=-1, keepdims=True)

    def project(self, points: np.ndarray):
        """Return continuous (column, row) of body-frame points; NaN behind the camera."""
        x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
        depth = np.where(x > 0, x, np.nan)
        return self.cx - self.fx * y / depth, self.cy - self.fy * z / depth


@lru_cache(maxsize=4)
def _panorama_directions(width: int, height: int) -> np.ndarray:
    directions = pixel_directions(width, height).astype(np.float32)
    directions.setflags(write=False)
    return directions
