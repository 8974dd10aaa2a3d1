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

"""A tile as its server has it now: fetched, checked, and kept with what is known of its age."""

from __future__ import annotations

from dataclasses import dataclass
import time

from fg2_ros.imagery.cache.cache import CachedAbsence, TileCache
from fg2_ros.imagery.server.http_client import Download, Downloader, HttpSettings
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import decode_tile, TileProblem
import numpy as np

_FRESH_S = 7 * 86400.0  # for servers that do not say how long a tile may be used
_ABSENT_AT_MOST_S = 7 * 86400.0


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
    """

    def __init__(self, source: TileSource, settings: HttpSettings, cache: TileCache | None):
        self._source = source
        self._settings = settings
        self._cache = cache
        self._downloader = Downloader(source, settings)

    def fetch(self, tile: TileId, etag: str = '', modified: str = '') -> Fetched:
        """
        Return a tile that is sound, or that the copy we have is still the current one.

        :param etag: of that copy.
        :param modified: Last-Modified of that copy.
        :raises TileProblem: if it cannot be had.
        """
        download = self._downloader.fetch(tile, etag, modified)
        if download.data is None and not (etag or modified):
            raise TileProblem('answered 304 without being asked')
        image = None if download.data is None else self.image(download.data)
        fresh_s = _FRESH_S if download.fresh_s is None else download.fresh_s
        return Fetched(image, download, time.time() + fresh_s)

    def image(self, data: bytes) -> np.ndarray:
        """
        Return the image of an encoded tile; see `decode_tile`.

        :raises TileProblem: if it is not sound, or shows nothing.
        """
        return decode_tile(data, self._source.tile_px, self._settings.placeholders)

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
        if self._cache is not None:
            self._cache.put_absence(tile, CachedAbsence(str(problem), time.time() + believed_s))
        return believed_s

    def close(self) -> None:
        """Break off what is under way and refuse to start anything new."""
        self._downloader.close()
