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

"""Timings of aerial patches as the localizer requests them, from memory and from files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
import io
import itertools
from pathlib import Path
import sqlite3
import tempfile
import time

import cv2
from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import Imagery, PatchView
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.imagery.server.opening import open_server
from fg2_ros.imagery.stores.opening import open_local
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.mbtiles import row_of
from fg2_ros.simulation.tile_server import TileServer
import numpy as np
from PIL import Image

SIZE_M, SIZE_PX = 71.0, 630
_FRAME = MapFrame(47.0, 8.5)
_ZOOM, _RESOLUTION_M = 20, 0.1
_APART_M = 85.0  # of patches that have no tile in common
_DIFFERENT_TILES = 8
_SHEETS = 10  # along each side of the ground


def imagery_timings(repeat: int = 20) -> dict[str, float]:
    """
    Return the median milliseconds of a patch of 71 m at 630 pixels.

    ``warm patch`` has its tiles in memory, each at another place. The patches from local files
    have none: each is of ground that was not looked at before, JPEG as such files usually have;
    only the operating system knows the file. Files whose package is not installed are left out.

    :param repeat: patches of each kind.
    :raises ValueError: if that is less than one.
    """
    if repeat < 1:
        raise ValueError('there must be a patch to be timed')
    with tempfile.TemporaryDirectory() as folder:
        centres = _places(repeat + 1)
        tiles = dict(_tiles(centres))
        timings = {'warm patch': _warm_ms(repeat)}
        for label, path in _local_files(Path(folder), tiles, centres):
            with closing(open_local(path)) as imagery:
                timings[f'local {label} patch'] = _median_ms(imagery, centres)
    return timings


def _median_ms(imagery: Imagery, centres: list[tuple[float, float]]) -> float:
    """Return the median time of patches at places, of which the first is not counted."""
    laps_ms = []
    for centre in centres:
        began_s = time.perf_counter()
        imagery.patch(PatchView(_FRAME, centre, SIZE_M, SIZE_PX))
        laps_ms.append((time.perf_counter() - began_s) * 1e3)
    return float(np.median(laps_ms[1:]))


def _warm_ms(repeat: int) -> float:
    centres = [(3.0 * np.sin(lap), 3.0 * np.cos(lap)) for lap in range(repeat + 1)]
    side_px = int((SIZE_M + 60.0) / _RESOLUTION_M)
    orthophoto = RasterImagery(
        picture(side_px, side_px), _FRAME, (0.0, 0.0), _RESOLUTION_M)
    with TileServer(orthophoto.tile) as server:
        with closing(open_server(server.url_template, max_zoom=_ZOOM)) as imagery:
            for centre in centres:
                imagery.patch(PatchView(_FRAME, centre, SIZE_M, SIZE_PX), wait_s=60.0)
            return _median_ms(imagery, centres)


def _local_files(folder: Path, tiles: dict[TileId, bytes],
                 centres: list[tuple[float, float]]) -> Iterator[tuple[str, Path]]:
    yield 'MBTiles', _write_mbtiles(folder / 'tiles.mbtiles', tiles)
    if find_spec('pmtiles'):
        yield 'PMTiles', _write_pmtiles(folder / 'tiles.pmtiles', tiles)
    if find_spec('rasterio'):
        yield 'COG', _write_cog(folder / 'ground.tif', centres)
        yield 'sheets', _write_sheets(folder / 'sheets', folder / 'ground.tif')


def _places(count: int) -> list[tuple[float, float]]:
    """Return the centres of patches on a square grid, row by row."""
    columns = int(np.ceil(np.sqrt(count)))
    return [(_APART_M * (lap % columns), _APART_M * (lap // columns)) for lap in range(count)]


def _tiles(centres: list[tuple[float, float]]) -> Iterator[tuple[TileId, bytes]]:
    """Yield all tiles of the ground around some places."""
    corners = np.array(centres)
    east_m = corners[:, 0].min() - SIZE_M, corners[:, 0].max() + SIZE_M
    north_m = corners[:, 1].min() - SIZE_M, corners[:, 1].max() + SIZE_M
    latitude_deg, longitude_deg = _FRAME.geodetic_from_map(east_m, north_m)
    x, y = mercator.world_pixel_from_geodetic(latitude_deg, longitude_deg, _ZOOM, tile_px=1)
    pictures = itertools.cycle(
        [_jpeg(picture(256, 256, seed)) for seed in range(_DIFFERENT_TILES)])
    for column in range(int(x[0]), int(x[1]) + 1):
        for row in range(int(y[1]), int(y[0]) + 1):
            yield TileId(_ZOOM, column, row), next(pictures)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an (H, W, 3) uint8 picture with about the detail of an aerial one."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.convertScaleAbs(cv2.GaussianBlur(noise, (0, 0), 1.5), alpha=3.0, beta=-250.0)


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=85)
    return file.getvalue()


def _write_mbtiles(path: Path, tiles: dict[TileId, bytes]) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            'CREATE TABLE metadata (name TEXT, value TEXT);'
            'CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER,'
            ' tile_data BLOB, PRIMARY KEY (zoom_level, tile_column, tile_row));')
        database.executemany('INSERT INTO tiles VALUES (?, ?, ?, ?)', [
            (*row_of(tile), data) for tile, data in tiles.items()])
        database.commit()
    return path


def _write_pmtiles(path: Path, tiles: dict[TileId, bytes]) -> Path:
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import write
    with write(path) as writer:
        for number, data in sorted((zxy_to_tileid(*tile), data) for tile, data in tiles.items()):
            writer.write_tile(number, data)
        writer.finalize(
            {'tile_type': TileType.JPEG, 'tile_compression': Compression.NONE}, {})
    return path


def _write_cog(path: Path, centres: list[tuple[float, float]]) -> Path:
    """Write a cloud-optimised GeoTIFF in UTM, as large as the places need."""
    from pyproj import Transformer
    import rasterio
    east_m, north_m = np.array(centres).max(axis=0) + 2 * SIZE_M
    image = picture(int(north_m / _RESOLUTION_M), int(east_m / _RESOLUTION_M))
    corner = _FRAME.geodetic_from_map(-SIZE_M, north_m - SIZE_M)
    easting, northing = Transformer.from_crs('EPSG:4326', 'EPSG:32632').transform(*corner)
    with rasterio.open(
            path, 'w', driver='COG', height=image.shape[0], width=image.shape[1], count=3,
            dtype='uint8', crs='EPSG:32632', compress='JPEG', quality=85,
            transform=rasterio.Affine(
                _RESOLUTION_M, 0.0, easting, 0.0, -_RESOLUTION_M, northing)) as dataset:
        dataset.write(np.moveaxis(image, -1, 0))
    return path


def _write_sheets(folder: Path, whole: Path) -> Path:
    """Cut a GeoTIFF into a hundred sheets."""
    import rasterio
    from rasterio.windows import Window
    folder.mkdir()
    with rasterio.open(whole) as source:
        width, height = (-(-side // _SHEETS) for side in (source.width, source.height))
        for row, column in np.ndindex(_SHEETS, _SHEETS):
            window = Window(column * width, row * height, width, height).intersection(
                Window(0, 0, source.width, source.height))
            with rasterio.open(
                    folder / f'sheet_{row}_{column}.tif', 'w', driver='GTiff', count=3,
                    dtype='uint8', crs=source.crs, transform=source.window_transform(window),
                    width=window.width, height=window.height, tiled=True, compress='JPEG',
                    photometric='YCBCR', jpeg_quality=85) as sheet:
                sheet.write(source.read(window=window))
    return folder
