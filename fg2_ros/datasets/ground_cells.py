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

"""Aerial imagery of a recorded drive, in a folder of square cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
from fg2_ros.datasets.image_files import write_image
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.patch import AerialPatch, FileProblem, Imagery, PatchView, require_enough
from fg2_ros.imagery.resample import pixels_touched, Pyramid
from fg2_ros.imagery.status import ImageryStatus
import numpy as np

CELLS_IN_MEMORY = 32


class Cell(NamedTuple):
    """Which square of a lattice over the map: the origin is the south-west corner of (0, 0)."""

    east: int
    north: int


@dataclass(frozen=True)
class CellLayout:
    """
    How ground is cut into cells, and what it was made of.

    :param resolution_m: metres per pixel.
    :param cell_px: pixels along a cell's sides.
    :param source: of the imagery, as it is shown; ``vintage`` and ``attribution`` likewise.
    """

    resolution_m: float
    cell_px: int
    source: str
    vintage: str = ''
    attribution: str = ''

    @property
    def cell_m(self) -> float:
        """Side length of a cell."""
        return self.resolution_m * self.cell_px

    def cells_within(self, centre_m: tuple[float, float], reach_m: float) -> list[Cell]:
        """Return the cells that a circle touches, from south to north, west to east."""
        east_m, north_m = centre_m
        return [
            cell for cell in self._cells_of_square(east_m, north_m, reach_m)
            if self._distance_m(cell, east_m, north_m) <= reach_m]

    def view_of(self, cell: Cell, frame: MapFrame) -> PatchView:
        """Return the square of ground of a cell."""
        middle = ((cell.east + 0.5) * self.cell_m, (cell.north + 0.5) * self.cell_m)
        return PatchView(frame, middle, self.cell_m, self.cell_px)

    def _cells_of_square(self, east_m: float, north_m: float, reach_m: float) -> list[Cell]:
        (west, south), (east, north) = (
            np.floor(np.add((east_m, north_m), side) / self.cell_m).astype(int).tolist()
            for side in (-reach_m, reach_m))
        return [Cell(column, row) for row in range(south, north + 1)
                for column in range(west, east + 1)]

    def _distance_m(self, cell: Cell, east_m: float, north_m: float) -> float:
        nearest = [np.clip(place, index * self.cell_m, (index + 1) * self.cell_m) - place
                   for place, index in zip((east_m, north_m), cell)]
        return float(np.hypot(*nearest))


def write_cell(folder: Path, cell: Cell, image: np.ndarray, valid: np.ndarray | None) -> None:
    """
    Write a cell: as a JPEG, or as a PNG that is transparent where there is no imagery.

    :param image: (n, n, 3) uint8 RGB, north up; ``valid`` (n, n) bool, or None for everywhere.
    """
    suffix = '.jpg'
    if valid is not None and not valid.all():
        image = np.dstack([image, np.where(valid, 255, 0).astype(np.uint8)])
        suffix = '.png'
    write_image(folder / f'{_name(cell)}{suffix}', image)


def cell_file(folder: Path, cell: Cell) -> Path | None:
    """Return the file of a cell; None if the folder has none."""
    files = (folder / f'{_name(cell)}{suffix}' for suffix in ('.jpg', '.png'))
    return next((file for file in files if file.exists()), None)


class GroundCells(Imagery):
    """
    Patches of the cells in a folder; cells are read when they are needed.

    :param frame: the map frame of the cells.
    """

    def __init__(self, folder: Path, frame: MapFrame, layout: CellLayout):
        """Remember where the cells are."""
        self._folder, self._frame, self.layout = folder, frame, layout
        self._patches = 0
        self._cell = lru_cache(CELLS_IN_MEMORY)(self._read)

    def patch(self, view: PatchView, wait_s: float = 0.0) -> AerialPatch:
        """
        Return a patch; see `Imagery.patch`. There is never anything to wait for.

        :raises ImageryError: if more than half of it was not kept, or a file is damaged.
        """
        nodes = self._pixel_nodes(view)
        columns, rows = (pixels_touched(each, view.size_px) for each in nodes)
        pyramid = Pyramid(*self._mosaic(columns, rows))
        image, valid = pyramid.warp(nodes[0] - columns[0], nodes[1] - rows[0], view.size_px)
        layout = self.layout
        self._patches += 1
        return require_enough(
            AerialPatch(image, view, valid, layout.source, layout.vintage, layout.attribution,
                        layout.resolution_m), f'{self._folder} does not reach so far')

    def status(self) -> ImageryStatus:
        """Return how many patches there were."""
        return ImageryStatus(self.layout.source, hits=self._patches)

    def _pixel_nodes(self, view: PatchView) -> tuple[np.ndarray, np.ndarray]:
        """Return (5, 5) continuous columns and rows, which grow to the east and to the south."""
        if view.frame == self._frame:
            east_m, north_m = view.map_nodes()
        else:
            east_m, north_m = self._frame.map_from_geodetic(*view.geodetic_nodes())
        return east_m / self.layout.resolution_m, -north_m / self.layout.resolution_m

    def _mosaic(self, columns: tuple[int, int], rows: tuple[int, int]
                ) -> tuple[np.ndarray, np.ndarray]:
        """Return the (rows, columns, 3) pixels of a window over all cells, and their mask."""
        size = self.layout.cell_px
        shape = rows[1] - rows[0], columns[1] - columns[0]
        image, valid = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
        for row in range(rows[0] // size, (rows[1] - 1) // size + 1):
            for column in range(columns[0] // size, (columns[1] - 1) // size + 1):
                pixels = self._cell(Cell(column, -row - 1))
                if pixels is not None:
                    there, here = zip(_overlap(rows, row * size, size),
                                      _overlap(columns, column * size, size))
                    image[there] = pixels[here][..., :3]
                    valid[there] = pixels[here][..., 3]
        return image, valid

    def _read(self, cell: Cell) -> np.ndarray | None:
        """Return (n, n, 4) uint8 RGBA; None if there is no such cell."""
        path = cell_file(self._folder, cell)
        if path is None:
            return None
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        size = self.layout.cell_px
        if pixels is None or pixels.ndim != 3 or pixels.shape[:2] != (size, size):
            raise FileProblem(f'{path} is no image of {size} x {size} pixels: '
                              'build the drive anew')
        of_kind = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return cv2.cvtColor(pixels, of_kind)


def _name(cell: Cell) -> str:
    return f'{cell.east:+06d}{cell.north:+06d}'


def _overlap(window: tuple[int, int], begin: int, size: int) -> tuple[slice, slice]:
    """Return where a cell lies in a window, and which part of the cell that is."""
    first, end = max(window[0], begin), min(window[1], begin + size)
    return slice(first - window[0], end - window[0]), slice(first - begin, end - begin)
