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

"""An orthophoto in a file, in any coordinate system; needs ``rasterio``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fg2_ros.imagery.patch import FileProblem, ImageryError, PatchView
from fg2_ros.imagery.resample import pixels_touched, Pyramid, slopes, source_resolution_m
from fg2_ros.imagery.stores.bands import Bands, bands_of, RasterOptions
from fg2_ros.imagery.stores.projection import applied, Projection
from fg2_ros.imagery.stores.raster_files import RasterFile
import numpy as np
import rasterio
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

_MOST_PIXELS = 64_000_000  # read for one patch
_MOST_UNTILED_PIXELS = 150_000_000  # PNG and JPEG are read from their beginning


@dataclass(frozen=True)
class Cutout:
    """
    What a file holds of a patch.

    :param image: (H, H, 3) uint8 RGB, black where there is nothing.
    :param valid: (H, H) bool, False there; None if there is something everywhere.
    :param resolution_m: ground that a pixel of the file spans there.
    :param problem: why something is missing; a sentence that goes on after 'lacks 60% ...: '.
    """

    image: np.ndarray
    valid: np.ndarray | None
    resolution_m: float
    problem: str


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
                self._pixel_from_crs = ~full.transform
                self._projection = Projection(full, file.path, options.crs)
                coarsest = self._level(max(self._overviews, default=1))
                self.bands = bands or bands_of(full, coarsest, options)
                self.attribution = full.tags().get('TIFFTAG_COPYRIGHT', '')
            except BaseException:
                self.close()
                raise
        self._is_declared = options.nodata is not None

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """Return west, south, east, north in degrees; None if they cannot be told."""
        return self._projection.bounds

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why its places may be wrong, sentences."""
        return (self._projection.doubt,) if self._projection.doubt else ()

    @property
    def notice(self) -> str:
        """Return what is odd about its values, a sentence; '' if nothing is."""
        emptiness = self.bands.emptiness
        if emptiness is None or self._is_declared:
            return ''
        return (f'{self._file.path} has the value {emptiness.value:g} where it has no imagery and'
                ' does not declare it: it is taken so; "gdal_edit.py -a_nodata'
                f' {emptiness.value:g}", or nodata in the catalogue, declares it')

    def is_current(self) -> bool:
        """Return True: who opened the file watches it."""
        return True

    def close(self) -> None:
        """Close the file."""
        for dataset in self._levels.values():
            dataset.close()

    def cut(self, view: PatchView) -> Cutout:
        """
        Return what there is of a patch.

        :raises ImageryError: if the file cannot be read, or has no map of the place.
        """
        with explained(self._file.path):
            return self._cut(view)

    def _cut(self, view: PatchView) -> Cutout:
        x_nodes, y_nodes = applied(self._pixel_from_crs, *self._projection.nodes(view))
        dataset = self._level_for(min(slopes(x_nodes, y_nodes)) / view.size_px)
        x_nodes = x_nodes * (dataset.width / self._levels[1].width)
        y_nodes = y_nodes * (dataset.height / self._levels[1].height)
        left, right = np.clip(pixels_touched(x_nodes, view.size_px), 0, dataset.width).tolist()
        top, bottom = np.clip(pixels_touched(y_nodes, view.size_px), 0, dataset.height).tolist()
        resolution_m = source_resolution_m(view.size_m, x_nodes, y_nodes)
        size = right - left, bottom - top
        if min(size) <= 0:
            return Cutout(*nothing(view.size_px), resolution_m, 'the place is outside it')
        if size[0] * size[1] > _MOST_PIXELS:
            raise ImageryError(
                f'{self._file.path} has no overviews: {size[0]} x {size[1]} of its pixels would be'
                ' needed for a patch; "gdaladdo -r average" makes some')
        pyramid = Pyramid(*self.bands.read(dataset, Window(left, top, *size)))
        image, valid = pyramid.warp(x_nodes - left, y_nodes - top, view.size_px)
        return Cutout(image, valid, resolution_m, 'the place is outside it or empty in it')

    def _level_for(self, scale: float) -> rasterio.DatasetReader:
        """Return the coarsest level that has all detail when a pixel shows ``scale`` of it."""
        fitting = [factor for factor in self._overviews if factor <= 1.02 * scale]
        return self._level(max(fitting, default=1))

    def _level(self, factor: int) -> rasterio.DatasetReader:
        if factor not in self._levels:
            self._levels[factor] = open_raster(self._file, self._overviews[factor])
        return self._levels[factor]


def open_raster(file: RasterFile, overview: int | None = None) -> rasterio.DatasetReader:
    """
    Open a file by the driver of its format and no other.

    :param overview: which of its overviews, from 0; None for full resolution.
    :raises FileProblem: if it says that it goes on elsewhere, or is too large for its format.
    """
    options = {} if overview is None else {'overview_level': overview}
    if file.table:
        options['TABLE'] = file.table
    dataset = rasterio.open(file.name, driver=file.driver, sharing=False, **options)
    try:
        if dataset.count == 0:
            raise FileProblem(f'{file.path} has no bands')
        if dataset.tags(ns='OVERVIEWS'):
            raise FileProblem(f'{file.path} names overviews elsewhere, and is not opened')
        if (file.driver in ('PNG', 'JPEG')
                and dataset.width * dataset.height > _MOST_UNTILED_PIXELS):
            raise FileProblem(f'{file.path} has {dataset.width} x {dataset.height} pixels, too'
                              f' many for {file.driver}: "gdal_translate -of COG" makes a file of'
                              ' it that can be used')
    except BaseException:
        dataset.close()
        raise
    return dataset


def nothing(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image and the mask of a patch of which there is nothing."""
    return np.zeros((size_px, size_px, 3), np.uint8), np.zeros((size_px, size_px), bool)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Name the file when it cannot be read."""
    try:
        yield
    except (RasterioError, RasterioIOError) as error:  # before rasterio 1.4 the latter is no kin
        raise FileProblem(
            f'{path} is damaged or cannot be read: {error.__cause__ or error}') from None
