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

"""The tiles of a Web Mercator pyramid that a patch needs, and their mosaic."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry import mercator
from fg2_ros.imagery.patch import ImageryError, PatchView
from fg2_ros.imagery.resample import pixels_touched, Pyramid
from fg2_ros.imagery.tiles.address import TileId, TileLayout
import numpy as np

_COARSER_ZOOMS = 3  # that are tried where the wanted one has less than half of a patch


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


def best_zoom(view: PatchView, layout: TileLayout) -> int:
    """Return the coarsest zoom that is fine enough, or the finest where none is."""
    latitude, _ = view.geodetic_centre()
    zoom = mercator.zoom_for_resolution(latitude, view.resolution_m, layout.tile_px)
    zoom = int(np.clip(zoom, layout.min_zoom, layout.max_zoom))
    return min((there for there in layout.zooms if there >= zoom), default=zoom)


def zooms_to_try(view: PatchView, layout: TileLayout) -> list[int]:
    """Return the zooms at which to look for a patch: `best_zoom`, then some coarser ones."""
    best = best_zoom(view, layout)
    zooms = range(best, max(layout.min_zoom, best - _COARSER_ZOOMS) - 1, -1)
    return [zoom for zoom in zooms if not layout.zooms or zoom in layout.zooms]


def footprint(view: PatchView, layout: TileLayout, zoom: int | None = None) -> Footprint:
    """
    Return the tiles that a patch needs, at `best_zoom` if no other is wished.

    :raises ImageryError: if the patch lies beyond the Mercator limit.
    """
    latitude, longitude = view.geodetic_centre()
    latitudes, longitudes = view.geodetic_nodes()
    if np.abs(latitudes).max() > mercator.MAX_LATITUDE_DEG:
        raise ImageryError(f'{layout.name} ends at {mercator.MAX_LATITUDE_DEG:.4f} degrees of '
                           f'latitude: there are no tiles at {latitude:.4f}')
    zoom = best_zoom(view, layout) if zoom is None else zoom
    tile_px = layout.tile_px
    x, y = mercator.world_pixel_from_geodetic(latitudes, longitudes, zoom, tile_px)
    centre_x, _ = mercator.world_pixel_from_geodetic(latitude, longitude, zoom, tile_px)
    world_px = tile_px * 2 ** zoom
    x = centre_x + (x - centre_x + world_px / 2) % world_px - world_px / 2  # across +-180 degrees
    columns, x_nodes = _tile_range(x, view.size_px, tile_px)
    rows, y_nodes = _tile_range(y, view.size_px, tile_px)
    return Footprint(
        [[TileId(zoom, column % 2 ** zoom, row) if 0 <= row < 2 ** zoom else None
          for column in columns] for row in rows], x_nodes, y_nodes)


def patch_from_tiles(needed: Footprint, images: dict[TileId, np.ndarray], tile_px: int,
                     size_px: int) -> tuple[np.ndarray, np.ndarray | None]:
    """
    Return a patch's image and mask, as `Pyramid.warp` does.

    :param needed: the patch's tiles.
    :param images: those there are: (tile_px, tile_px, 3) uint8 RGB, or 4 with opacity: only what
        is fully opaque counts as imagery.
    :param tile_px: side of a tile in pixels.
    :param size_px: side of the patch in pixels.
    """
    left, right = pixels_touched(needed.x_nodes, size_px)
    top, bottom = pixels_touched(needed.y_nodes, size_px)
    mosaic = np.zeros((bottom - top, right - left, 3), np.uint8)
    valid = np.zeros(mosaic.shape[:2], np.uint8)
    for i, row in enumerate(needed.tiles):
        into_rows, from_rows = _overlap(i * tile_px, tile_px, top, bottom)
        for j, tile in enumerate(row):
            if tile in images:
                into_columns, from_columns = _overlap(j * tile_px, tile_px, left, right)
                image = images[tile][from_rows, from_columns]
                mosaic[into_rows, into_columns] = image[..., :3]
                opaque = image.shape[2] == 3 or image[..., 3] == 255
                valid[into_rows, into_columns] = np.where(opaque, 255, 0)
    pyramid = Pyramid(mosaic, valid)
    return pyramid.warp(needed.x_nodes - left, needed.y_nodes - top, size_px)


def _tile_range(world_px: np.ndarray, size_px: int, tile_px: int) -> tuple[range, np.ndarray]:
    """Return the tiles along an axis that a patch touches, and its nodes relative to them."""
    first_px, end_px = pixels_touched(world_px, size_px)
    first = first_px // tile_px
    return range(first, (end_px - 1) // tile_px + 1), world_px - first * tile_px


def _overlap(start: int, length: int, first: int, end: int) -> tuple[slice, slice]:
    """Return where a tile meets the mosaic along an axis: in the mosaic, and in the tile."""
    low, high = max(start, first), min(start + length, end)
    return slice(low - first, high - first), slice(low - start, high - start)
