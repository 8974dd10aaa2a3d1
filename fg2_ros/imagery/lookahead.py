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

"""Fetching the imagery around a moving vehicle and ahead of it before it is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import logging
import math
import time

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import Imagery, ImageryError, PatchView
import numpy as np

_WINDOW_S = 4.0  # of the places that tell the speed: long enough for GNSS noise, short for turns
_LEAST_SPAN_S = 1.0
_SLOWEST_MPS, _FASTEST_MPS = 1.0, 100.0
_JUMP_M = 50.0
_AGAIN_S = 2.0  # a vehicle that stands still asks again: tiles may have failed
# All that is wished for at a time, in pixels of the patches; tiles are up to twice as fine. Then
# it takes up to 48 MB, half of the tiles' memory, and a wish is no larger than a patch may be.
_MOST_PIXELS = 4_000_000
_LARGEST_SIDE_PX = 1500


class Motion:
    """
    The velocity of a vehicle from the places it was seen at in the last seconds.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._frame: MapFrame | None = None
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=512)  # time s, east, north

    def see(self, frame: MapFrame, place_m: tuple[float, float]) -> None:
        """Record the vehicle's current place; earlier places that contradict it are dropped."""
        now_s = self._clock()
        if frame != self._frame or self._jumped(now_s, place_m):
            self._seen.clear()
        self._frame = frame
        self._seen.append((now_s, *place_m))
        while now_s - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()

    def velocity_mps(self) -> np.ndarray:
        """Return (east, north) metres a second; zero if it stands or is not known for long."""
        time_s, *places = np.array(self._seen).T
        time_s = time_s - time_s.mean()
        if np.ptp(time_s) < _LEAST_SPAN_S:
            return np.zeros(2)
        velocity = np.stack(places) @ time_s / (time_s @ time_s)  # the slope of the fitted line
        return velocity if np.hypot(*velocity) >= _SLOWEST_MPS else np.zeros(2)

    def _jumped(self, now_s: float, place_m: tuple[float, float]) -> bool:
        if not self._seen:
            return False
        last_s, *last_m = self._seen[-1]
        return np.hypot(*np.subtract(place_m, last_m)) > _JUMP_M + _FASTEST_MPS * (now_s - last_s)


class Lookahead:
    """
    Ask for the patch that is needed now, then for what lies around it and ahead.

    The current patch goes first, then the nearest. All is requested anew as the vehicle moves on,
    and what is not requested again is given up: so a slow server is never behind by more than some
    seconds.

    :param imagery: asked in the background; local imagery has nothing to do.
    :param size_m: side of a patch.
    :param size_px: side of its image.
    :param ring_m: how far around the patch.
    :param ahead_s: how long ahead at the present speed and course.
    :param clock: monotonic seconds.
    """

    def __init__(self, imagery: Imagery, size_m: float, size_px: int, ring_m: float,
                 ahead_s: float, clock: Callable[[], float] = time.monotonic):
        self._imagery, self._clock = imagery, clock
        self._size_m, self._size_px = size_m, size_px
        self._resolution_m = size_m / size_px
        ring_px = min(math.ceil(ring_m / self._resolution_m), (_LARGEST_SIDE_PX - size_px) // 2)
        self._side_px = size_px + 2 * max(0, ring_px)
        self._ahead_s = ahead_s
        # So dense that no patch between two wishes is left out:
        self._step_m = max((self._side_px - size_px) / 2 * self._resolution_m, size_m / 4)
        self._motion = Motion(clock)
        self._notices = LogThrottle(logging.getLogger(__name__))
        self._looked: tuple[float, MapFrame, tuple[float, float]] | None = None

    def request(self, frame: MapFrame, place_m: tuple[float, float]) -> None:
        """
        Start fetching what a vehicle at a place needs now and next, and return at once.

        :raises ImageryError: if there can be no imagery at the place.
        """
        self._motion.see(frame, place_m)
        if self._is_due(frame, place_m):
            self._looked = self._clock(), frame, place_m
            for wish_m in reversed(self._outlook(place_m)):  # the last one asked for is done first
                self._wish(frame, wish_m)
        self._imagery.request(PatchView(frame, place_m, self._size_m, self._size_px))

    def _outlook(self, place_m: tuple[float, float]) -> list[tuple[float, float]]:
        """Return the centres of what is wished for, the most urgent first."""
        velocity = self._motion.velocity_mps()
        speed_mps = float(np.hypot(*velocity))
        ahead_m = min(speed_mps * self._ahead_s, self._reach_m())
        return [
            tuple(np.add(place_m, distance_m / max(speed_mps, 1e-9) * velocity))
            for distance_m in np.arange(math.ceil(ahead_m / self._step_m) + 1) * self._step_m]

    def _reach_m(self) -> float:
        """Return how far ahead the wishes may go before they are too many to be kept."""
        side_m = self._side_px * self._resolution_m
        area_m2 = _MOST_PIXELS * self._resolution_m ** 2 - side_m ** 2
        return max(0.0, area_m2 / (math.sqrt(2) * side_m) - self._step_m)

    def _is_due(self, frame: MapFrame, place_m: tuple[float, float]) -> bool:
        if self._looked is None:
            return True
        looked_s, looked_frame, looked_m = self._looked
        return (frame != looked_frame or self._clock() - looked_s > _AGAIN_S
                or np.hypot(*np.subtract(place_m, looked_m)) > self._step_m / 2)

    def _wish(self, frame: MapFrame, centre_m: tuple[float, float]) -> None:
        """Ask for a patch with the ring around it, at the patch's own resolution."""
        side_m = self._side_px * self._resolution_m
        try:
            self._imagery.request(PatchView(frame, centre_m, side_m, self._side_px))
        except ImageryError:
            pass  # the road may turn before the imagery ends: told where it is missing
        except ValueError as error:
            self._notices.warn(f'imagery ahead of the vehicle is not fetched: {error}')
