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

"""Aerial patches from a tile pyramid: choice of zoom, tiles and mosaic."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
import logging
import math
import time

from fg2_ros.geometry import mercator
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import (
    AerialPatch, FileProblem, ImageryError, ImageryNotReady, OUTSIDE, PatchView, require_enough,
    require_fine_enough, require_within)
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.tiles.mosaic import (
    best_zoom, Footprint, footprint, patch_from_tiles, zooms_to_try)
from fg2_ros.imagery.tiles.store import TileLayout, TileStore

_SLOW_S = 1.0  # imagery that comes later than that: coarser one is asked for, too
_OVERVIEW = 3.0  # times as wide as a patch is what is asked for at the coarsest of these zooms
_OUTRUN, _OUTRUN_S = 3, 10.0  # so many places in such a time whose imagery came too late
_logger = logging.getLogger(__name__)


class TileImagery:
    """
    Patches of a Web Mercator tile pyramid; implements `fg2_ros.imagery.patch.Imagery`.

    Where a place has less than half of the tiles at the zoom wanted, coarser ones serve. They do
    as well until the finer ones are there, and are asked for first, where the server is so slow
    that a vehicle would have to wait.

    :param store: the tiles; closed with the source.
    :param coarsest_m: imagery with more metres per pixel is not fetched.
    """

    def __init__(self, store: TileStore, coarsest_m: float = math.inf):
        """Take the tiles over; none is fetched yet."""
        self.store = store
        self._coarsest_m = coarsest_m
        self._notices = LogThrottle(_logger)
        self._layout: TileLayout | None = None  # of the last patch
        self._coarser = 0  # zooms below the wanted one that it was found at
        self._late: deque[tuple[float, tuple[float, float]]] = deque(maxlen=_OUTRUN)

    @property
    def name(self) -> str:
        """Return what messages call the source."""
        return self.store.label.name

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`.

        :raises ImageryNotReady: if tiles are still being fetched after ``wait_s``.
        :raises ImageryError: if more than half of the patch cannot be had.
        """
        deadline_s = time.monotonic() + wait_s
        layout = self.store.layout()
        patch = self._patch(view, layout, deadline_s)
        if (seen := self.store.layout()).tile_px != layout.tile_px:  # the first tiles told it
            patch = self._patch(view, seen, deadline_s)
        return patch

    def _patch(self, view: PatchView, layout: TileLayout, deadline_s: float) -> AerialPatch:
        self._layout = layout
        zooms, problems = zooms_to_try(view, layout), []
        for zoom in zooms:
            left_s = max(0.0, deadline_s - time.monotonic())
            try:
                patch = self._patch_at(view, layout, zoom, left_s)
            except ImageryNotReady as not_ready:
                self._note_late(view)
                return self._coarser_in_memory(view, layout, zoom, not_ready)
            except FileProblem:
                raise
            except ImageryError as problem:
                problems.append(problem)  # while a server fails its cache may have coarser ones
                continue
            self._coarser = zooms[0] - zoom
            return patch
        raise problems[0]

    def request(self, view: PatchView) -> None:
        """
        Start fetching what such a patch needs and return at once; see `Imagery.request`.

        :raises ImageryError: if the place is outside the pyramid, so that another is asked.
        """
        layout = self._layout or self.store.layout()
        require_within(view, layout.bounds, self.name)
        zoom = max(best_zoom(view, layout) - self._coarser, layout.min_zoom)
        needed = self._needed(view, layout, zoom).addresses
        self.store.request(needed)
        self._request_coarser(view, layout, zoom, self.store.lacks(needed), 0.0)

    def status(self) -> ImageryStatus:
        """Return how it does; see `Imagery.status`."""
        return self.store.status()

    def close(self) -> None:
        """Close the tiles."""
        self.store.close()

    def _patch_at(self, view: PatchView, layout: TileLayout, zoom: int,
                  wait_s: float) -> AerialPatch:
        needed = self._needed(view, layout, zoom)
        self._request_coarser(view, layout, zoom, self.store.lacks(needed.addresses), wait_s)
        lookup = self.store.get(needed.addresses, layout.tile_px, wait_s)
        if lookup.pending:
            raise ImageryNotReady(f'{lookup.pending} of {len(needed.addresses)} tiles of '
                                  f'{self.name} are still being fetched')
        if not lookup.tiles:
            raise ImageryError(f'{lookup.problem}: there are no tiles for the aerial patch'
                               if lookup.problem else
                               f'{self.name} has no imagery here: {OUTSIDE}')
        image, valid = patch_from_tiles(needed, lookup.tiles, layout.tile_px, view.size_px)
        label = self.store.label
        return require_enough(AerialPatch(
            image, view, valid, label.name, label.vintage, label.attribution,
            _resolution_m(view, layout, zoom)), lookup.problem or OUTSIDE)

    def _request_coarser(self, view: PatchView, layout: TileLayout, zoom: int, lacking: int,
                         wait_s: float) -> None:
        """Ask for coarser tiles if those that are lacking will come too late, or others did."""
        is_slow = lacking * self.store.tile_s > max(_SLOW_S, wait_s)
        zooms = self._coarser_zooms(view, layout, zoom) if is_slow or self._is_outrun() else []
        around = replace(view, size_m=_OVERVIEW * view.size_m)
        self.store.request([tile for each in zooms[-1:]
                            for tile in footprint(around, layout, each).addresses])
        for each in zooms if is_slow else zooms[-1:]:
            self.store.request(footprint(view, layout, each).addresses)

    def _note_late(self, view: PatchView) -> None:
        """Note that the imagery of a place was not there in time."""
        if not self._late or self._late[-1][1] != view.centre_m:
            self._late.append((time.monotonic(), view.centre_m))

    def _is_outrun(self) -> bool:
        """Return whether the vehicle has been at several places before their imagery was there."""
        return len(self._late) == _OUTRUN and time.monotonic() - self._late[0][0] < _OUTRUN_S

    def _coarser_in_memory(self, view: PatchView, layout: TileLayout, zoom: int,
                           not_ready: ImageryNotReady) -> AerialPatch:
        """Return the patch at the finest of the coarser zooms that is there, or raise."""
        for each in self._coarser_zooms(view, layout, zoom):
            if not self.store.lacks(self._needed(view, layout, each).addresses):
                try:
                    return self._patch_at(view, layout, each, 0.0)
                except ImageryError as problem:
                    _logger.debug('no coarser imagery meanwhile: %s', problem)
        raise not_ready

    def _coarser_zooms(self, view: PatchView, layout: TileLayout, zoom: int) -> list[int]:
        """Return the zooms that may serve until a zoom is there, the finest first."""
        return [each for each in zooms_to_try(view, layout)
                if each < zoom and _resolution_m(view, layout, each) <= self._coarsest_m]

    def _needed(self, view: PatchView, layout: TileLayout, zoom: int) -> Footprint:
        require_fine_enough(_resolution_m(view, layout, zoom), self._coarsest_m, self.name)
        needed = footprint(view, layout, zoom)
        most = self.store.patch_bytes // (3 * layout.tile_px ** 2)
        if len(needed.addresses) > most:
            sentence = (f'a patch of {view.size_m:g} m needs {len(needed.addresses)} tiles of '
                        f'{self.name}, more than the {most} that there is room for')
            self._notices.warn(sentence)  # who only requests it does not care for the error
            raise ImageryError(sentence)
        return needed


def _resolution_m(view: PatchView, layout: TileLayout, zoom: int) -> float:
    """Return the metres per pixel of the imagery in the tiles of a zoom, magnified or not."""
    latitude, _ = view.geodetic_centre()
    return max(mercator.ground_resolution_m(latitude, zoom, layout.tile_px), layout.resolution_m)
