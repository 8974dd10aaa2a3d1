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

"""Splits into training, validation and test by place, the same for every drive."""

from __future__ import annotations

import hashlib

from fg2_ros.datasets.drives import SPLITS
from fg2_ros.drives.settings import PlaceSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.resample import unit_nodes
import numpy as np

METRES_PER_DEG = 111_319.5  # of latitude, and of longitude on the equator


def split_of(latitude_deg: float, longitude_deg: float, settings: PlaceSettings) -> str:
    """Return the split of the block that a place is in."""
    row, column = _blocks(np.array([latitude_deg]), np.array([longitude_deg]), settings.block_m)
    return _split_of_block(int(row[0]), int(column[0]), settings)


def splits_of_places(frame: MapFrame, places_m: np.ndarray, settings: PlaceSettings) -> list[str]:
    """
    Return the split of each place; '' for those whose patch touches blocks of several splits.

    :param places_m: (N, 2) east, north in the map.
    """
    if settings.split:
        return [settings.split] * len(places_m)
    u, v = (nodes.ravel() for nodes in unit_nodes())
    east_m, north_m = np.asarray(places_m, float).reshape(-1, 2, 1).transpose(1, 0, 2)
    latitude_deg, longitude_deg = frame.geodetic_from_map(
        east_m + (u - 0.5) * settings.patch_m, north_m - (v - 0.5) * settings.patch_m)
    blocks = np.stack(_blocks(latitude_deg, longitude_deg, settings.block_m), axis=-1)
    return [_split_of_patch(each, settings) for each in blocks]


def _split_of_patch(blocks: np.ndarray, settings: PlaceSettings) -> str:
    splits = {_split_of_block(row, column, settings)
              for row, column in set(map(tuple, blocks.tolist()))}
    return splits.pop() if len(splits) == 1 else ''


def _blocks(latitude_deg: np.ndarray, longitude_deg: np.ndarray, block_m: float
            ) -> tuple[np.ndarray, np.ndarray]:
    """
    Return rows and columns of blocks of a lattice over the Earth.

    Rows are bands of latitude; each has as many columns as make its blocks about square.
    """
    rows = max(1, round(180 * METRES_PER_DEG / block_m))
    row = np.minimum(((latitude_deg + 90) / 180 * rows).astype(int), rows - 1)
    middle_rad = np.radians((row + 0.5) * 180 / rows - 90)
    columns = np.maximum(1, np.round(360 * METRES_PER_DEG * np.cos(middle_rad) / block_m))
    return row, ((longitude_deg + 180) % 360 / 360 * columns).astype(int) % columns.astype(int)


def _split_of_block(row: int, column: int, settings: PlaceSettings) -> str:
    """Return the split that a block is dealt, by a number that its place alone decides."""
    digest = hashlib.sha256(f'{settings.block_m:g} {row} {column}'.encode()).digest()
    drawn = int.from_bytes(digest[:8], 'big') / 2 ** 64
    ends = np.cumsum(settings.shares)[:-1]
    return SPLITS[int(np.searchsorted(ends, drawn, side='right'))]
