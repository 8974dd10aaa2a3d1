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

"""The interface of aerial imagery to the rest of the package: views, patches, errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from fg2_ros.geometry.frames import MapFrame, require_geodetic
from fg2_ros.imagery.resample import unit_nodes
from fg2_ros.imagery.status import ImageryStatus
import numpy as np

OUTSIDE = 'the place is outside its bounds'
MAX_MISSING = 0.5  # share of a patch that may be missing before it is refused


class ImageryError(Exception):
    """The imagery cannot be had; the message is a sentence for the user and names the source."""


class ImageryNotReady(ImageryError):
    """The imagery is still being fetched in the background: ask again later."""


class FileProblem(ImageryError):
    """A file or folder cannot be read; the message names it."""


class ImageryGaps(ImageryError):
    """
    More than half of a patch is missing.

    :param sentence: says so, of which source, and why.
    :param patch: the rest, to be completed from another source.
    """

    def __init__(self, sentence: str, patch: AerialPatch):
        super().__init__(sentence)
        self.patch = patch


@dataclass(frozen=True)
class Label:
    """
    The label of a source, as it is shown to the user.

    :param name: in messages.
    :param vintage: when the pictures were taken.
    :param attribution: the copyright line that has to be shown.
    """

    name: str
    vintage: str = ''
    attribution: str = ''


@dataclass(frozen=True)
class PatchView:
    """
    The square of ground that a patch shows.

    :param frame: the map frame whose axes the square follows.
    :param centre_m: (east, north) of its centre.
    :param size_m: side length in metres.
    :param size_px: side length in pixels.
    :raises ValueError: if a number is not finite or a size is not positive.
    """

    frame: MapFrame
    centre_m: tuple[float, float]
    size_m: float
    size_px: int

    def __post_init__(self):
        """Check the numbers."""
        if not np.all(np.isfinite(self.centre_m)):
            raise ValueError(f'the patch centre {self.centre_m} is not a place')
        if not (0 < self.size_m < 1e5 and 0 < self.size_px <= 8192):
            raise ValueError(
                f'a patch of {self.size_m} m and {self.size_px} pixels cannot be made')

    @property
    def resolution_m(self) -> float:
        """Metres per pixel."""
        return self.size_m / self.size_px

    def map_nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (east, north), each (5, 5) metres, at `unit_nodes`."""
        u, v = unit_nodes()
        return (self.centre_m[0] + (u - 0.5) * self.size_m,
                self.centre_m[1] - (v - 0.5) * self.size_m)

    def geodetic_nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (latitude, longitude), each (5, 5) degrees, at `unit_nodes`."""
        return self.frame.geodetic_from_map(*self.map_nodes())

    def geodetic_centre(self) -> tuple[float, float]:
        """Return (latitude, longitude) of the centre in degrees."""
        centre = self.frame.geodetic_from_map(*self.centre_m)
        require_geodetic(*centre)
        return centre

    def reaches(self, bounds: tuple[float, ...]) -> bool:
        """Return whether some of it lies within west, south, east and north in degrees."""
        west, south, east, north = bounds
        latitudes, longitudes = self.geodetic_nodes()
        across = (longitudes - west) % 360 <= ((east - west) % 360 or 360)
        return bool(latitudes.max() >= south and latitudes.min() <= north and across.any())


@dataclass(frozen=True)
class AerialPatch:
    """
    A square, north-up aerial image in the axes of a map frame.

    :param image: (H, H, 3) uint8 RGB; pixels without imagery are black.
    :param view: the square of ground that it shows, outer edge to outer edge.
    :param valid: (H, H) bool, False where there is no imagery; None means valid everywhere.
    :param source: name of the source, or of several, as it is shown.
    :param vintage: when the imagery was taken, in the source's words; '' if that is not known.
    :param attribution: whom to name where the imagery is shown.
    :param native_resolution_m: metres on the ground per pixel of the imagery that the patch was
        made of, the coarsest if it is of several; None if that is not known.
    """

    image: np.ndarray
    view: PatchView
    valid: np.ndarray | None
    source: str
    vintage: str = ''
    attribution: str = ''
    native_resolution_m: float | None = None

    @property
    def resolution_m(self) -> float:
        """Metres per pixel."""
        return self.view.resolution_m

    @property
    def centre_m(self) -> tuple[float, float]:
        """Return (east, north) of its centre in the map frame."""
        return self.view.centre_m

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
        if not self.valid.any():
            return other
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
        half_px = self.view.size_px / 2
        return (self.centre_m[0] + (np.asarray(column, float) - half_px) * self.resolution_m,
                self.centre_m[1] - (np.asarray(row, float) - half_px) * self.resolution_m)

    def pixel_from_map(self, east_m, north_m):
        """Return continuous (column, row) of map points: the inverse of `map_from_pixel`."""
        half_px = self.view.size_px / 2
        east_0, north_0 = self.centre_m
        return (half_px + (np.asarray(east_m, float) - east_0) / self.resolution_m,
                half_px - (np.asarray(north_m, float) - north_0) / self.resolution_m)


class Imagery(Protocol):
    """
    A source of aerial patches; every method may be called from any thread.

    Sources with nothing to fetch and to close inherit from it.
    """

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a north-up patch in the axes of a map frame.

        Pixel (i, j)'s centre lies at ``east = centre_e + ((j + .5) / size_px - .5) * size_m``,
        ``north = centre_n - ((i + .5) / size_px - .5) * size_m``.

        :param view: the square of ground to show.
        :param wait_s: longest time to wait for imagery that is not there yet.
        :raises ImageryNotReady: if it is still being fetched after ``wait_s``.
        :raises ImageryError: if it cannot be had, or more than half of it is missing.
        """

    def request(self, view: PatchView) -> None:
        """
        Start fetching what such a patch needs and return at once; `status` says how it goes.

        Sources that have nothing to fetch inherit this, which does nothing.

        :raises ImageryError: if there can be none, so that another source is asked.
        """
        return None

    def close(self) -> None:
        """Stop the background work and wait for it; the source cannot be used any more."""
        return None

    def status(self) -> ImageryStatus:
        """Return how it does, at once."""


class NoImagery(Imagery):
    """Imagery that is nowhere."""

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return nothing.

        :raises ImageryError: always.
        """
        raise ImageryError('no aerial imagery was given; `open_imagery` opens some')

    def status(self) -> ImageryStatus:
        """Return that nothing happened."""
        return ImageryStatus('no imagery')


def partial_patch(imagery: Imagery, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
    """
    Return what there is of a patch, even if that is less than half.

    :raises ImageryError: if there is nothing; see `Imagery.patch`.
    """
    try:
        return imagery.patch(view, wait_s)
    except ImageryGaps as gaps:
        return gaps.patch


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


def require_within(view: PatchView, bounds: tuple[float, ...] | None, source: str) -> None:
    """
    Accept a view that shows something of the ground within a source's bounds.

    :param bounds: west, south, east, north in degrees; None if they are not known.
    :raises ImageryError: if it does not, with the source.
    """
    if bounds is not None and not view.reaches(bounds):
        raise ImageryError(f'{source} has no imagery here: {OUTSIDE}')


def _joined(first: str, second: str) -> str:
    return ' + '.join(dict.fromkeys(part for part in (first, second) if part))
