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

"""Filling a tile cache before the drive, politely."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
import itertools
import logging
import math
import queue
import threading
import time
from traceback import format_tb
from typing import Literal

from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.server.backoff import Backoff
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.server.tile_server_client import TileServerClient
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import TileProblem
from fg2_ros.prefetch.plan import Plan

_ATTEMPTS = 4  # for a tile that fails while others come
_MOST_FAILURES = 16  # in a row, of whatever tiles: then the server is given up
_LOOK_AGAIN_S = 0.2
_SPREAD = 16  # tiles of a plan, far from each other, of which one may well be there
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TileOutcome:
    """
    What became of a tile.

    :param tile: its address.
    :param kind: 'fetched', 'current' (unchanged since it was fetched), 'absent' or 'failed'.
    :param size: bytes fetched.
    :param reason: why it failed.
    """

    tile: TileId
    kind: Literal['fetched', 'current', 'absent', 'failed']
    size: int = 0
    reason: str = ''


@dataclass
class Summary:
    """What became of many tiles: how many of each kind, and why some failed."""

    fetched: int = 0
    current: int = 0
    absent: int = 0
    failed: int = 0
    fetched_bytes: int = 0
    reasons: Counter = field(default_factory=Counter)

    @property
    def tried(self) -> int:
        """Return how many tiles there are."""
        return self.fetched + self.current + self.absent + self.failed

    def add(self, outcome: TileOutcome) -> None:
        """Count a tile."""
        setattr(self, outcome.kind, getattr(self, outcome.kind) + 1)
        self.fetched_bytes += outcome.size
        if outcome.reason:
            self.reasons[outcome.reason] += 1


class Prefetch:
    """
    Fetches tiles into a cache; use as a context manager, so that it ends with what it is at.

    As many tiles are fetched at a time as there may be connections. While the server fails it is
    left alone, for as long as it asks; once it has failed many times in a row it is given up.
    Several may fill one cache at the same time: each tile is fetched by one of them.

    :param source: where the tiles come from.
    :param http: how its server is treated.
    :param cache: where they are kept; not closed.
    """

    def __init__(self, source: TileSource, http: HttpSettings, cache: TileCache):
        self.gave_up = ''  # why the rest was not tried
        self.tile_px = 0  # side of the first tile that came, whatever was said of it
        self._name = source.name
        self._cache = cache
        self._workers = http.connections
        self._lease_s = http.total_timeout_s + 10.0
        self._spread: list[TileId] = []
        self._origin = TileServerClient(source, http, cache, lambda: self._spread)
        self._backoff = Backoff(http.backoff_s, http.max_backoff_s)
        self._notices = LogThrottle(_logger)
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards what follows
        self._tiles: Iterator[TileId] = iter(())
        self._elsewhere: deque[TileId] = deque()  # that another process is fetching
        self._failures = 0
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Prefetch:
        """Do nothing yet."""
        return self

    def __exit__(self, *_) -> None:
        """Break off what is under way and wait for the threads."""
        self._stopping.set()
        self._origin.close()
        for thread in self._threads:
            thread.join()

    def outcomes(self, plan: Plan) -> Iterator[TileOutcome]:
        """
        Fetch what a plan misses and yield what becomes of each tile, until it is given up.

        Of the tiles in the cache those of the plan are the last to make room for others.
        """
        self._cache.touch(plan.held_tiles())
        self._tiles = iter(plan)
        self._spread = list(itertools.islice(plan, 0, None, plan.to_fetch // _SPREAD + 1))
        results: queue.SimpleQueue[TileOutcome | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(results,), name=f'fg2 prefetch {i}')
            for i in range(self._workers)]
        for thread in self._threads:
            thread.start()
        working = self._workers
        while working:
            outcome = results.get()
            if outcome is None:
                working -= 1
            else:
                yield outcome
        if not self._stopping.is_set():
            self._origin.settle()

    def drop_rest(self) -> None:
        """Begin no further tile of the plan: its outcomes end with what is under way."""
        with self._lock:
            self._tiles = iter(())
            self._elsewhere.clear()

    def _work(self, results: queue.SimpleQueue) -> None:
        try:
            while not self._stopping.is_set():
                tile, is_again = self._next()
                if tile is None:
                    return
                if not self._cache.lease(tile, self._lease_s):
                    self._look_again_later(tile, is_again)
                    continue
                outcome = self._of_others(tile) or self._outcome(tile)
                self._cache.give_back(tile)
                if outcome is None:
                    return
                results.put(outcome)
        except Exception as error:
            # What an exception says may hold the address, and with it the API key.
            _logger.debug('%s', ''.join(format_tb(error.__traceback__)))
            self._give_up(f'{self._name}: {type(error).__name__} while a tile was handled')
        finally:
            results.put(None)

    def _next(self) -> tuple[TileId | None, bool]:
        """Return the next tile, and whether others were fetching it when it was its turn."""
        with self._lock:
            tile = next(self._tiles, None)
            if tile is None and self._elsewhere:
                return self._elsewhere.popleft(), True
            return tile, False

    def _look_again_later(self, tile: TileId, is_again: bool) -> None:
        with self._lock:
            self._elsewhere.append(tile)
        if is_again:  # nothing else is left to do
            self._stopping.wait(_LOOK_AGAIN_S)

    def _of_others(self, tile: TileId) -> TileOutcome | None:
        """Return the outcome of a tile that another process has fetched meanwhile."""
        known = self._cache.get(tile)
        if known is not None and known.expires > time.time():
            return TileOutcome(tile, 'current')
        return TileOutcome(tile, 'absent') if self._cache.get_absence(tile) else None

    def _outcome(self, tile: TileId) -> TileOutcome | None:
        """Return what becomes of a tile, after some attempts; None if it is broken off."""
        problem = None
        for _ in range(_ATTEMPTS):
            if self._stopping.wait(self._backoff.remaining_s()):
                return None
            began_s = time.monotonic()
            try:
                outcome = self._attempt(tile)
            except TileProblem as error:
                problem = error
                if problem.refused:  # others were asked for, too, before that was said
                    self._give_up(f'{self._name} {problem}')
                    break
                self._note_failure(began_s, problem)
            else:
                self._note_success()
                return outcome
        return TileOutcome(tile, 'failed', reason=f'{self._name} {problem}')

    def _attempt(self, tile: TileId) -> TileOutcome:
        known = self._cache.get(tile)
        try:
            fetched = self._origin.fetch(tile, *((known.etag, known.modified) if known else ()))
        except TileProblem as problem:
            if not problem.absent:
                raise
            self._origin.keep_absence(tile, problem)
            return TileOutcome(tile, 'absent')
        if not fetched.download.may_store:
            self._give_up(f'{self._name} forbids to keep its tiles (Cache-Control: no-store)')
            return TileOutcome(tile, 'failed', reason='not to be kept')
        if fetched.image is not None:
            self.tile_px = self.tile_px or len(fetched.image)
        self._origin.keep(tile, fetched)
        if not self._cache.status.is_sound:
            self._give_up(f'the tile cache {self._cache.status}')
        if fetched.download.data is None:
            return TileOutcome(tile, 'current')
        return TileOutcome(tile, 'fetched', len(fetched.download.data))

    def _note_success(self) -> None:
        self._backoff.succeeded()
        with self._lock:
            self._failures = 0

    def _note_failure(self, began_s: float, problem: TileProblem) -> None:
        if self._stopping.is_set():
            return
        self._backoff.failed(began_s, problem.retry_after_s)
        self._notices.warn(f'{self._name} {problem}: it is left alone for '
                           f'{math.ceil(self._backoff.remaining_s())} s')
        with self._lock:
            self._failures += 1
            hopeless = self._failures >= _MOST_FAILURES
        if hopeless:
            self._give_up(f'{self._name} {problem}, {_MOST_FAILURES} times in a row')

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self.gave_up = self.gave_up or reason
        self._stopping.set()
