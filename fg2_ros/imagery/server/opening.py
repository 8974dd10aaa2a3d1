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

"""Tile servers as imagery, with a cache on disk if wished."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from fg2_ros.imagery.cache.cache import CacheError, TileCache
from fg2_ros.imagery.server.fetcher import TileFetcher
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.status import CacheStatus
from fg2_ros.imagery.tiles.address import TileSource
from fg2_ros.imagery.tiles.pyramid import TileImagery

_logger = logging.getLogger(__name__)


def open_server(source: TileSource | str, cache_path: str | Path | None = None,
                cache_bytes: int = 500_000_000, *, memory_bytes: int = 96_000_000,
                http: HttpSettings | None = None, coarsest_m: float = math.inf,
                **options: Any) -> TileImagery:
    """
    Return the imagery of a tile server; nothing is fetched yet.

    Tiles are fetched by background threads and kept in memory and, if wished, on disk.

    :param source: the tile pyramid; a URL template is short for a `TileSource` of it.
    :param cache_path: MBTiles file for the disk cache; None for none. If it cannot be used, that
        is logged and the status says so.
    :param cache_bytes: bound of that file's size.
    :param memory_bytes: bound of the decoded tiles in memory.
    :param http: time-outs, limits and who we say we are.
    :param coarsest_m: imagery with more metres per pixel is not fetched.
    :param options: further ones of `TileSource`, beside a template.
    :raises ValueError: if no tile can be asked for in this way.
    """
    source = TileSource(source, **options) if isinstance(source, str) else source
    cache = _open_cache(source, Path(cache_path), cache_bytes) if cache_path else None
    return TileImagery(
        TileFetcher(source, http or HttpSettings(), cache, memory_bytes), coarsest_m)


def _open_cache(source: TileSource, path: Path, max_bytes: int) -> TileCache | CacheStatus:
    """Return a cache, or why there is none."""
    try:
        return TileCache(path, max_bytes, source.public_template, source.attribution)
    except CacheError as error:
        _logger.warning('%s; tiles are kept in memory only', error)
        return CacheStatus(path, is_open=False, obstacle=str(error))
