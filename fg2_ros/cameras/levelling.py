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

"""Levelling of panoramas: the camera's mount and the vehicle's tilt are undone."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.cameras.lenses import Equirectangular
from fg2_ros.cameras.resampling import panorama_of, Resampling, View
from fg2_ros.geometry.panorama import rotation3
import numpy as np

SAME_MAP_RAD = math.radians(0.3)  # turns that differ by less are served by one map
_SIDEWAYS = 0.3  # of the length of a direction: less of it is horizontal, and it looks nowhere


@dataclass(frozen=True, eq=False)
class LevelImage:
    """
    An image as the localizer takes it.

    :param pixels: (H, W, 3) uint8 RGB: a whole panorama, or what a pinhole camera took.
    :param yaw_rad: where its centre column looks, on the vehicle: 0 ahead, counter-clockwise.
    :param seen: (h, w) bool over the panorama, of any size, which parts are a picture; None: all.
    :param camera_k: (3, 3) intrinsics of a pinhole camera; None for a panorama.
    """

    pixels: np.ndarray
    yaw_rad: float
    seen: np.ndarray | None = None
    camera_k: np.ndarray | None = None


class Leveller:
    """
    Makes panoramas level and whole; what is both already stays as it is.

    :param height: rows of the panoramas that it makes.
    :param from_rad: less tilt is left as it is.
    """

    def __init__(self, height: int, from_rad: float):
        """Start with no map."""
        self._height, self._from_rad = height, from_rad
        self._key: tuple = ()
        self._turn = np.full((3, 3), np.nan)
        self._map: Resampling | None = None

    def level(self, pixels: np.ndarray, lens: Equirectangular, level_from_panorama: np.ndarray,
              mask: np.ndarray | None = None) -> LevelImage:
        """
        Return the level panorama of one that a camera took.

        :param pixels: (H, W, 3) uint8.
        :param lens: what they show.
        :param level_from_panorama: (3, 3) rotation from the panorama's axes (x through the centre
            column, y left, z up) to those of the vehicle, x ahead, if it stood upright.
        :param mask: (h, w) bool of any size, which parts are a picture; None: all.
        """
        yaw_rad = heading_of(level_from_panorama)
        is_tilted = tilt_of(level_from_panorama) > self._from_rad
        if not is_tilted and lens.is_whole:
            return LevelImage(pixels, yaw_rad, mask)
        turn = rotation3(0, 0, -yaw_rad) @ level_from_panorama if is_tilted else np.eye(3)
        resampling = self._map_of(lens, turn, mask)
        seen = None if resampling.seen.all() else resampling.seen
        return LevelImage(resampling([pixels]), yaw_rad, seen)

    def _map_of(self, lens: Equirectangular, turn: np.ndarray, mask: np.ndarray | None
                ) -> Resampling:
        key = lens, id(mask)
        if self._map is None or key != self._key \
                or not angle_of(turn @ self._turn.T) <= SAME_MAP_RAD:
            self._key, self._turn = key, turn
            self._mask = mask  # kept, so that no other one gets its id
            self._map = panorama_of([View(lens, turn, mask=mask)], self._height)
        return self._map


def tilt_of(level_from_panorama: np.ndarray) -> float:
    """Return the angle between the zenith of a (3, 3) rotation's axes and the vertical."""
    return float(np.arctan2(np.hypot(*level_from_panorama[:2, 2]), level_from_panorama[2, 2]))


def heading_of(level_from_panorama: np.ndarray) -> float:
    """Return where the centre column looks; 0 (ahead) where it looks up or down."""
    x, y, _ = level_from_panorama[:, 0]
    return float(np.arctan2(y, x)) if np.hypot(x, y) > _SIDEWAYS else 0.0


def angle_of(rotation: np.ndarray) -> float:
    """Return the angle of a (3, 3) rotation; NaN if it has any."""
    twice_sine = np.linalg.norm([
        rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0],
        rotation[1, 0] - rotation[0, 1]])
    return float(np.arctan2(twice_sine, np.trace(rotation) - 1))
