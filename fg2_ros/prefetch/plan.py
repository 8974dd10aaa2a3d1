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

"""Plans: the tiles of a source that a route needs, and those that a cache lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
import itertools

from fg2_ros.geometry import mercator
from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex
from fg2_ros.imagery.tiles.address import TileId, TileLayout
from fg2_ros.prefetch.areas import require_few, TileArea, tiles_within
from fg2_ros.prefetch.routes import Route
import numpy as np

COARSER_ZOOMS = 3  # that `TileImagery` falls back on where a source has nothing
_USUAL_BYTES = {256: 20_000, 512: 70_000}  # of an orthophoto's tile as JPEG
_ENOUGH_TO_AVERAGE = 20


@dataclass(frozen=True)
class Plan:
    """
    The tiles that a route needs of a source, and what is to be done for them.

    :param areas: all of them, one area a zoom.
    :param missing: those to be fetched, or asked whether they are current.
    :param current: those that are in the cache and current.
    :param lacking: how many the source is known to lack.
    :param tile_bytes: what a tile takes, about.
    :param tile_px: side of a tile in pixels.
    """

    areas: tuple[TileArea, ...]
    missing: tuple[TileArea, ...]
    current: tuple[TileArea, ...]
    lacking: int
    tile_bytes: float
    tile_px: int = 256

    @property
    def zooms(self) -> list[int]:
        """Return the zooms, coarsest first."""
        return [area.zoom for area in self.areas]

    @property
    def tiles(self) -> int:
        """Return how many tiles the route needs."""
        return sum(map(len, self.areas))

    @property
    def held(self) -> int:
        """Return how many tiles are in the cache and current."""
        return sum(map(len, self.current))

    @property
    def to_fetch(self) -> int:
        """Return how many tiles are asked for."""
        return sum(map(len, self.missing))

    def __iter__(self) -> Iterator[TileId]:
        """Yield the tiles to be fetched."""
        return itertools.chain.from_iterable(self.missing)

    def held_tiles(self) -> Iterator[TileId]:
        """Yield the tiles that are in the cache and current."""
        return itertools.chain.from_iterable(self.current)

    def held_in(self, holdings: MbtilesIndex) -> int:
        """Return how many of the tiles a file holds, current or not."""
        return sum(int(np.isin(area.keys, holdings.at(area.zoom).keys).sum())
                   for area in self.areas)


def areas_for(route: Route, margin_m: float, resolution_m: float,
              layout: TileLayout) -> tuple[TileArea, ...]:
    """
    Return the tiles that patches of a resolution need within a margin around a route.

    Each place gets the zoom that `TileImagery` takes there: the coarsest that is fine enough. It
    changes with the latitude, so a long route may need several.

    :raises ValueError: if the route is too long or reaches where there are no tiles.
    """
    margin_deg = np.degrees(1.01 * margin_m / mercator.EARTH_RADIUS_M)
    south, north = route.latitudes_deg
    farthest = min(max(abs(south), abs(north)) + margin_deg, mercator.MAX_LATITUDE_DEG)
    nearest = 0.0 if south <= 0 <= north else max(0.0, min(abs(south), abs(north)) - margin_deg)
    coarsest, finest = (
        mercator.zoom_for_resolution(latitude, resolution_m, layout.tile_px)
        for latitude in (farthest, nearest))
    zooms = sorted({min(max(zoom, layout.min_zoom), layout.max_zoom)
                    for zoom in range(coarsest, finest + 1)})
    areas = [tiles_at(route, margin_m, zoom, layout) for zoom in zooms]
    if len(zooms) > 1:
        bands = [_parallels(zoom, zooms, resolution_m, layout.tile_px) for zoom in zooms]
        areas = [area.within_parallels(low - margin_deg, high + margin_deg)
                 for area, (low, high) in zip(areas, bands)]
    require_few(sum(map(len, areas)))
    return tuple(areas)


def tiles_at(route: Route, margin_m: float, zoom: int, layout: TileLayout) -> TileArea:
    """
    Return the tiles of a zoom that a pyramid has within a margin around a route.

    :raises ValueError: if it has no such zoom.
    """
    if not layout.min_zoom <= zoom <= layout.max_zoom:
        raise ValueError(f'{layout.name} has the zooms {layout.min_zoom} to {layout.max_zoom}, '
                         f'not {zoom}')
    area = tiles_within(route, margin_m, zoom)
    return area.within_bounds(layout.bounds) if layout.bounds else area


def make_plan(areas: tuple[TileArea, ...], holdings: MbtilesIndex, tile_px: int) -> Plan:
    """
    Return what is still to be done for some tiles.

    :param holdings: of the cache.
    :raises ValueError: if there are too many tiles.
    """
    require_few(sum(map(len, areas)))
    missing, current, lacking = [], [], 0
    for area in areas:
        held = holdings.at(area.zoom)
        is_current = np.isin(area.keys, held.keys[held.fresh])
        is_absent = np.isin(area.keys, _keys(area.zoom, holdings.absent))
        missing.append(area.where(~is_current & ~is_absent))
        current.append(area.where(is_current))
        lacking += int((is_absent & ~is_current).sum())
    return Plan(tuple(areas), missing=tuple(missing), current=tuple(current), lacking=lacking,
                tile_bytes=_tile_bytes(areas, holdings, tile_px), tile_px=tile_px)


def coarser_plan(plan: Plan, lacking: Collection[TileId], holdings: MbtilesIndex,
                 allowed: Plan) -> Plan:
    """
    Return the tiles, a zoom coarser, that serve where a source lacks those of a plan.

    :param lacking: what the source lacks, beside what the cache knows of that.
    :param allowed: no others are returned.
    """
    lacking = holdings.absent.union(lacking)
    kept = {area.zoom: area.keys for area in allowed.areas}
    areas = []
    for area in plan.areas:
        lacks = area.where(np.isin(area.keys, _keys(area.zoom, lacking)))
        if area.zoom - 1 in kept and len(lacks):
            # A patch there also needs those beside, where the finer ones are not enough for it.
            coarser = TileArea.around(area.zoom - 1, lacks.columns // 2, lacks.rows // 2)
            areas.append(coarser.where(np.isin(coarser.keys, kept[coarser.zoom])))
    return make_plan(tuple(areas), holdings, allowed.tile_px)


def _parallels(zoom: int, zooms: list[int], resolution_m: float,
               tile_px: int) -> tuple[float, float]:
    """Return between which distances from the equator, in degrees, a zoom is the one taken."""
    coarsest_m = mercator.ground_resolution_m(0.0, 0, tile_px)
    low, high = (np.degrees(np.arccos(min(1.0, resolution_m * 2.0 ** each / coarsest_m)))
                 for each in (zoom, zoom - 1))
    return 0.0 if zoom == zooms[-1] else low, 90.0 if zoom == zooms[0] else high


def _keys(zoom: int, tiles: Iterable[TileId]) -> np.ndarray:
    """Return the keys of those of some tiles that are of a zoom, see `TileArea`."""
    return np.array([tile.y * 2 ** zoom + tile.x for tile in tiles if tile.zoom == zoom], np.int64)


def _tile_bytes(areas: Iterable[TileArea], holdings: MbtilesIndex, tile_px: int) -> float:
    """Return the mean size of the tiles that are there, or what is usual."""
    sizes = np.concatenate([np.zeros(0), *(holdings.at(area.zoom).sizes for area in areas)])
    return float(sizes.mean()) if len(sizes) >= _ENOUGH_TO_AVERAGE else _USUAL_BYTES.get(
        tile_px, _USUAL_BYTES[256])
