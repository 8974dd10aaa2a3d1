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

"""An open orthophoto, in any coordinate system, with its overviews; needs ``rasterio``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fg2_ros.imagery.patch import FileProblem, PatchView
from fg2_ros.imagery.resample import slopes
from fg2_ros.imagery.stores.bands import Bands, bands_of, RasterOptions
from fg2_ros.imagery.stores.projection import applied, Projection
from fg2_ros.imagery.stores.raster_files import RasterFile
import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

_DAMAGE = (  # before rasterio 1.4 the second is no kin of the first
    RasterioError, RasterioIOError, CPLE_BaseError, MemoryError, OverflowError, UnicodeDecodeError)
_MOST_UNTILED_PIXELS = 150_000_000  # PNG and JPEG are read from their beginning
_FEWEST_PIXELS, _MOST_PIXELS = 1e-4, 1e7  # along a patch's side


class Orthophoto:
    """
    An open orthophoto with its overviews.

    :param file: which.
    :param options: what the user knows of it.
    :param bands: how to make a picture of it; by default that is found out.
    :raises FileProblem: if it cannot be used.
    """

    def __init__(self, file: RasterFile, options: RasterOptions = RasterOptions(),
                 bands: Bands | None = None):
        self._file = file
        with explained(file.path):
            full = open_raster(file)
            self._levels = {1: full}
            try:
                self._overviews = {
                    factor: level for level, factor in enumerate(full.overviews(1)) if factor > 1}
                self._projection = Projection(full, file.path, options.crs)
                self._pixel_from_crs = ~full.transform
                factor = max(self._overviews, default=1)
                coarsest = self._fetched(factor, (0, 0, *self.size(factor)))
                self.bands = bands or bands_of(self._level(1), coarsest, options)
                self.attribution = self._level(1).tags().get('TIFFTAG_COPYRIGHT', '')
            except BaseException:
                self.close()
                raise
        self._is_declared = options.nodata is not None

    @property
    def path(self) -> Path:
        """Return what messages call it."""
        return self._file.path

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """Return west, south, east, north in degrees; None if they are not known."""
        return self._projection.bounds

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why its places may be wrong, sentences."""
        return (self._projection.doubt,) if self._projection.doubt else ()

    @property
    def notice(self) -> str:
        """Return what is odd about its values, a sentence; '' if nothing is."""
        nodata = self.bands.nodata
        if nodata is None or self._is_declared:
            return ''
        return (f'{self._file.path} has the value {nodata.value:g} where it has no imagery and'
                ' does not declare it: it is taken so; "gdal_edit.py -a_nodata'
                f' {nodata.value:g}", or nodata in the catalogue, declares it')

    def close(self) -> None:
        """Close the file."""
        for dataset in self._levels.values():
            dataset.close()

    def pixels(self, view: PatchView) -> tuple[np.ndarray, np.ndarray]:
        """
        Return columns and rows, each (5, 5), at `resample.unit_nodes` of a view.

        :raises ImageryError: where the projection tears or ends.
        :raises FileProblem: if the pixels have a size that none can have.
        """
        columns, rows = applied(self._pixel_from_crs, *self._projection.nodes(view))
        with np.errstate(invalid='ignore'):
            along = slopes(columns, rows)
        if not _FEWEST_PIXELS <= min(along) <= max(along) <= _MOST_PIXELS:
            raise FileProblem(
                f'{self.path} has {along[0]:.3g} x {along[1]:.3g} pixels in a square of '
                f'{view.size_m:g} m: the size of its pixels is damaged')
        return columns, rows

    @property
    def factors(self) -> list[int]:
        """Return by how much its levels are shrunk, the full resolution first."""
        return [1, *sorted(self._overviews)]

    def size(self, factor: int = 1) -> tuple[int, int]:
        """Return width and height of a level in pixels."""
        level = self._level(factor)
        return level.width, level.height

    def read(self, factor: int, left: int, top: int, right: int,
             bottom: int) -> tuple[np.ndarray, np.ndarray | None]:
        """
        Return (H, W, 3) uint8 RGB of a part of a level, and (H, W) uint8, 255 where it is imagery.

        :raises FileProblem: if it cannot be read.
        """
        with explained(self.path):
            return self.bands.read(self._fetched(factor, (left, top, right, bottom)),
                                   Window(left, top, right - left, bottom - top))

    def _fetched(self, factor: int, window: tuple[int, int, int, int]) -> rasterio.DatasetReader:
        """Return a level with the pixels of a window: of a file on a server they are fetched."""
        remote = self._file.remote
        if remote is not None and remote.fetch(self.size(factor), window):
            self._levels.pop(factor).close()  # it may have read where there was nothing yet
        return self._level(factor)

    def _level(self, factor: int) -> rasterio.DatasetReader:
        if factor not in self._levels:
            with explained(self.path):
                self._levels[factor] = open_raster(self._file, self._overviews.get(factor))
        return self._levels[factor]


def open_raster(file: RasterFile, overview: int | None = None) -> rasterio.DatasetReader:
    """
    Open a file by the driver of its format and no other.

    :param overview: which of its overviews, from 0; None for full resolution.
    :raises FileProblem: if it says that it goes on elsewhere, or is too large for its format.
    """
    options: dict[str, Any] = {} if overview is None else {'overview_level': overview}
    if file.table:
        options['TABLE'] = file.table
    dataset = rasterio.open(file.name, driver=file.driver, sharing=False, **options)
    try:
        if dataset.count == 0:
            raise FileProblem(f'{file.path} has no bands')
        if dataset.tags(ns='OVERVIEWS'):
            raise FileProblem(f'{file.path} names overviews elsewhere, and is not opened')
        if max(rows * columns for rows, columns in dataset.block_shapes) > _MOST_UNTILED_PIXELS:
            raise FileProblem(f'{file.path} has blocks of {dataset.block_shapes[0]} pixels, which'
                              ' are read as a whole: "gdal_translate -of COG" makes a file of it'
                              ' that can be used')
        if (file.driver in ('PNG', 'JPEG')
                and dataset.width * dataset.height > _MOST_UNTILED_PIXELS):
            raise FileProblem(f'{file.path} has {dataset.width} x {dataset.height} pixels, too'
                              f' many for {file.driver}: "gdal_translate -of COG" makes a file of'
                              ' it that can be used')
    except BaseException:
        dataset.close()
        raise
    return dataset


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Name the file when it cannot be read."""
    try:
        yield
    except _DAMAGE as error:
        raise FileProblem(
            f'{path} is damaged or cannot be read: {error.__cause__ or error}') from None
