"""Aerial patches from a tile pyramid: which tiles they need and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass
import logging
from pathlib import Path

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.cache import CacheError, TileCache
from fg2_ros.imagery.download import HttpSettings
from fg2_ros.imagery.fetcher import TileFetcher
from fg2_ros.imagery.patch import AerialPatch, ImageryError, ImageryNotReady, require_enough
from fg2_ros.imagery.resample import PatchView, Pyramid, spread
from fg2_ros.imagery.sources import TileId, TileSource
import numpy as np

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Footprint:
    """
    The tiles that a patch needs, and where it lies in their mosaic.

    :param tiles: (rows, columns) of tile addresses, north-west first; None beyond the poles' ends
        of the pyramid.
    :param x_nodes: (5, 5) mosaic columns at `resample.unit_nodes`.
    :param y_nodes: (5, 5) mosaic rows.
    """

    tiles: list[list[TileId | None]]
    x_nodes: np.ndarray
    y_nodes: np.ndarray

    @property
    def addresses(self) -> list[TileId]:
        """All tiles there are, row by row."""
        return [tile for row in self.tiles for tile in row if tile is not None]


def footprint(view: PatchView, source: TileSource) -> Footprint:
    """
    Return the tiles that a patch needs at the coarsest zoom that is fine enough.

    Where the source has none so fine, its finest is taken.

    :raises ImageryError: if the patch lies beyond the Mercator limit.
    """
    latitude, longitude = view.geodetic_centre()
    latitudes, longitudes = view.geodetic_nodes()
    if np.abs(latitudes).max() > mercator.MAX_LATITUDE_DEG:
        raise ImageryError(f'{source.name} ends at {mercator.MAX_LATITUDE_DEG:.4f} degrees of '
                           f'latitude: there are no tiles at {latitude:.4f}')
    zoom = mercator.zoom_for_resolution(latitude, view.resolution_m, source.tile_px)
    zoom = int(np.clip(zoom, source.min_zoom, source.max_zoom))
    x, y = mercator.world_pixel_from_geodetic(latitudes, longitudes, zoom, source.tile_px)
    centre_x, _ = mercator.world_pixel_from_geodetic(latitude, longitude, zoom, source.tile_px)
    world_px = source.tile_px * 2 ** zoom
    x = centre_x + (x - centre_x + world_px / 2) % world_px - world_px / 2  # across +-180 degrees
    columns, x_nodes = _tile_range(x, view.size_px, source.tile_px)
    rows, y_nodes = _tile_range(y, view.size_px, source.tile_px)
    return Footprint(
        [[TileId(zoom, column % 2 ** zoom, row) if 0 <= row < 2 ** zoom else None
          for column in columns] for row in rows], x_nodes, y_nodes)


class TileImagery:
    """
    Patches of a Web Mercator tile pyramid; implements `fg2_ros.imagery.patch.Imagery`.

    Tiles are fetched by background threads and kept in memory and, if wished, on disk.

    :param url_template: with ``{z}``, ``{x}``, ``{y}`` and, if the service wants one, ``{key}``.
    :param cache_path: MBTiles file for the disk cache; None for none. If it cannot be used, that
        is logged and `stats` says so.
    :param cache_bytes: bound of that file's size.
    :param name: what messages call the source; by default its host.
    :param key: API key put in the place of ``{key}``; never shown.
    :param tile_px: side of a tile in pixels, 256 or 512.
    :param min_zoom: coarsest zoom the source has.
    :param max_zoom: finest zoom the source has.
    :param memory_bytes: bound of the decoded tiles in memory.
    :param http: time-outs, limits and who we say we are.
    :raises ValueError: if no tile can be asked for in this way.
    """

    def __init__(self, url_template: str, cache_path: str | Path | None = None,
                 cache_bytes: int = 500_000_000, *, name: str = '', key: str = '',
                 tile_px: int = 256, min_zoom: int = 0, max_zoom: int = 19,
                 memory_bytes: int = 96_000_000, http: HttpSettings | None = None):
        """Start the background threads; nothing is fetched yet."""
        self.source = TileSource(url_template, name, key, tile_px, min_zoom, max_zoom)
        self._most_tiles = memory_bytes // (3 * tile_px ** 2) // 2
        if self._most_tiles < 4:
            raise ValueError(f'{memory_bytes} bytes of memory are too few for a patch of tiles')
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
        view, needed = self._plan(frame, centre_m, size_m, size_px)
        lookup = self._fetcher.get(needed.addresses, wait_s)
        if lookup.pending:
            raise ImageryNotReady(f'{lookup.pending} of {len(needed.addresses)} tiles of '
                                  f'{self.name} are still being fetched')
        if not lookup.tiles:
            raise ImageryError(f'{lookup.problem}: there are no tiles for the aerial patch')
        mosaic, valid = _mosaic(needed, lookup.tiles, self.source.tile_px)
        image, valid = Pyramid(mosaic, valid).warp(needed.x_nodes, needed.y_nodes, view.size_px)
        require_enough(valid, self.name, lookup.problem)
        return AerialPatch(image, frame, tuple(centre_m), size_m, valid, self.name)

    def request(self, frame: MapFrame, centre_m: tuple[float, float], size_m: float,
                size_px: int) -> None:
        """Start fetching what such a patch needs and return at once; see `Imagery.request`."""
        _, needed = self._plan(frame, centre_m, size_m, size_px)
        self._fetcher.request(needed.addresses)

    def close(self) -> None:
        """Break off what is under way, end the threads and close the cache."""
        self._fetcher.close()

    def stats(self) -> dict:
        """
        Return counters for diagnostics.

        Beside those of `Imagery.stats`: ``source`` (name), ``cache`` (its path, 'none', or why it
        is off), ``disk_hits``, ``downloads``, ``downloaded_bytes``, ``absent``, ``memory_tiles``.
        """
        return {'source': self.name, 'cache': self._cache_state, **self._fetcher.stats()}

    def _open_cache(self, path: str | Path, max_bytes: int) -> TileCache | None:
        try:
            cache = TileCache(path, max_bytes, self.source.public_template)
        except CacheError as error:
            _logger.warning('%s; tiles are kept in memory only', error)
            self._cache_state = f'off: {error}'
            return None
        self._cache_state = str(path)
        return cache

    def _plan(self, frame: MapFrame, centre_m, size_m: float,
              size_px: int) -> tuple[PatchView, Footprint]:
        view = PatchView(frame, centre_m, size_m, size_px)
        needed = footprint(view, self.source)
        if len(needed.addresses) > self._most_tiles:
            raise ValueError(f'a patch of {size_m} m needs {len(needed.addresses)} tiles of '
                             f'{self.name}, more than the {self._most_tiles} allowed')
        return view, needed


def _tile_range(world_px: np.ndarray, size_px: int, tile_px: int) -> tuple[range, np.ndarray]:
    """Return the tiles along an axis that a patch touches, and its nodes relative to them."""
    origin = np.floor(world_px.min())
    pixels = spread(world_px - origin, size_px)
    # One pixel around the outermost centres: interpolation and averaging look that far.
    reach = 1 + 2 * np.ptp(pixels) / size_px
    first = int((origin + pixels.min() - reach) // tile_px)
    last = int((origin + pixels.max() + reach) // tile_px)
    return range(first, last + 1), world_px - first * tile_px


def _mosaic(needed: Footprint, images: dict[TileId, np.ndarray],
            tile_px: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the tiles side by side, and 255 where there are any; None if they are complete."""
    shape = len(needed.tiles) * tile_px, len(needed.tiles[0]) * tile_px
    mosaic = np.zeros((*shape, 3), np.uint8)
    valid = np.zeros(shape, np.uint8)
    for i, row in enumerate(needed.tiles):
        for j, tile in enumerate(row):
            if tile in images:
                place = np.s_[i * tile_px:(i + 1) * tile_px, j * tile_px:(j + 1) * tile_px]
                mosaic[place] = images[tile]
                valid[place] = 255
    return mosaic, None if valid.all() else valid
