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

"""Fetching tiles into memory, from the disk cache or the server, in background threads."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
import logging
import math
import threading
import time
from traceback import format_tb
from typing import Any

from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.patch import Label
from fg2_ros.imagery.server.backoff import Backoff
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.server.tile_server_client import TileServerClient
from fg2_ros.imagery.server.workers import TileWorkers
from fg2_ros.imagery.status import CacheStatus, ImageryStatus
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import scaled_tile, TileProblem
from fg2_ros.imagery.tiles.memory import TileMemory
from fg2_ros.imagery.tiles.store import Lookup, TileLayout
import numpy as np

_ABSENCE_REPEATED_S = 600.0  # in the log; at the edge of a source it is nothing special
_FAILURES_REMEMBERED = 4096
_JOIN_S = 2.0
_WANTED_S = 4.0  # a tile nobody asked for again for so long, while others were, is given up
_NEWEST_SHARE = 0.2  # of the last download in the time that one usually takes
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Decoded:
    image: np.ndarray
    etag: str
    expires: float  # Unix time
    modified: str


@dataclass(frozen=True)
class _Wish:
    """Why a tile is pending; the smallest rank is the most urgent."""

    rank: tuple[int, int, int]  # coarse zooms first (few tiles, of use for long), then the newest
    asked_s: float  # monotonic


@dataclass(frozen=True)
class _Failure:
    sentence: str
    until_s: float  # monotonic; until then the tile is not tried again
    count: int  # of its own attempts that failed in a row, other tiles' not counted


class TileFetcher:
    """
    The tiles of one source in memory, and the threads that bring them there; a `TileStore`.

    :param source: the tile pyramid.
    :param settings: how its server is treated.
    :param cache: the disk cache, closed with the store; or why there is none; None for none.
    :param memory_bytes: bound of the decoded tiles kept in memory.
    :raises ValueError: if they are too few.
    """

    def __init__(self, source: TileSource, settings: HttpSettings,
                 cache: TileCache | CacheStatus | None, memory_bytes: int):
        """Start the threads."""
        self.source = source
        self.label = Label(source.name, source.vintage, source.attribution)
        self.patch_bytes = memory_bytes // 2  # the other half is for what is fetched ahead
        if self.patch_bytes < 4 * 3 * source.tile_px ** 2:
            raise ValueError(f'{memory_bytes} bytes of memory are too few for a patch of tiles')
        self._settings = settings
        self._lost_cache = (cache,) if isinstance(cache, CacheStatus) else ()
        cache = cache if isinstance(cache, TileCache) else None
        self._client = TileServerClient(source, settings, cache, self._wanted)
        self._backoff = Backoff(settings.backoff_s, settings.max_backoff_s)
        self._notices = LogThrottle(_logger)
        self._absences = LogThrottle(_logger, _ABSENCE_REPEATED_S)
        self._cache = cache
        self._memory: TileMemory[_Decoded] = TileMemory(memory_bytes)
        self._requests = 0
        self._pending: dict[TileId, _Wish] = {}
        self._awaited: Counter[TileId] = Counter()  # by those who wait in `get`
        self._under_way: dict[TileId, float] = {}  # when each download began, monotonic
        self._download_s = 0.0  # that a tile usually takes
        self._failures: OrderedDict[TileId, _Failure] = OrderedDict()
        self._counters: dict[str, Any] = dict.fromkeys(
            ('hits', 'misses', 'disk_hits', 'downloads', 'downloaded_bytes', 'absent', 'errors'),
            0)
        self._last_error = ''
        self._stale = 0
        self._tile_px = source.tile_px
        self._has_seen_size = source.asks_for_size
        self._closed = False
        self._settled = threading.Condition()  # guards all of the above; told when tiles settle
        self._disk = TileWorkers(
            'fg2 tile cache', 1, self._guarded(partial(self._look_on_disk, cache)),
            self._rank) if cache else None
        self._network = TileWorkers(
            'fg2 tile download', settings.connections, self._guarded(self._download), self._rank)

    def layout(self) -> TileLayout:
        """Return what the source has, with the size of its tiles as they are seen to be."""
        return replace(self.source.layout, tile_px=self._tile_px)

    def get(self, tiles: Iterable[TileId], tile_px: int, wait_s: float = 0.0) -> Lookup:
        """Return what there is of some tiles, after at most ``wait_s``; fetch what is missing."""
        wanted = list(filter(self.source.covers, tiles))
        self._fetch(wanted)
        with self._settled:
            self._counters['hits'] += sum(tile in self._memory for tile in wanted)
            if wait_s > 0:
                self._awaited.update(wanted)
                self._settled.wait_for(lambda: not self._waiting(wanted), wait_s)
                self._awaited -= Counter(wanted)
            self._stale = sum(map(self._is_stale, wanted))
            return self._lookup(wanted, tile_px)

    def request(self, tiles: Iterable[TileId]) -> None:
        """
        Start to fetch those of some tiles that are missing or out of date.

        They go before all that was asked for earlier (the vehicle has left those places), in the
        order in which they are given.
        """
        self._fetch(filter(self.source.covers, tiles))

    def lacks(self, tiles: Iterable[TileId]) -> int:
        """Return how many of some tiles would have to be fetched; see `TileStore.lacks`."""
        wanted = filter(self.source.covers, tiles)
        with self._settled:
            return sum(tile not in self._memory and tile not in self._failures for tile in wanted)

    @property
    def tile_s(self) -> float:
        """Return the seconds in which one more tile comes, as far as is known."""
        with self._settled:
            began_s = min(self._under_way.values(), default=math.inf)
            waited_s = max(0.0, time.monotonic() - began_s)
            return max(self._download_s, waited_s) / self._settings.connections

    def _fetch(self, tiles: Iterable[TileId]) -> None:
        with self._settled:
            if self._closed:
                return
            self._requests += 1
            missing, now_s = [], time.monotonic()
            for i, tile in enumerate(tiles):
                if tile not in self._pending and self._worth_fetching(tile):
                    missing.append(tile)
                if tile in self._pending or tile in missing[-1:]:
                    self._pending[tile] = _Wish((tile.zoom, -self._requests, i), now_s)
            stale = [tile for tile, wish in self._pending.items()
                     if now_s - wish.asked_s > _WANTED_S and not self._awaited[tile]]
        for each in (self._disk, self._network):
            if each and stale:
                self._give_up(each.drop(stale))
        absent = [tile for tile in missing if tile not in self._memory]
        outdated = [tile for tile in missing if tile in self._memory]
        self._give_up((self._disk or self._network).push(absent))
        self._give_up(self._network.push(outdated))

    def close(self) -> None:
        """Break off downloads, end the threads and close the cache."""
        with self._settled:
            self._closed = True
            self._pending.clear()
            self._settled.notify_all()
        workers = [each for each in (self._disk, self._network) if each]
        for each in workers:
            each.stop()
        self._client.close()
        ended = [each.join(_JOIN_S) for each in workers]
        if not all(ended):
            _logger.warning('a download from %s is still ending', self.source.name)
        if self._cache:
            self._cache.close()

    def status(self) -> ImageryStatus:
        """Return how it does, a consistent copy."""
        caches = (self._cache.status,) if self._cache else self._lost_cache
        with self._settled:
            return ImageryStatus(
                self.source.name, **self._counters, pending=len(self._pending),
                memory_tiles=len(self._memory), stale=self._stale,
                offline=self._backoff.failing, last_error=self._last_error, caches=caches)

    def _rank(self, tile: TileId) -> tuple[int, int, int]:
        wish = self._pending.get(tile)
        return wish.rank if wish else (tile.zoom, 0, 0)  # the least urgent if nobody waits for it

    def _worth_fetching(self, tile: TileId) -> bool:
        failure = self._failures.get(tile)
        if failure and failure.until_s > time.monotonic():
            return False
        known = self._memory.get(tile)
        return known is None or known.expires < time.time()

    def _is_stale(self, tile: TileId) -> bool:
        """Return whether a tile is used although it is out of date and cannot be had anew."""
        known = self._memory.get(tile)
        return known is not None and tile in self._failures and known.expires < time.time()

    def _waiting(self, tiles: list[TileId]) -> int:
        return sum(tile in self._pending and tile not in self._memory for tile in tiles)

    def _wanted(self) -> list[TileId]:
        """Return the tiles that are being fetched, the most urgent first."""
        with self._settled:
            return sorted(self._pending, key=self._rank)

    def _lookup(self, wanted: list[TileId], tile_px: int) -> Lookup:
        found = {}
        problem = f'{self.source.name} is closed' if self._closed else ''
        for tile in wanted:
            if tile in self._memory:
                found[tile] = scaled_tile(self._memory.use(tile).image, tile_px)
            elif tile in self._failures:
                problem = problem or self._failures[tile].sentence
        # A failure stands, also while the tile is tried once more, until there is better news.
        pending = sum(tile not in found and tile not in self._failures for tile in wanted)
        return Lookup(found, 0 if self._closed else pending, problem)

    def _guarded(self, handle: Callable[[TileId], None]) -> Callable[[TileId], None]:
        """Return what handles a tile so that an accident does not leave it pending for ever."""
        def handle_or_fail(tile: TileId) -> None:
            try:
                handle(tile)
            except Exception as error:
                # What an exception says may hold the address, and with it the API key.
                sentence = f'{self.source.name}: {type(error).__name__} while a tile was handled'
                self._note_error(sentence)
                _logger.debug('%s', ''.join(format_tb(error.__traceback__)))
                self._fail([tile], sentence, self._pause_of(tile), tried=1)

        return handle_or_fail

    def _look_on_disk(self, cache: TileCache, tile: TileId) -> None:
        found = self._take_from_disk(cache, tile)
        absence = cache.get_absence(tile)
        if absence is not None:
            with self._settled:
                self._counters['absent'] += not found
            self._fail([tile], f'{self.source.name} {absence.what}',
                       absence.expires - time.time())
        elif not found:
            self._give_up(self._network.push([tile]))

    def _take_from_disk(self, cache: TileCache, tile: TileId) -> bool:
        cached = cache.get(tile)
        if cached is None:
            return False
        try:
            image = self._client.image(cached.data)
        except TileProblem:
            cache.remove(tile)
            return False
        self._keep(tile, _Decoded(image, cached.etag, cached.expires, cached.modified),
                   'disk_hits')
        return True

    def _download(self, tile: TileId) -> None:
        pause_s = self._backoff.remaining_s()
        if pause_s > 0:
            self._fail([tile], self._last_error, pause_s)
            return
        began_s = time.monotonic()
        with self._settled:
            self._under_way[tile] = began_s
            known = self._memory.get(tile)
            self._counters['misses'] += known is None
        try:
            fetched = self._client.fetch(
                tile, *((known.etag, known.modified) if known else ()))
        except TileProblem as problem:
            self._handle_problem(tile, problem, began_s)
            return
        self._server_works()
        took_s = time.monotonic() - began_s
        self._download_s += (took_s - self._download_s) * (
            _NEWEST_SHARE if self._download_s else 1.0)
        download = fetched.download
        expires = max(fetched.expires, time.time() + self._settings.revalidate_s)
        if fetched.image is not None:
            decoded = _Decoded(fetched.image, download.etag, expires, download.modified)
        else:
            assert known is not None  # only of a tile that we have a server says "unchanged"
            decoded = replace(known, expires=expires)
        self._keep(tile, decoded, 'downloads', len(download.data or b''))
        self._client.keep(tile, fetched)

    def _keep(self, tile: TileId, decoded: _Decoded, counter: str, size: int = 0) -> None:
        self._see_size(len(decoded.image))
        with self._settled:
            self._memory.put(tile, decoded)
            self._failures.pop(tile, None)
            self._counters[counter] += 1
            self._counters['downloaded_bytes'] += size
            self._settle([tile])

    def _see_size(self, tile_px: int) -> None:
        """Go by the size that the first tile has, whatever was said of it."""
        if self._has_seen_size:
            return
        self._has_seen_size = True
        if tile_px != self._tile_px:
            _logger.warning(
                '%s has tiles of %d pixels, not of %d as was said (tile_px): they are used as what'
                ' they are', self.source.name, tile_px, self._tile_px)
            self._tile_px = tile_px

    def _handle_problem(self, tile: TileId, problem: TileProblem, began_s: float) -> None:
        sentence = f'{self.source.name} {problem}'
        if problem.absent:
            self._server_works()
            self._note_absence(tile, problem)
            return
        if self._closed:
            return
        self._note_error(sentence)
        self._backoff.failed(began_s, problem.retry_after_s)
        pause_s = self._backoff.remaining_s()
        # The others would only run into the same wall: let them know at once.
        self._fail(self._network.clear(), sentence, pause_s)
        self._fail([tile], sentence, max(pause_s, self._pause_of(tile)), tried=1)

    def _note_error(self, sentence: str) -> None:
        with self._settled:
            self._counters['errors'] += 1
            self._last_error = sentence
        self._notices.warn(sentence)

    def _note_absence(self, tile: TileId, problem: TileProblem) -> None:
        """Believe the server that it has nothing there, for a while; what we had stays in use."""
        sentence = f'{self.source.name} {problem}'
        with self._settled:
            self._counters['absent'] += 1
            self._last_error = sentence
        self._absences.warn(sentence)
        self._fail([tile], sentence, self._client.keep_absence(tile, problem))

    def _server_works(self) -> None:
        if not self._backoff.failing:
            return
        self._backoff.succeeded()
        _logger.info('%s answers again', self.source.name)
        with self._settled:  # those that were not even tried need not wait any longer
            for tile in [tile for tile, failure in self._failures.items() if not failure.count]:
                del self._failures[tile]

    def _pause_of(self, tile: TileId) -> float:
        """Return the pause for a tile that fails on its own while the others come."""
        with self._settled:
            count = self._failures[tile].count if tile in self._failures else 0
            return self._settings.backoff_s * 2.0 ** min(count, 9)

    def _fail(self, tiles: list[TileId], sentence: str, pause_s: float, tried: int = 0) -> None:
        """Settle tiles as not to be had for a while; ``tried`` counts their own failures."""
        with self._settled:
            for tile in tiles:
                previous = self._failures.pop(tile, None)
                count = (previous.count if previous else 0) + tried
                self._failures[tile] = _Failure(sentence, time.monotonic() + pause_s, count)
            while len(self._failures) > _FAILURES_REMEMBERED:
                self._failures.popitem(last=False)
            self._settle(tiles)

    def _give_up(self, tiles: list[TileId]) -> None:
        with self._settled:
            self._settle(tiles)

    def _settle(self, tiles: Iterable[TileId]) -> None:
        for tile in tiles:
            self._pending.pop(tile, None)
            self._under_way.pop(tile, None)
        self._settled.notify_all()
