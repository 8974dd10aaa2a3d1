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

"""Aerial patches from a tile pyramid: which tiles they need and how they are put together."""

from __future__ import annotations

from dataclasses import replace
import logging
import math
from pathlib import Path
import time
from typing import Any

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.cache.cache import CacheError, TileCache
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import (
    AerialPatch, ImageryError, ImageryNotReady, require_enough, require_fine_enough)
from fg2_ros.imagery.resample import PatchView
from fg2_ros.imagery.server.fetcher import TileFetcher
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.tiles.address import TileSource
from fg2_ros.imagery.tiles.mosaic import (
    best_zoom, Footprint, footprint, patch_from_tiles, zooms_to_try)

_OUTSIDE = 'the place is outside its bounds'
_logger = logging.getLogger(__name__)


class TileImagery:
    """
    Patches of a Web Mercator tile pyramid; implements `fg2_ros.imagery.patch.Imagery`.

    Tiles are fetched by background threads and kept in memory and, if wished, on disk. Where a
    place has less than half of the tiles at the zoom wanted, coarser ones serve.

    :param source: the tile pyramid; a URL template is short for a `TileSource` of it.
    :param cache_path: MBTiles file for the disk cache; None for none. If it cannot be used, that
        is logged and `stats` says so.
    :param cache_bytes: bound of that file's size.
    :param memory_bytes: bound of the decoded tiles in memory.
    :param http: time-outs, limits and who we say we are.
    :param coarsest_m: imagery with more metres per pixel is not fetched.
    :param options: further ones of `TileSource`, beside a template.
    :raises ValueError: if no tile can be asked for in this way.
    """

    def __init__(self, source: TileSource | str, cache_path: str | Path | None = None,
                 cache_bytes: int = 500_000_000, *, memory_bytes: int = 96_000_000,
                 http: HttpSettings | None = None, coarsest_m: float = math.inf,
                 **options: Any):
        """Start the background threads; nothing is fetched yet."""
        self.source = TileSource(source, **options) if isinstance(source, str) else source
        self._coarsest_m = coarsest_m
        self._most_tiles = memory_bytes // (3 * self.source.tile_px ** 2) // 2
        if self._most_tiles < 4:
            raise ValueError(f'{memory_bytes} bytes of memory are too few for a patch of tiles')
        self._notices = LogThrottle(_logger)
        self._coarser = 0  # zooms below the wanted one that the last patch was found at
        self._cache_state = 'none'
        cache = self._open_cache(cache_path, cache_bytes) if cache_path else None
        self._fetcher = TileFetcher(self.source, http or HttpSettings(), cache, memory_bytes)

    @property
    def name(self) -> str:
        """Return what messages call the source."""
        return self.source.name

    def patch(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
              size_px: int, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`.

        :raises ImageryNotReady: if tiles are still being fetched after ``wait_s``.
        :raises ImageryError: if more than half of the patch cannot be had.
        :raises ValueError: if the patch asked for makes no sense.
        """
        view = PatchView(frame, centre_m, size_m, size_px)
        deadline = time.monotonic() + wait_s
        zooms, problems = zooms_to_try(view, self.source), []
        for zoom in zooms:
            try:
                patch = self._patch_at(view, zoom, max(0.0, deadline - time.monotonic()))
            except ImageryNotReady:
                raise
            except ImageryError as problem:
                problems.append(problem)  # while the server fails the cache may have coarser ones
                continue
            self._coarser = zooms[0] - zoom
            return patch
        raise problems[0]

    def _patch_at(self, view: PatchView, zoom: int, wait_s: float) -> AerialPatch:
        needed = self._plan(view, zoom)
        lookup = self._fetcher.get(needed.addresses, wait_s)
        if lookup.pending:
            raise ImageryNotReady(f'{lookup.pending} of {len(needed.addresses)} tiles of '
                                  f'{self.name} are still being fetched')
        if not lookup.tiles:
            raise ImageryError(f'{lookup.problem}: there are no tiles for the aerial patch')
        image, valid = patch_from_tiles(
            needed, lookup.tiles, self.source.tile_px, view.size_px)
        return require_enough(AerialPatch(
            image, view.frame, tuple(view.centre_m), view.size_m, valid, self.name,
            self.source.vintage, self.source.attribution, self._resolution_m(view, zoom)),
            lookup.problem or _OUTSIDE)

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """Start fetching what such a patch needs and return at once; see `Imagery.request`."""
        view = PatchView(frame, centre_m, size_m, size_px)
        zoom = max(best_zoom(view, self.source) - self._coarser, self.source.min_zoom)
        self._fetcher.request(self._plan(view, zoom).addresses)

    def close(self) -> None:
        """Break off what is under way, end the threads and close the cache."""
        self._fetcher.close()

    def stats(self) -> dict:
        """
        Return counters for diagnostics.

        Beside those of `Imagery.stats`: ``source`` (name), ``cache`` (its path, 'none', or why it
        is off), ``disk_hits``, ``downloads``, ``downloaded_bytes``, ``absent``, ``memory_tiles``,
        ``stale`` (tiles of the last patch that are out of date and cannot be had anew).
        """
        return {'source': self.name, 'cache': self._cache_state, **self._fetcher.stats()}

    def _open_cache(self, path: str | Path, max_bytes: int) -> TileCache | None:
        try:
            cache = TileCache(
                path, max_bytes, self.source.public_template, self.source.attribution)
        except CacheError as error:
            _logger.warning('%s; tiles are kept in memory only', error)
            self._cache_state = f'off: {error}'
            return None
        self._cache_state = str(path)
        return cache

    def _plan(self, view: PatchView, zoom: int) -> Footprint:
        require_fine_enough(self._resolution_m(view, zoom), self._coarsest_m, self.name)
        needed = self._within_bounds(footprint(view, self.source, zoom))
        if not needed.addresses:
            raise ImageryError(f'{self.name} has no imagery here: {_OUTSIDE}')
        if len(needed.addresses) > self._most_tiles:
            sentence = (f'a patch of {view.size_m:g} m needs more than the {self._most_tiles} '
                        f'tiles of {self.name} that there is room for')
            self._notices.warn(sentence)  # who only requests it does not care for the error
            raise ImageryError(sentence)
        return needed

    def _resolution_m(self, view: PatchView, zoom: int) -> float:
        """Return the metres per pixel of the imagery in the tiles of a zoom, magnified or not."""
        latitude, _ = view.geodetic_centre()
        tiles_m = mercator.ground_resolution_m(latitude, zoom, self.source.tile_px)
        return max(tiles_m, self.source.resolution_m)

    def _within_bounds(self, needed: Footprint) -> Footprint:
        return replace(needed, tiles=[
            [tile if tile and self.source.covers(tile) else None for tile in row]
            for row in needed.tiles])
