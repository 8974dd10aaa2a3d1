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

"""Bags of a drive around blocks whose panoramas, ground and truth are known in closed form."""

from __future__ import annotations

from pathlib import Path
from test.helpers.analytic_ground import AnalyticGround
from test.helpers.local_files import tiles_of, write_mbtiles

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.simulation.bag import Rtk, START_NS, write_drive
from fg2_ros.simulation.drive import Drive, DriveSettings, simulate_drive
import numpy as np

FRAME = MapFrame(47.0, 8.0)
GROUND = AnalyticGround(*FRAME.datum)
ATTRIBUTION = '(c) the surveyors'
AHEAD_S = 0.1
COLUMNS, ROWS = 256, 128
SETTINGS = DriveSettings(
    frames=100, frame_rate_hz=4.0, camera_m=(0.9, 0.3, 1.8), tilt_sigma_rad=0.0)


class BlockCity:
    """A city whose route turns left and right at blocks of 45 m."""

    def route(self, rng, length_m):
        """Return the route."""
        turns = np.cumsum(np.tile([0, 1, 0, -1], 50)) * np.pi / 2
        steps = 45.0 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        return np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)])


def block_drive(settings: DriveSettings = SETTINGS) -> Drive:
    return simulate_drive(BlockCity(), 3, settings)


def panorama(yaw_rad: float) -> np.ndarray:
    """Return what surrounds a camera, infinitely far away, as (ROWS, COLUMNS, 3) uint8 RGB."""
    rng = np.random.default_rng(1)
    texture = rng.uniform(0, 255, (ROWS // 8, COLUMNS // 4)).repeat(8, axis=0)
    looks = yaw_rad - (np.arange(COLUMNS) + 0.5 - COLUMNS / 2) * 2 * np.pi / COLUMNS
    knots = np.arange(texture.shape[1]) * 2 * np.pi / texture.shape[1]
    rows = [np.interp(looks, knots, row, period=2 * np.pi) for row in texture]
    return np.repeat(np.round(rows).astype(np.uint8)[..., None], 3, axis=2)


def write_block_bag(path: Path, drive: Drive) -> Path:
    write_drive(path, drive, FRAME, (panorama(camera.yaw_rad) for camera in drive.cameras),
                rtk=Rtk(clock_ahead_s=AHEAD_S))
    return path


def write_ground(path: Path, reach: int = 2, place=(47.0005, 8.001)) -> Path:
    """Write tiles of zoom 18, each about 104 m, around a place near the drive."""
    return write_mbtiles(path, tiles_of(GROUND, place, 18, reach), attribution=ATTRIBUTION)


def stamps_ns(drive: Drive) -> list[int]:
    """Return the stamps of the images."""
    return [START_NS + round(each * 1e9) for each in drive.frames.time_s.tolist()]
