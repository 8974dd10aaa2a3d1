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

"""The aerial side of localization: the patch around the vehicle and its features, cached."""

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


class DescribedPatch:
    """
    An aerial patch with its features, described when they are first asked for.

    :param described: features by the map yaw that is up in them.
    """

    def __init__(self, patch: AerialPatch, fetched_s: float):
        """Keep the patch."""
        self.patch, self.fetched_s = patch, fetched_s
        self.described: dict[float, Tensor] = {}

    @property
    def may_improve(self) -> bool:
        """Whether more of it, or finer imagery, may come."""
        return self.patch.valid_share < 1 or self.patch.is_coarse


class AerialMemory:
    """
    Keep aerial patches and their features while the vehicle stays near them.

    :param imagery: where patches come from.
    :param size_m: side of the patches.
    :param size_px: side of their images.
    :param clock: monotonic seconds.
    """

    def __init__(
            self, imagery: Imagery, size_m: float, size_px: int, settings: PatchSettings,
            clock: Callable[[], float] = time.monotonic):
        """Start without a patch."""
        self._imagery = imagery
        self._size_m, self._size_px = size_m, size_px
        self._settings, self._clock = settings, clock
        self._lookahead = Lookahead(
            imagery, size_m=size_m, size_px=size_px, ring_m=settings.ring_m,
            ahead_s=settings.ahead_s, clock=clock)
        self._kept: list[DescribedPatch] = []  # the one used last is the last

    def patch(self, frame: MapFrame, centre_m: tuple[float, float]) -> DescribedPatch:
        """
        Return a patch that holds a place of the map frame near its middle.

        :raises ImageryError: if there is none; ImageryNotReady if it is still being fetched.
        """
        kept = self._nearest(frame, centre_m)
        if kept is None or _distance_m(kept, centre_m) > self._settings.recentre_m:
            kept = self._another(frame, centre_m, kept)
        elif kept.may_improve and self._clock() - kept.fetched_s >= self._settings.retry_s:
            kept = self._improved(kept)
        self._use(kept)
        return kept

    def forget(self) -> None:
        """Forget all patches: the imagery has changed."""
        self._kept.clear()

    def request(self, frame: MapFrame, centre_m: tuple[float, float]) -> None:
        """
        Start fetching what is needed around a place, and next, and return at once.

        To be called from one thread, with the places of the vehicle as they become known.

        :raises ImageryError: if there can be no imagery.
        """
        self._lookahead.request(frame, centre_m)

    def _nearest(self, frame: MapFrame, centre_m: tuple[float, float]) -> DescribedPatch | None:
        """Return the patch whose centre is nearest along the farther axis."""
        known = [kept for kept in self._kept if kept.patch.view.frame == frame]
        return min(known, key=lambda kept: _distance_m(kept, centre_m), default=None)

    def _another(self, frame: MapFrame, centre_m: tuple[float, float],
                 nearest: DescribedPatch | None) -> DescribedPatch:
        try:
            return DescribedPatch(self._fetch(frame, centre_m), self._clock())
        except ImageryNotReady:
            if nearest is None or _distance_m(nearest, centre_m) > self._settings.patience_m:
                raise
            return nearest

    def _improved(self, old: DescribedPatch) -> DescribedPatch:
        """Return the patch again where it was, if more of it or finer imagery has arrived."""
        old.fetched_s = self._clock()
        try:
            patch = self._fetch(old.patch.view.frame, old.patch.centre_m)
        except ImageryError as error:
            _log.debug('the aerial patch stays as it is: %s', error)
            return old
        if _quality(patch) <= _quality(old.patch):
            return old
        self._kept.remove(old)
        return DescribedPatch(patch, self._clock())

    def _use(self, used: DescribedPatch) -> None:
        """Mark a patch as used; the least recently used one is dropped."""
        if used in self._kept:
            self._kept.remove(used)
        self._kept.append(used)
        del self._kept[:-self._settings.kept]

    def _fetch(self, frame: MapFrame, centre_m: tuple[float, float]) -> AerialPatch:
        return self._imagery.patch(
            PatchView(frame, centre_m, self._size_m, self._size_px), wait_s=self._settings.wait_s)


def _distance_m(kept: DescribedPatch, centre_m: tuple[float, float]) -> float:
    """Return how far a place is from a patch's centre along the farther axis."""
    return float(np.max(np.abs(np.subtract(centre_m, kept.patch.centre_m))))


def _quality(patch: AerialPatch) -> tuple[float, float]:
    return patch.valid_share, -(patch.native_resolution_m or 0.0)
