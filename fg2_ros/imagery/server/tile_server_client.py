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

"""A tile fetched from its server, checked, and kept with its age."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
import threading
import time

from fg2_ros.imagery.cache.cache import CachedAbsence, TileCache
from fg2_ros.imagery.server.downloader import Download, Downloader
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.server.refusals import Refusals
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import decode_tile, TileProblem
import numpy as np

_FRESH_S = 7 * 86400.0  # for servers that do not say how long a tile may be used
_ABSENT_AT_MOST_S = 7 * 86400.0
_UNCERTAIN_AT_MOST = 4096


@dataclass(frozen=True)
class Fetched:
    """
    A tile that came from its server.

    :param image: as `decode_tile` returns it; None if the copy we have is the current one.
    :param download: what the server answered.
    :param expires: Unix time from which it should be asked again.
    """

    image: np.ndarray | None
    download: Download
    expires: float


class TileServerClient:
    """
    The server of a tile source, and the rules for keeping what it sends.

    :param source: the tile pyramid.
    :param settings: how its server is treated.
    :param cache: where tiles are kept, None for nowhere.
    :param wanted: returns tiles that are likely to be there, see `Refusals`.
    """

    def __init__(self, source: TileSource, settings: HttpSettings, cache: TileCache | None,
                 wanted: Callable[[], Iterable[TileId]] = tuple):
        self._source = source
        self._settings = settings
        self._cache = cache
        self._downloader = Downloader(source, settings)
        self._refusals = Refusals(self._comes, wanted, source.min_zoom)
        self._lock = threading.Lock()
        self._uncertain: dict[TileId, CachedAbsence] = {}  # refused since a tile came

    def fetch(self, tile: TileId, etag: str = '', modified: str = '') -> Fetched:
        """
        Return a tile that is sound, or that the copy we have is still the current one.

        :param etag: of that copy.
        :param modified: Last-Modified of that copy.
        :raises TileProblem: if it cannot be had.
        """
        try:
            return self._fetch(tile, etag, modified)
        except TileProblem as problem:
            if not problem.refused or problem.absent:
                raise
            if self._refusals.mean_absence(tile):
                raise TileProblem(str(problem), absent=True, refused=True,
                                  believe_s=problem.believe_s) from None
            raise TileProblem(self._to_everything(str(problem)), refused=True) from None

    def image(self, data: bytes) -> np.ndarray:
        """
        Return the image of an encoded tile; see `decode_tile`.

        :raises TileProblem: if it is not sound, or shows nothing.
        """
        return decode_tile(data, placeholders=self._settings.placeholders)

    def keep(self, tile: TileId, fetched: Fetched) -> None:
        """Write a tile into the cache, if there is one and the server allows it."""
        download = fetched.download
        if self._cache is None or not download.may_store:
            return
        if download.data is None:
            self._cache.refresh(tile, fetched.expires)
        else:
            self._cache.put(
                tile, download.data, download.etag, fetched.expires, download.modified)

    def keep_absence(self, tile: TileId, problem: TileProblem) -> float:
        """Write down that the source has no such tile; return for how many seconds it counts."""
        believed_s = self._settings.absent_s if problem.believe_s is None else problem.believe_s
        # Not so short that the same question is asked again and again.
        believed_s = min(max(believed_s, self._settings.max_backoff_s), _ABSENT_AT_MOST_S)
        absence = CachedAbsence(str(problem), time.time() + believed_s)
        if not problem.refused:
            self._write_absences({tile: absence})
            return believed_s
        with self._lock:
            self._uncertain[tile] = absence  # written when the next tile comes
            while len(self._uncertain) > _UNCERTAIN_AT_MOST:
                del self._uncertain[next(iter(self._uncertain))]
        return min(believed_s, self._settings.max_backoff_s)

    def settle(self) -> None:
        """Find out what is not certain yet about tiles that were refused."""
        self._refusals.settle()

    def close(self) -> None:
        """Break off what is under way and refuse to start anything new."""
        self._downloader.close()

    def _fetch(self, tile: TileId, etag: str, modified: str) -> Fetched:
        download = self._downloader.fetch(tile, etag, modified)
        if download.data is None and not (etag or modified):
            raise TileProblem('answered 304 without being asked')
        image = None if download.data is None else self.image(download.data)
        self._refusals.note_tile(tile)
        with self._lock:
            certain, self._uncertain = self._uncertain, {}
        self._write_absences(certain)
        fresh_s = _FRESH_S if download.fresh_s is None else download.fresh_s
        return Fetched(image, download, time.time() + fresh_s)

    def _comes(self, tile: TileId) -> bool:
        """
        Return whether a tile comes.

        :raises TileProblem: if the server fails.
        """
        try:
            self._fetch(tile, '', '')
        except TileProblem as problem:
            if problem.absent or problem.refused:
                return False
            raise
        return True

    def _write_absences(self, absences: dict[TileId, CachedAbsence]) -> None:
        for tile, absence in absences.items():
            if self._cache is not None:
                self._cache.put_absence(tile, absence)

    def _to_everything(self, what: str) -> str:
        """Return what is said of a server that refuses everything."""
        if what not in ('answered 401', 'answered 403'):
            return f'{what}, to whatever is asked for'
        if self._source.secrets():
            return f'{what} to everything: the API key is wrong, or not valid for this'
        return f'{what} to everything: it wants an API key or a login, or has nothing here'
