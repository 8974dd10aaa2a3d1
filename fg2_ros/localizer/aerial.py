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

"""The aerial side of localization: the patch around the vehicle and its features, kept in use."""

from __future__ import annotations

import logging
import time
from typing import Callable

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.lookahead import Lookahead
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, ImageryNotReady, PatchView
from fg2_ros.localizer.settings import PatchSettings
import numpy as np
from torch import Tensor

_log = logging.getLogger(__name__)


class AerialMemory:
    """
    Keep the aerial patch and its features while the vehicle stays on it.

    :param imagery: where patches come from.
    :param describe: turns a (H, H, 3) uint8 patch into features.
    :param size_m: side of the patch.
    :param size_px: side of its image.
    :param clock: monotonic seconds.
    """

    def __init__(
            self, imagery: Imagery, describe: Callable[[np.ndarray], Tensor], size_m: float,
            size_px: int, settings: PatchSettings,
            clock: Callable[[], float] = time.monotonic):
        self._imagery, self._describe = imagery, describe
        self._size_m, self._size_px = size_m, size_px
        self._settings, self._clock = settings, clock
        self._lookahead = Lookahead(
            imagery, size_m=size_m, size_px=size_px, ring_m=settings.ring_m,
            ahead_s=settings.ahead_s, clock=clock)
        self._patch: AerialPatch | None = None
        self._features: Tensor | None = None
        self._fetched_s = 0.0

    def patch(self, frame: MapFrame, centre_m: tuple[float, float]) -> AerialPatch:
        """
        Return a patch that holds a place of the map frame near its middle.

        :raises ImageryError: if there is none; ImageryNotReady if it is still being fetched.
        """
        distance_m = self._distance_m(frame, centre_m)
        if distance_m > self._settings.recentre_m:
            self._move(frame, centre_m, distance_m)
        elif self._may_improve() and self._clock() - self._fetched_s >= self._settings.retry_s:
            self._improve()
        return self._patch

    def features(self) -> Tensor:
        """Return the features of the patch that `patch` returned last."""
        if self._features is None:
            self._features = self._describe(self._patch.image)
        return self._features

    def request(self, frame: MapFrame, centre_m: tuple[float, float]) -> None:
        """
        Start fetching what is needed around a place, and next, and return at once.

        To be called from one thread, with the places of the vehicle as they become known.

        :raises ImageryError: if there can be no imagery.
        """
        self._lookahead.request(frame, centre_m)

    def _distance_m(self, frame: MapFrame, centre_m: tuple[float, float]) -> float:
        """Return how far a place is from the patch's centre along the farther axis."""
        if self._patch is None or self._patch.view.frame != frame:
            return np.inf
        return float(np.max(np.abs(np.subtract(centre_m, self._patch.centre_m))))

    def _move(
            self, frame: MapFrame, centre_m: tuple[float, float], distance_m: float) -> None:
        try:
            patch = self._fetch(frame, centre_m)
        except ImageryNotReady:
            if distance_m > self._settings.patience_m:
                raise
            return
        self._keep(patch)

    def _improve(self) -> None:
        """Take the patch again where it was, if more of it or finer imagery has arrived."""
        old = self._patch
        try:
            patch = self._fetch(old.view.frame, old.centre_m)
        except ImageryError as error:
            self._fetched_s = self._clock()
            _log.debug('the aerial patch stays as it is: %s', error)
            return
        if _quality(patch) > _quality(old):
            self._keep(patch)
        else:
            self._fetched_s = self._clock()

    def _fetch(self, frame: MapFrame, centre_m: tuple[float, float]) -> AerialPatch:
        return self._imagery.patch(
            PatchView(frame, centre_m, self._size_m, self._size_px), wait_s=self._settings.wait_s)

    def _keep(self, patch: AerialPatch) -> None:
        self._patch, self._features = patch, None
        self._fetched_s = self._clock()

    def _may_improve(self) -> bool:
        return self._patch.valid_share < 1 or self._patch.is_coarse


def _quality(patch: AerialPatch) -> tuple[float, float]:
    return patch.valid_share, -(patch.native_resolution_m or 0.0)
