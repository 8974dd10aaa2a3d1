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

"""Aerial patches from a GeoTIFF in any coordinate system; needs ``rasterio``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fg2_ros.imagery.patch import (
    AerialPatch, FileProblem, ImageryError, Label, PatchView, require_enough, require_within)
from fg2_ros.imagery.resample import (
    affine_misfit, pixels_touched, Pyramid, slopes, source_resolution_m)
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.stores.bands import bands_of
from fg2_ros.imagery.stores.files import LocalReads, WatchedFile
import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
import rasterio
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

_MOST_PIXELS = 64_000_000  # read for one patch
_ROUGHEST = 0.02  # share of a patch's side by which a projection may bend it
_EQUATOR_DEG = np.array([-151.0, -83.0, -20.0, 47.0, 122.0])


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


class GeotiffImagery:
    """
    Patches of a GeoTIFF; implements `fg2_ros.imagery.patch.Imagery`.

    Only the part that a patch shows is read.

    :param path: the file.
    :param label: what people are told of it; the file's copyright, if no attribution is given.
    :raises FileProblem: if the file cannot be used.
    """

    def __init__(self, path: Path, label: Label):
        self._file = WatchedFile(path, _Orthophoto)
        with _explained(path):
            copyright_notice = self._file.get().attribution
        self._label = replace(label, attribution=label.attribution or copyright_notice)
        self._reads = LocalReads(label.name)
        self._bounds: tuple[float, ...] | None = None  # of the file at the last patch

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`. There is never anything to wait for.

        :raises ImageryError: if the file cannot be read or lacks more than half of the patch.
        """
        with self._reads.one():
            cutout = self._cut(view)
            self._reads.works()
        label = self._label
        return require_enough(AerialPatch(
            cutout.image, view, cutout.valid, label.name, label.vintage, label.attribution,
            cutout.resolution_m), cutout.problem)

    def request(self, view: PatchView) -> None:
        """
        Do nothing: the file is read when a patch is asked for.

        :raises ImageryError: if the place is outside the bounds that were found at the last patch,
            so that another source is asked.
        """
        require_within(view, self._bounds, self._label.name)

    def status(self) -> ImageryStatus:
        """Return how it does, at once, also while a patch is being cut."""
        return self._reads.status()

    def close(self) -> None:
        """Close the file."""
        with self._reads.last():
            self._file.drop()

    def _cut(self, view: PatchView) -> Cutout:
        try:
            with _explained(self._file.path):
                orthophoto = self._file.get()
                self._bounds = orthophoto.bounds
                self._reads.hits += 1
                return orthophoto.cut(view)
        except FileProblem:
            self._file.drop()
            raise


class _Orthophoto:
    """An open GeoTIFF with its overviews."""

    def __init__(self, path: Path):
        """Open the file and find out what is in it."""
        self._path = path
        full = _open_level(path, None)
        self._levels = {1: full}
        try:
            self._overviews = {
                factor: level for level, factor in enumerate(full.overviews(1)) if factor > 1}
            self._pixel_from_crs = ~full.transform
            self._projection = _Projection(full, path)
            self.bounds = self._projection.bounds(full)
            coarsest = self._level(max(self._overviews, default=1))
            self._bands = bands_of(full, coarsest)
            self.attribution = full.tags().get('TIFFTAG_COPYRIGHT', '')
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        for dataset in self._levels.values():
            dataset.close()

    def cut(self, view: PatchView) -> Cutout:
        """Return what there is of a patch."""
        x_nodes, y_nodes = _applied(self._pixel_from_crs, *self._projection.nodes(view))
        dataset = self._level_for(min(slopes(x_nodes, y_nodes)) / view.size_px)
        x_nodes = x_nodes * (dataset.width / self._levels[1].width)
        y_nodes = y_nodes * (dataset.height / self._levels[1].height)
        left, right = np.clip(pixels_touched(x_nodes, view.size_px), 0, dataset.width).tolist()
        top, bottom = np.clip(pixels_touched(y_nodes, view.size_px), 0, dataset.height).tolist()
        resolution_m = source_resolution_m(view.size_m, x_nodes, y_nodes)
        size = right - left, bottom - top
        if min(size) <= 0:
            return Cutout(*_nothing(view.size_px), resolution_m, 'the place is outside it')
        if size[0] * size[1] > _MOST_PIXELS:
            raise ImageryError(
                f'{self._path} has no overviews: {size[0]} x {size[1]} of its pixels would be'
                ' needed for a patch; "gdaladdo -r average" makes some')
        pyramid = Pyramid(*self._bands.read(dataset, Window(left, top, *size)))
        image, valid = pyramid.warp(x_nodes - left, y_nodes - top, view.size_px)
        return Cutout(image, valid, resolution_m, 'the place is outside it or empty in it')

    def _level_for(self, scale: float) -> rasterio.DatasetReader:
        """Return the coarsest level that has all detail when a pixel shows ``scale`` of it."""
        fitting = [factor for factor in self._overviews if factor <= 1.02 * scale]
        return self._level(max(fitting, default=1))

    def _level(self, factor: int) -> rasterio.DatasetReader:
        if factor not in self._levels:
            self._levels[factor] = _open_level(self._path, self._overviews[factor])
        return self._levels[factor]


class _Projection:
    """
    The way from places on Earth to the coordinates of a GeoTIFF.

    :param dataset: the file at full resolution.
    :param path: what messages call it.
    :raises FileProblem: if the file does not say where it lies.
    """

    def __init__(self, dataset: rasterio.DatasetReader, path: Path):
        self._path = path
        if dataset.crs is None or dataset.transform.is_identity:
            raise FileProblem(f'{path} does not say where on Earth it lies')
        try:
            self._transformer = Transformer.from_crs('EPSG:4326', _crs(dataset), always_xy=True)
        except ProjError as error:
            raise FileProblem(f'the coordinate system of {path} cannot be used: {error}') from None
        self._middle_x, _ = _applied(dataset.transform, dataset.width / 2, dataset.height / 2)
        self._period = self._length_of_the_equator()

    def nodes(self, view: PatchView) -> tuple[np.ndarray, np.ndarray]:
        """
        Return x and y, each (5, 5), at `resample.unit_nodes`.

        :raises ImageryError: where the projection tears or ends.
        """
        latitude, longitude = view.geodetic_centre()
        latitudes, longitudes = view.geodetic_nodes()
        x, y = self._transformer.transform(longitudes, latitudes)
        if self._period:  # across +-180 degrees, and to the side of it where the file lies
            centre_x, _ = self._transformer.transform(longitude, latitude)
            x = centre_x + _wrapped(x - centre_x, self._period)
            x += _wrapped(centre_x - self._middle_x, self._period) + self._middle_x - centre_x
        if not np.isfinite([x, y]).all() or affine_misfit(x, y) > _ROUGHEST * np.ptp([x, y]):
            raise ImageryError(f'{self._path} has no map of the place at {latitude:.4f},'
                               f' {longitude:.4f}: its projection ends or tears there')
        return x, y

    def bounds(self, dataset: rasterio.DatasetReader) -> tuple[float, ...] | None:
        """Return west, south, east, north in degrees; None if they cannot be told."""
        x, y = _applied(dataset.transform, np.array([0, 1, 0, 1]) * dataset.width,
                        np.array([0, 0, 1, 1]) * dataset.height)
        try:
            return self._transformer.transform_bounds(
                x.min(), y.min(), x.max(), y.max(), direction='INVERSE')
        except ProjError:
            return None

    def _length_of_the_equator(self) -> float:
        """Return after what x the map repeats; 0 where x is not proportional to longitude."""
        x, _ = self._transformer.transform(
            np.stack([_EQUATOR_DEG, _EQUATOR_DEG + 1]), np.zeros((2, len(_EQUATOR_DEG))))
        with np.errstate(invalid='ignore'):  # places that are on no map of it
            degree = x[1] - x[0]
        typical = float(np.median(degree))
        alike = np.isclose(degree, typical, rtol=1e-6)  # one may lie across the map's edge
        return 360 * abs(typical) if np.isfinite(typical) and alike.sum() >= 4 else 0.0


def _crs(dataset: rasterio.DatasetReader) -> CRS:
    authority = dataset.crs.to_authority(confidence_threshold=100)
    crs = CRS.from_authority(*authority) if authority else CRS.from_wkt(dataset.crs.to_wkt())
    return crs.sub_crs_list[0] if crs.is_compound else crs


def _applied(transform: rasterio.Affine, x, y) -> tuple:
    return (transform.a * x + transform.b * y + transform.c,
            transform.d * x + transform.e * y + transform.f)


def _wrapped(difference, period: float):
    return (difference + period / 2) % period - period / 2


def _open_level(path: Path, overview: int | None) -> rasterio.DatasetReader:
    options = {} if overview is None else {'overview_level': overview}
    return rasterio.open(path, driver='GTiff', sharing=False, **options)


def _nothing(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((size_px, size_px, 3), np.uint8), np.zeros((size_px, size_px), bool)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, RasterioIOError) as error:  # before rasterio 1.4 the latter is no kin
        raise FileProblem(
            f'{path} is damaged or cannot be read: {error.__cause__ or error}') from None
