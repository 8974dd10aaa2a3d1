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

"""Many orthophotos as one, as surveys deliver them: each sheet in its own file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
import logging
import os
from pathlib import Path

from fg2_ros.imagery.patch import FileProblem, ImageryError, PatchView
from fg2_ros.imagery.stores.bands import Bands, RasterOptions
from fg2_ros.imagery.stores.cutting import cut, Cutout, filled, nothing, Part
from fg2_ros.imagery.stores.orthophoto import explained, open_raster, Orthophoto
from fg2_ros.imagery.stores.projection import Projection
from fg2_ros.imagery.stores.raster_files import RasterFile
import numpy as np
from pyproj import CRS

_MOST_OPEN = 12  # sheets; each has a few overviews open as well
_AT_ONCE = 8  # of them that are read into one picture
_SAME_PIXEL = 0.04  # of a pixel within which sheets lie in one grid
_RANGE_SAMPLES = 5  # sheets of which the values shown as black and white are found
_DEGREE_M = 111_000.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sheet:
    """
    A sheet as the index has it.

    :param bounds: west, south, east and north in degrees; east may be beyond 180.
    :param resolution_m: metres per pixel, roughly.
    :param kind: of its values.
    :param doubts: why its places may be wrong, sentences.
    :param crs: its coordinate system, as text.
    :param transform: (3, 3) from its pixels to that.
    :param grid: number of the grid of pixels that it shares with others.
    :param column: of that grid where its pixels begin.
    :param row: likewise.
    """

    file: RasterFile
    bounds: tuple[float, float, float, float]
    resolution_m: float
    kind: str
    doubts: tuple[str, ...]
    crs: str
    transform: tuple[tuple[float, ...], ...]
    grid: int = 0
    column: int = 0
    row: int = 0


class Sheets:
    """
    Sheets, of which only those at the place of a patch are opened, and few stay open.

    They may differ in coordinate system, resolution and kind of values. Where they overlap the
    finest is shown; of equals that whose name comes last, which is mostly the newest.

    :param path: the file or folder that they are in.
    :param files: the sheets.
    :param options: what the user knows of them.
    :raises FileProblem: if none of them can be used.
    """

    def __init__(self, path: Path, files: Sequence[RasterFile], options: RasterOptions):
        self._path = path
        self._state = _state_of(files)
        self._options = options
        self._sheets = _index(path, files, options)
        self._bounds = np.array([sheet.bounds for sheet in self._sheets])
        self._open: OrderedDict[_Sheet, Orthophoto] = OrderedDict()
        self._bands: dict[_Sheet, Bands] = {}  # to find them out takes longer than to open a file
        self._ranges: dict[str, tuple[float, ...]] = {}
        self.notice = ''
        self.doubts = tuple(dict.fromkeys(
            doubt for sheet in self._sheets for doubt in sheet.doubts))
        try:
            self._ranges = self._found_ranges()
            self.attribution = self._orthophoto(self._sheets[-1]).attribution
        except BaseException:
            self.close()
            raise

    @property
    def bounds(self) -> tuple[float, ...] | None:
        """Return west, south, east, north in degrees of all together."""
        west, south = self._bounds[:, :2].min(axis=0).tolist()
        east, north = self._bounds[:, 2:].max(axis=0).tolist()
        return None if east - west >= 180 else (west, south, east, north)

    def is_current(self) -> bool:
        """Return whether no sheet was added, taken away or changed since."""
        return self._state == _state_of([sheet.file for sheet in self._sheets])

    def cut(self, view: PatchView) -> Cutout:
        """
        Return what there is of a patch, the gaps of a sheet filled from its neighbours.

        :raises ImageryError: if nothing is there and a sheet that should have it is unusable.
        """
        found, problem = None, None
        for sheets in self._groups(view):
            try:
                cutout = cut(self._parts(sheets), view)
            except ImageryError as error:
                for sheet in sheets:
                    self._close_one(sheet)
                problem = problem or error
                continue
            found = cutout if found is None else filled(found, cutout)
            if found.valid is None:
                break
        if found is not None and (found.valid is None or found.valid.any() or not problem):
            return found
        if problem is not None:
            raise problem
        return Cutout(*nothing(view.size_px), self._sheets[-1].resolution_m,
                      'the place is outside it, on none of its sheets')

    def close(self) -> None:
        """Close all sheets."""
        for sheet in list(self._open):
            self._close_one(sheet)

    def _groups(self, view: PatchView) -> list[list[_Sheet]]:
        """Return the sheets that may show something of a patch, by their grids, the best first."""
        if len(self._sheets) == 1:
            return [self._sheets]  # which knows best itself where it ends
        latitude, longitude = view.geodetic_nodes()
        middle, half = view.geodetic_centre()[1], np.ptp(
            (longitude - longitude[0, 0] + 180) % 360 - 180)
        west, south, east, north = self._bounds.T
        away = np.abs((middle - (west + east) / 2 + 180) % 360 - 180)
        near = ((away <= (east - west) / 2 + half) & (south <= latitude.max())
                & (north >= latitude.min()))
        groups: dict[int, list[_Sheet]] = {}
        for index in np.flatnonzero(near):
            sheet = self._sheets[index]
            groups.setdefault(sheet.grid, []).append(sheet)
        return [sheets[start:start + _AT_ONCE] for sheets in groups.values()
                for start in range(0, len(sheets), _AT_ONCE)]

    def _parts(self, sheets: list[_Sheet]) -> list[Part]:
        first = sheets[0]
        return [Part(self._orthophoto(sheet), sheet.column - first.column, sheet.row - first.row)
                for sheet in sheets]

    def _orthophoto(self, sheet: _Sheet) -> Orthophoto:
        """Return a sheet, open."""
        if sheet not in self._open:
            options = self._options
            if sheet.kind in self._ranges and not options.shown_range:
                options = replace(options, shown_range=self._ranges[sheet.kind])
            self._open[sheet] = Orthophoto(sheet.file, options, self._bands.get(sheet))
            self._bands[sheet] = self._open[sheet].bands
            self.notice = self.notice or self._open[sheet].notice
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(sheet)
        return self._open[sheet]

    def _close_one(self, sheet: _Sheet) -> None:
        orthophoto = self._open.pop(sheet, None)
        if orthophoto is not None:
            orthophoto.close()

    def _found_ranges(self) -> dict[str, tuple[float, ...]]:
        """Return the values shown as black and white, for all sheets of a kind the same."""
        ranges: dict[str, tuple[float, ...]] = {}
        for kind in {sheet.kind for sheet in self._sheets} - {'uint8'}:
            sheets = [sheet for sheet in self._sheets if sheet.kind == kind]
            some = sheets[::max(1, len(sheets) // _RANGE_SAMPLES)][:_RANGE_SAMPLES]
            bands = [self._orthophoto(sheet).bands for sheet in some]
            ranges[kind] = min(one.black for one in bands), max(one.white for one in bands)
        self.close()  # they were opened without
        self._bands.clear()
        return ranges


def _index(path: Path, files: Sequence[RasterFile], options: RasterOptions) -> list[_Sheet]:
    """Return the sheets that can be used, the best first."""
    sheets, problems = [], []
    doubted: set[CRS] = set()
    for file in files:
        try:
            sheets.append(_indexed(file, options, doubted))
        except FileProblem as problem:
            problems.append(problem)
    if not sheets:
        raise problems[0]
    if problems:
        _logger.warning('%d of %d files in %s are left out: %s', len(problems), len(files), path,
                        problems[0])
    sheets.sort(key=lambda sheet: (str(sheet.file.path), sheet.file.table), reverse=True)
    return _gridded(sorted(sheets, key=lambda sheet: sheet.resolution_m))


def _indexed(file: RasterFile, options: RasterOptions, doubted: set[CRS]) -> _Sheet:
    """
    Return a sheet, not yet in a grid.

    :param doubted: the coordinate systems of which it is known whether places in them are right:
        that takes longer than to open a file.
    """
    with explained(file.path), open_raster(file) as dataset:
        projection = Projection(dataset, file.path, options.crs)
        west, south, east, north = projection.bounds or (-180.0, -90.0, 180.0, 90.0)
        east += 360 * (east < west)
        resolution_m = (north - south) * _DEGREE_M / max(dataset.shape)
        doubt = '' if projection.crs in doubted else projection.doubt
        doubted.add(projection.crs)
        return _Sheet(file, (west, south, east, north), float(f'{resolution_m:.1e}'),
                      dataset.dtypes[0], (doubt,) if doubt else (), str(dataset.crs),
                      tuple(map(tuple, np.reshape(dataset.transform[:9], (3, 3)).tolist())))


def _gridded(sheets: Sequence[_Sheet]) -> list[_Sheet]:
    """Return sheets with the grids that their pixels share; each begins with a sheet."""
    firsts: dict[tuple, np.ndarray] = {}  # of the sheets with pixels of some size: the way to them
    grids: dict[tuple, tuple[int, np.ndarray]] = {}
    placed = []
    for sheet in sheets:
        transform = np.array(sheet.transform)
        pixel = (sheet.crs, *(f'{number:.8e}' for number in transform[:2, :2].ravel()))
        move = (firsts.setdefault(pixel, np.linalg.inv(transform)) @ transform)[:2, 2]
        phase = np.round((move - np.round(move)) / _SAME_PIXEL).astype(int)
        number, begin = grids.setdefault((*pixel, *phase.tolist()), (len(grids), move))
        column, row = np.round(move - begin).astype(int).tolist()
        placed.append(replace(sheet, grid=number, column=column, row=row))
    return placed


def _state_of(files: Sequence[RasterFile]) -> dict[Path, tuple[int, int]]:
    """Return when the folders of some files changed last."""
    state = {}
    for folder in {file.path.parent for file in files}:
        try:
            stat = os.stat(folder)
        except OSError:
            continue  # inside an archive
        state[folder] = stat.st_mtime_ns, stat.st_ino
    return state
