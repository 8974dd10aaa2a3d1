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

"""What the rest of the package sees of aerial imagery: patches, their sources and their errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from fg2_ros.geometry.frames import MapFrame
import numpy as np

MAX_MISSING = 0.5  # share of a patch that may be missing before it is refused


class ImageryError(Exception):
    """The imagery cannot be had; the message is a sentence for the user and names the source."""


class ImageryNotReady(ImageryError):
    """The imagery is still being fetched in the background: ask again later."""


class ImageryGaps(ImageryError):
    """
    More than half of a patch is missing.

    :param sentence: says so, of which source, and why.
    :param patch: the rest, for whoever has another source for the gaps.
    """

    def __init__(self, sentence: str, patch: AerialPatch):
        """Keep the patch."""
        super().__init__(sentence)
        self.patch = patch


@dataclass(frozen=True)
class AerialPatch:
    """
    A square, north-up aerial image in the axes of a map frame.

    :param image: (H, H, 3) uint8 RGB; pixels without imagery are black.
    :param frame: the map frame.
    :param centre_m: (east, north) of the patch's centre in the frame.
    :param size_m: side length in metres, outer edge to outer edge.
    :param valid: (H, H) bool, False where there is no imagery; None means valid everywhere.
    :param source: name of the source, or of several, for people.
    :param vintage: when the imagery was taken, in the source's words; '' if that is not known.
    :param attribution: whom to name where the imagery is shown.
    :param native_resolution_m: metres on the ground per pixel of the imagery that the patch was
        made of, the coarsest if it is of several; None if that is not known.
    """

    image: np.ndarray
    frame: MapFrame
    centre_m: tuple[float, float]
    size_m: float
    valid: np.ndarray | None
    source: str
    vintage: str = ''
    attribution: str = ''
    native_resolution_m: float | None = None

    @property
    def resolution_m(self) -> float:
        """Metres per pixel."""
        return self.size_m / self.image.shape[0]

    @property
    def valid_share(self) -> float:
        """How much of it shows imagery."""
        return 1.0 if self.valid is None else float(self.valid.mean())

    @property
    def is_coarse(self) -> bool:
        """Whether the imagery had to be magnified, as its source has none finer."""
        return (self.native_resolution_m or 0.0) > 1.01 * self.resolution_m

    def filled_from(self, other: AerialPatch) -> AerialPatch:
        """Return this patch with its gaps filled from another one of the same square."""
        if self.valid is None:
            return self
        other_valid = np.ones_like(self.valid) if other.valid is None else other.valid
        added = other_valid & ~self.valid
        if not added.any():
            return self
        valid = self.valid | other_valid
        resolutions = [part.native_resolution_m for part in (self, other)
                       if part.native_resolution_m is not None]
        return replace(
            self, image=np.where(added[..., None], other.image, self.image),
            valid=None if valid.all() else valid, source=_joined(self.source, other.source),
            vintage=_joined(self.vintage, other.vintage),
            attribution=_joined(self.attribution, other.attribution),
            native_resolution_m=max(resolutions, default=None))

    def map_from_pixel(self, column, row):
        """Return (east, north) in metres of continuous pixels (centres at + 0.5)."""
        half_px = self.image.shape[0] / 2
        return (self.centre_m[0] + (np.asarray(column, float) - half_px) * self.resolution_m,
                self.centre_m[1] - (np.asarray(row, float) - half_px) * self.resolution_m)

    def pixel_from_map(self, east_m, north_m):
        """Return continuous (column, row) of map points: the inverse of `map_from_pixel`."""
        half_px = self.image.shape[0] / 2
        return (half_px + (np.asarray(east_m, float) - self.centre_m[0]) / self.resolution_m,
                half_px - (np.asarray(north_m, float) - self.centre_m[1]) / self.resolution_m)


class Imagery(Protocol):
    """A source of aerial patches; every method may be called from any thread."""

    def patch(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
              size_px: int, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a north-up patch in the axes of a map frame.

        Pixel (i, j)'s centre lies at ``east = centre_e + ((j + .5) / size_px - .5) * size_m``,
        ``north = centre_n - ((i + .5) / size_px - .5) * size_m``.

        :param frame: the map frame.
        :param centre_m: (east, north) of the centre in the frame.
        :param size_m: side length in metres.
        :param size_px: side length in pixels.
        :param wait_s: longest time to wait for imagery that is not there yet.
        :raises ImageryNotReady: if it is still being fetched after ``wait_s``.
        :raises ImageryError: if it cannot be had, or more than half of it is missing.
        :raises ValueError: if the patch asked for makes no sense.
        """

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """Start fetching what such a patch needs and return at once; problems show in `stats`."""

    def close(self) -> None:
        """Stop the background work and wait for it; the source cannot be used any more."""

    def stats(self) -> dict:
        """
        Return counters: hits, misses, errors, pending.

        Beside them ``source`` (name), ``offline`` (its last attempt failed) and ``last_error``.
        """


class NoImagery:
    """Imagery that is nowhere; an `Imagery`."""

    def patch(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
              size_px: int, wait_s: float = 0.0) -> AerialPatch:
        """
        Return nothing.

        :raises ImageryError: always.
        """
        raise ImageryError('no aerial imagery was given; `open_imagery` opens some')

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def stats(self) -> dict:
        """Return the counters of `Imagery.stats`."""
        return {'source': 'no imagery', 'hits': 0, 'misses': 0, 'errors': 0, 'pending': 0,
                'offline': False, 'last_error': ''}


def require_enough(patch: AerialPatch, why: str) -> AerialPatch:
    """
    Return a patch unless more than half of it is missing.

    :raises ImageryGaps: if so, with the source and the reason.
    """
    missing = 1 - patch.valid_share
    if missing > MAX_MISSING:
        raise ImageryGaps(f'{patch.source} lacks {missing:.0%} of the aerial patch: {why}', patch)
    return patch


def require_fine_enough(resolution_m: float | None, coarsest_m: float, source: str) -> None:
    """
    Accept the ground resolution of imagery unless it is too coarse.

    :param resolution_m: metres per pixel; None, if it is not known, is accepted.
    :raises ImageryError: if it is, with the source and the figures.
    """
    if resolution_m is not None and resolution_m > coarsest_m:
        raise ImageryError(f'{source} has {resolution_m:.2f} m per pixel here, which is coarser '
                           f'than the {coarsest_m:.2f} m allowed')


def _joined(first: str, second: str) -> str:
    return ' + '.join(dict.fromkeys(part for part in (first, second) if part))
