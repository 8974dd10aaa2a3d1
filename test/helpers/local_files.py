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

"""
Tile pyramids and GeoTIFFs as files, written in the plainest way there is.

pmtiles and rasterio are imported where they are used: other files need neither.
"""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import sqlite3
from test.helpers.analytic_ground import AnalyticGround
from test.helpers.http_stub import encoded

from fg2_ros.geometry import mercator
import numpy as np
from pyproj import Transformer

Tiles = dict[tuple[int, int, int], bytes]  # encoded, by zoom, x and y from the north


def tiles_of(ground: AnalyticGround, place: tuple[float, float], zoom: int, reach: int = 1,
             tile_px: int = 256, image_format: str = 'PNG') -> Tiles:
    """Return the tiles of a ground around a place."""
    x, y = (int(value) for value in mercator.world_pixel_from_geodetic(*place, zoom, 1))
    return {
        (zoom, column % 2 ** zoom, row): encoded(
            ground.tile(zoom, column % 2 ** zoom, row, tile_px), image_format)
        for column in range(x - reach, x + reach + 1) for row in range(y - reach, y + reach + 1)}


def plain_tiles(place: tuple[float, float], zoom: int, shade: int, reach: int = 2) -> Tiles:
    """Return tiles of one grey around a place."""
    x, y = (int(value) for value in mercator.world_pixel_from_geodetic(*place, zoom, 1))
    tile = encoded(np.full((256, 256, 3), shade, np.uint8))
    return {(zoom, column % 2 ** zoom, row): tile for column in range(x - reach, x + reach + 1)
            for row in range(y - reach, y + reach + 1)}


def write_mbtiles(path: Path, tiles: Tiles, **metadata: str) -> Path:
    """Write an MBTiles file, in the place of one that may be there."""
    fresh = path.with_name(path.name + '.new')
    fresh.unlink(missing_ok=True)
    database = sqlite3.connect(fresh)
    database.executescript(
        'PRAGMA synchronous = OFF; CREATE TABLE metadata (name TEXT, value TEXT);'
        'CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER,'
        ' tile_data BLOB); CREATE UNIQUE INDEX tile_index ON tiles'
        ' (zoom_level, tile_column, tile_row);')
    database.executemany('INSERT INTO metadata VALUES (?, ?)', metadata.items())
    add_to_mbtiles(database, tiles)
    database.close()
    fresh.rename(path)
    return path


def add_to_mbtiles(database: sqlite3.Connection, tiles: Tiles) -> None:
    database.executemany('INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)', [
        (z, x, 2 ** z - 1 - y, data) for (z, x, y), data in tiles.items()])
    database.commit()


def write_pmtiles(path: Path, tiles: Tiles, tile_type: str = 'PNG',
                  header: dict | None = None, **metadata: str) -> Path:
    """Write a PMTiles archive, in the place of one that may be there."""
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import Writer
    fresh = path.with_name(path.name + '.new')
    with fresh.open('wb') as file:
        writer = Writer(file)
        for address in sorted(tiles, key=lambda tile: zxy_to_tileid(*tile)):
            writer.write_tile(zxy_to_tileid(*address), tiles[address])
        writer.finalize({'tile_type': TileType[tile_type], 'tile_compression': Compression.NONE,
                         **(header or {})}, metadata)
    fresh.rename(path)
    return path


def write_folder(path: Path, tiles: Tiles, suffix: str = '.png', scheme: str = 'xyz') -> Path:
    """Write a folder of tiles, in the place of one that may be there."""
    shutil.rmtree(path, ignore_errors=True)
    for (z, x, y), data in tiles.items():
        file = path / str(z) / str(x) / f'{2 ** z - 1 - y if scheme == "tms" else y}{suffix}'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    if scheme == 'tms':
        (path / 'metadata.json').write_text(json.dumps({'scheme': 'tms'}))
    return path


TILE_WRITERS = {'MBTiles': write_mbtiles, 'PMTiles': write_pmtiles, 'folder': write_folder}


class GroundGrid:
    """
    A grid of pixels on the ground in some coordinate system, around a place.

    :param turned_deg: angle by which rows and columns are turned against the system's axes.
    """

    def __init__(self, crs, place: tuple[float, float], pixel: float, shape: tuple[int, int],
                 turned_deg: float = 0.0, pixel_y: float | None = None):
        import rasterio
        self.crs = crs
        self.shape = shape
        to_crs = Transformer.from_crs('EPSG:4326', crs, always_xy=True)
        self._back = Transformer.from_crs(crs, 'EPSG:4326', always_xy=True)
        cosine, sine = np.cos(np.radians(turned_deg)), np.sin(np.radians(turned_deg))
        step_x, step_y = pixel, -(pixel_y or pixel)
        a, b, d, e = cosine * step_x, -sine * step_y, sine * step_x, cosine * step_y
        middle = shape[1] / 2, shape[0] / 2
        x, y = to_crs.transform(place[1], place[0])
        self.transform = rasterio.Affine(
            a, b, x - a * middle[0] - b * middle[1], d, e, y - d * middle[0] - e * middle[1])

    def colours(self, ground: AnalyticGround) -> np.ndarray:
        """Return (H, W, 3) float colours of a ground at the pixels' centres, by pyproj."""
        row, column = np.mgrid[:self.shape[0], :self.shape[1]] + 0.5
        a, b, c, d, e, f = self.transform[:6]
        longitude, latitude = self._back.transform(
            a * column + b * row + c, d * column + e * row + f)
        return ground.colours(latitude, longitude)

    def write(self, path: Path, image: np.ndarray, overviews: tuple[int, ...] = (),
              colours=None, mask: np.ndarray | None = None, palette: dict | None = None,
              **profile) -> Path:
        """Write an (H, W, B) image as a GeoTIFF, in the place of one that may be there."""
        import rasterio
        from rasterio.enums import Resampling
        fresh = path.with_name(path.name + '.new')
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
                fresh, 'w', driver='GTiff', height=image.shape[0], width=image.shape[1],
                count=image.shape[2], dtype=image.dtype, crs=self.crs, transform=self.transform,
                tiled=True, blockxsize=256, blockysize=256, **profile) as dataset:
            if colours:
                dataset.colorinterp = colours
            dataset.write(np.moveaxis(image, -1, 0))
            if mask is not None:
                dataset.write_mask(mask)
            if palette:
                dataset.write_colormap(1, palette)
        if overviews:
            with rasterio.open(fresh, 'r+') as dataset:
                dataset.build_overviews(list(overviews), Resampling.average)
        fresh.rename(path)
        return path


def ground_geotiff(path: Path, ground: AnalyticGround, crs, pixel: float,
                   shape: tuple[int, int] = (400, 417), turned_deg: float = 0.0,
                   pixel_y: float | None = None, **options) -> Path:
    """Write an analytic ground around its own origin."""
    grid = GroundGrid(crs, ground.origin, pixel, shape, turned_deg, pixel_y)
    return grid.write(path, np.round(grid.colours(ground)).astype(np.uint8), **options)
