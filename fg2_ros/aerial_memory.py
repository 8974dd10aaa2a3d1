"""The aerial side of localization: the patch around the vehicle and its features, kept in use."""

from __future__ import annotations

from dataclasses import dataclass
import logging
import time
from typing import Callable

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.lookahead import Lookahead
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, ImageryNotReady
from fg2_ros.settings import setting
import numpy as np
from torch import Tensor

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PatchSettings:
    """When the aerial patch is replaced."""

    recentre_m: float = setting(
        6.0, 'The patch stays while the prior is within this distance of its centre on both '
        'axes; its features are then computed once only.', unit='m', between=(0.0, 1000.0))
    ring_m: float = setting(
        25.0, 'Imagery is fetched in the background this far around the patch, for turns and '
        'errors of GNSS.', unit='m', between=(0.0, 1000.0))
    ahead_s: float = setting(
        8.0, 'Imagery is fetched for where the vehicle will be within this time at its present '
        'speed and course. Longer where the network is slow; 0 for none.', unit='s',
        between=(0.0, 120.0))
    patience_m: float = setting(
        12.0, 'While imagery for a new patch is on its way the old one serves up to this '
        'distance.', unit='m', between=(0.0, 1000.0))
    retry_s: float = setting(
        2.0, 'A patch with gaps, or a coarse one, is asked for again after this time.', unit='s',
        between=(0.0, 3600.0))
    wait_s: float = setting(
        0.0, 'How long an estimate waits for imagery that is still being fetched.', unit='s',
        between=(0.0, 600.0))


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
        """Start without a patch."""
        self._imagery, self._describe = imagery, describe
        self._size_m, self._size_px = size_m, size_px
        self._settings, self._clock = settings, clock
        self._lookahead = Lookahead(
            imagery, size_m, size_px, settings.ring_m, settings.ahead_s, clock)
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
        if self._patch is None or self._patch.frame != frame:
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
            patch = self._fetch(old.frame, old.centre_m)
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
            frame, centre_m, self._size_m, self._size_px, wait_s=self._settings.wait_s)

    def _keep(self, patch: AerialPatch) -> None:
        self._patch, self._features = patch, None
        self._fetched_s = self._clock()

    def _may_improve(self) -> bool:
        return self._patch.valid_share < 1 or self._patch.is_coarse


def _quality(patch: AerialPatch) -> tuple[float, float]:
    return patch.valid_share, -(patch.native_resolution_m or 0.0)
