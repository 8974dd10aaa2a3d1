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

"""From places on Earth to an orthophoto's coordinates, by pyproj."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
import warnings

from fg2_ros.imagery.patch import FileProblem, ImageryError, PatchView
from fg2_ros.imagery.resample import affine_misfit
import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from pyproj.network import is_network_enabled
from pyproj.transformer import AreaOfInterest, TransformerGroup
import rasterio
from rasterio.errors import RasterioError

_ROUGHEST = 0.02  # share of a patch's side by which a projection may bend it
_EQUATOR_DEG = np.array([-151.0, -83.0, -20.0, 47.0, 122.0])
_LONGEST_PRJ_BYTES = 10_000
_EARTH = 'EPSG:4326'
_SMALLEST_PIXEL, _LARGEST_PIXEL, _FARTHEST = 1e-12, 1e7, 1e12


class Projection:
    """
    The way from places on Earth to the coordinates of an orthophoto.

    :param dataset: the file at full resolution.
    :param path: what messages call it.
    :param crs: its coordinate system if it is not what the file says, '' if it is.
    :raises FileProblem: if it is not georeferenced.
    """

    def __init__(self, dataset: rasterio.DatasetReader, path: Path, crs: str = ''):
        self._path = path
        if dataset.transform.is_identity or not np.isfinite(dataset.transform[:6]).all():
            raise FileProblem(f'{path} does not say where on Earth it lies')
        if not _is_on_earth(dataset.transform):
            raise FileProblem(f'{path} has pixels of no sensible size or place: it lies nowhere on'
                              ' Earth')
        self.crs = _crs(dataset, path, crs)
        try:
            self._transformer, self._period = _way_to(self.crs)
        except ProjError as error:
            raise FileProblem(f'the coordinate system of {path} cannot be used: {error}') from None
        self._middle_x, _ = applied(dataset.transform, dataset.width / 2, dataset.height / 2)
        self.bounds = self._bounds(dataset)

    @property
    def doubt(self) -> str:
        """Return why the places may be wrong by metres, a sentence; '' if they are not."""
        doubt = _doubt(self.crs, self.bounds)
        return f'{self._path} {doubt}' if doubt else ''

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

    def _bounds(self, dataset: rasterio.DatasetReader) -> tuple[float, ...] | None:
        """Return west, south, east, north in degrees; None if they are not known."""
        x, y = applied(dataset.transform, np.array([0, 1, 0, 1]) * dataset.width,
                       np.array([0, 0, 1, 1]) * dataset.height)
        try:
            bounds = self._transformer.transform_bounds(
                x.min(), y.min(), x.max(), y.max(), direction='INVERSE')
        except ProjError:
            return None
        return bounds if np.isfinite(bounds).all() else None


def _is_on_earth(transform: rasterio.Affine) -> bool:
    """Return whether pixels have some extent along both axes, and a place, in whatever unit."""
    if max(abs(transform.c), abs(transform.f)) > _FARTHEST:
        return False
    sides = np.hypot(transform.a, transform.d), np.hypot(transform.b, transform.e)
    in_range = all(_SMALLEST_PIXEL < side < _LARGEST_PIXEL for side in sides)
    return in_range and abs(transform.determinant) > 1e-3 * sides[0] * sides[1]


def applied(transform: rasterio.Affine, x, y) -> tuple:
    """Return where an affine map puts points."""
    return (transform.a * x + transform.b * y + transform.c,
            transform.d * x + transform.e * y + transform.f)


def _wrapped(difference, period: float):
    return (difference + period / 2) % period - period / 2


def _crs(dataset: rasterio.DatasetReader, path: Path, given: str) -> CRS:
    """Return the horizontal coordinate system of a file."""
    try:
        crs = CRS.from_user_input(given) if given else _own_crs(dataset, path)
    except (ProjError, RasterioError) as error:
        raise FileProblem(f'the coordinate system of {path} cannot be used: {error}') from None
    return crs.sub_crs_list[0] if crs.is_compound else crs


def _own_crs(dataset: rasterio.DatasetReader, path: Path) -> CRS:
    if dataset.crs is not None:
        return _by_authority(dataset.crs)
    try:
        text = path.with_suffix('.prj').read_bytes()[:_LONGEST_PRJ_BYTES]
    except OSError:
        raise FileProblem(
            f'{path} does not say where on Earth it lies: it has no coordinate system, and there'
            f' is no {path.with_suffix(".prj").name} beside it; "crs" in the catalogue can give'
            ' it one') from None
    return CRS.from_user_input(text.decode('utf-8', 'replace').strip())


def _by_authority(crs: rasterio.crs.CRS) -> CRS:
    """Return what pyproj knows by the same name: a definition in a file may lack its datum."""
    try:
        authority = crs.to_authority(confidence_threshold=100)
        if authority:
            return CRS.from_authority(*authority)
    except (ProjError, RasterioError):
        pass  # the PROJ of rasterio and that of pyproj need not know the same names
    return CRS.from_wkt(crs.to_wkt())


@lru_cache(maxsize=16)
def _way_to(crs: CRS) -> tuple[Transformer, float]:
    """Return the way from degrees to a system, and after what x the map repeats (see below)."""
    transformer = Transformer.from_crs(_EARTH, crs, always_xy=True)
    return transformer, _length_of_the_equator(transformer)


def _length_of_the_equator(transformer: Transformer) -> float:
    """Return after what x the map repeats; 0 where x is not proportional to longitude."""
    x, _ = transformer.transform(
        np.stack([_EQUATOR_DEG, _EQUATOR_DEG + 1]), np.zeros((2, len(_EQUATOR_DEG))))
    with np.errstate(invalid='ignore'):  # places that are on no map of it
        degree = x[1] - x[0]
    typical = float(np.median(degree))
    alike = np.isclose(degree, typical, rtol=1e-6)  # one may lie across the map's edge
    return 360 * abs(typical) if np.isfinite(typical) and alike.sum() >= 4 else 0.0


@lru_cache(maxsize=16)
def _doubt(crs: CRS, bounds: tuple[float, ...] | None) -> str:
    """
    Return what makes places in a system uncertain, for a sentence that begins with the file.

    Between the datum of a national grid and that of GNSS often lies a grid of shifts that PROJ has
    only if it was installed. Without it PROJ takes the next best way and says nothing.
    """
    area = None if bounds is None else AreaOfInterest(*bounds)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # this is what the warning would be about
        ways = TransformerGroup(_EARTH, crs, always_xy=True, area_of_interest=area)
    used_m = ways.transformers[0].accuracy if ways.transformers else -1.0
    better = [way for way in ways.unavailable_operations
              if 0 <= way.accuracy and (used_m < 0 or way.accuracy < used_m)]
    if better and not ways.best_available and not is_network_enabled():
        grids = [grid.short_name for grid in better[0].grids if not grid.available]
        return _missing_grids(crs, grids, used_m, better[0].accuracy)
    if used_m < 0:
        return (f'is in {crs.name}, between whose datum and WGS 84 PROJ knows no way: its places'
                ' may be off by a hundred metres')
    return ''


def _missing_grids(crs: CRS, grids: list[str], used_m: float, best_m: float) -> str:
    known = f'to {used_m:g} m or worse' if used_m >= 0 else 'to a hundred metres'
    commands = ' and '.join(f'"python3 -m pyproj sync --file {grid}"' for grid in grids)
    return (f'is in {crs.name}, and the datum grid {" and ".join(grids)} is not installed: without'
            f' it the imagery lies true only {known}, with it {best_m:g} m; {commands}'
            ' (or projsync) gets it')
