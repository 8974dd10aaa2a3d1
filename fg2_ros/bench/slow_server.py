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
"""Coverage of a drive by imagery from a slow server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
import time

from fg2_ros.bench.imagery import picture
from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.lookahead import Lookahead
from fg2_ros.imagery.patch import ImageryError, PatchView
from fg2_ros.imagery.server.opening import open_server
from fg2_ros.simulation.tile_server import Faults, TileServer
import numpy as np

SPEEDS_MPS, DELAYS_S = (14.0, 36.0), (0.05, 0.2, 0.4)
SIZE_M, SIZE_PX, ZOOM = 71.0, 630, 20  # of the published weights
_FRAME = MapFrame(47.0, 8.5)
_RING_M, _AHEAD_S = 30.0, 10.0
_TICK_S = 0.1


@dataclass(frozen=True)
class Drive:
    """
    A drive along a slow server.

    :param speed_mps: of the vehicle.
    :param delay_s: that each tile takes.
    :param resolutions_m: of each tick, of the imagery that was there; None where there was none.
    :param requests: that the server had.
    """

    speed_mps: float
    delay_s: float
    resolutions_m: list[float | None]
    requests: int

    @property
    def served_share(self) -> float:
        """Return of how many of the ticks there was imagery."""
        return 1 - self.resolutions_m.count(None) / len(self.resolutions_m)

    @property
    def resolution_m(self) -> float:
        """Return the median resolution of the ticks that had imagery."""
        return float(np.median([each for each in self.resolutions_m if each] or [np.nan]))

    @property
    def finest_share(self) -> float:
        """Return of how many of the ticks the imagery was the finest that there is."""
        finest_m = mercator.ground_resolution_m(_FRAME.datum[0], ZOOM)
        return sum(each is not None and each < 1.01 * finest_m
                   for each in self.resolutions_m) / len(self.resolutions_m)


def slow_server_drives(duration_s: float = 60.0) -> list[Drive]:
    """Return a drive of each speed and delay; those of one delay are driven at the same time."""
    drives: list[Drive] = []
    for delay_s in DELAYS_S:
        with ThreadPoolExecutor(len(SPEEDS_MPS)) as drivers:
            drives += drivers.map(lambda speed: drive(speed, delay_s, duration_s), SPEEDS_MPS)
    return sorted(drives, key=lambda each: (each.speed_mps, each.delay_s))


def drive(speed_mps: float, delay_s: float, duration_s: float) -> Drive:
    """Drive east, from a place of which there is nothing yet, and ask for a patch at each tick."""
    image = picture(256, 256)
    resolutions_m: list[float | None] = []
    with TileServer(lambda zoom, x, y: image, min_zoom=0) as server:
        server.faults = Faults(delay_s=delay_s)
        with closing(open_server(server.url_template, max_zoom=ZOOM)) as imagery:
            look = Lookahead(imagery, SIZE_M, SIZE_PX, _RING_M, _AHEAD_S)
            began_s = time.monotonic()
            while (now_s := time.monotonic() - began_s) < duration_s:
                place_m = speed_mps * now_s, 0.0
                look.request(_FRAME, place_m)
                try:
                    patch = imagery.patch(PatchView(_FRAME, place_m, SIZE_M, SIZE_PX))
                    resolutions_m.append(patch.native_resolution_m)
                except ImageryError:
                    resolutions_m.append(None)
                time.sleep(max(0.0, began_s + now_s + _TICK_S - time.monotonic()))
        return Drive(speed_mps, delay_s, resolutions_m, server.requests)
