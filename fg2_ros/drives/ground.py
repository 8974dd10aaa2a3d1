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

"""Fetching the aerial imagery around places into a folder of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fg2_ros.datasets.ground_cells import Cell, cell_file, CellLayout, GroundCells, write_cell
from fg2_ros.drives.settings import GroundSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import AerialPatch, Imagery, ImageryError, ImageryNotReady, open_imagery
from fg2_ros.imagery.catalogue import CatalogueSource, choose_sources
from fg2_ros.imagery.patch import ImageryGaps, partial_patch, PatchView
from fg2_ros.prefetch.job import require_permission
import numpy as np

CELL_PX = 512
COARSEST_M = 1.0  # metres per pixel, as the node has it
AHEAD = 4  # cells that are asked for before they are needed
JUDGED_PX = 64  # sides of the patches whose gaps are counted
ENOUGH = 0.9  # of the patch around an image that is to be there

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Ground:
    """
    The ground around places.

    :param has_enough: (N,) bool, for each of the places whether its patch is there.
    :param cells: how many there are; ``lacking``: how many could not be had.
    :param imagery: JSON-ready words on the sources: name, vintage, attribution, terms.
    """

    layout: CellLayout
    has_enough: np.ndarray
    cells: int
    lacking: int
    imagery: list[dict[str, Any]]


def permitted_sources(settings: GroundSettings) -> list[CatalogueSource]:
    """
    Return the sources of imagery, all of which may be kept.

    :raises ValueError: with a sentence, if there is none, or the terms of one forbid it.
    """
    if not settings.source:
        raise ValueError('there is no imagery: name a source (--source)')
    sources = choose_sources(settings.source, settings.catalogue)
    for source in sources:
        if source.url or not source.offline_allowed:
            require_permission(source, settings.offline_allowed)
    return sources


def build_ground(folder: Path, frame: MapFrame, places_m: np.ndarray, settings: GroundSettings,
                 patch_m: float, progress: Progress = lambda total, done: None) -> Ground:
    """
    Keep the cells around places; those that are in the folder already are not fetched again.

    :param folder: made if it is not there.
    :param places_m: (N, 2) east, north in the map.
    :param patch_m: side of the squares around the places that must be there.
    :param progress: called with how many cells are wanted and how many are done.
    :raises ValueError: if the terms of a source forbid it, or the imagery fails for now.
    """
    sources = permitted_sources(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with closing(open_imagery(settings.source, settings.catalogue, cache_path=settings.cache,
                              coarsest_resolution_m=COARSEST_M)) as imagery:
        layout = _layout(sources, settings, frame, places_m, imagery)
        cells = _cells_around(layout, places_m, settings.reach_m)
        _fetch(folder, frame, layout, cells, imagery, settings.wait_s, progress)
    kept = GroundCells(folder, frame, layout)
    lacking = sum(cell_file(folder, cell) is None for cell in cells)
    return Ground(
        layout, np.array([partial_patch(kept, PatchView(
            frame, (east_m, north_m), patch_m, JUDGED_PX)).valid_share >= ENOUGH
            for east_m, north_m in places_m.tolist()]),
        len(cells) - lacking, lacking, [
            {'source': source.label, 'vintage': source.vintage,
             'attribution': source.attribution, 'terms': source.terms} for source in sources])


def _layout(sources: Sequence[CatalogueSource], settings: GroundSettings, frame: MapFrame,
            places_m: np.ndarray, imagery: Imagery) -> CellLayout:
    """Return how ground is cut; what the catalogue does not say of sources, a patch may."""
    label, vintage, attribution = (
        ' + '.join(dict.fromkeys(filter(None, each)))
        for each in zip(*((source.label, source.vintage, source.attribution)
                          for source in sources)))
    if not attribution and len(places_m):
        east_m, north_m = places_m[0].tolist()
        view = PatchView(frame, (east_m, north_m), CELL_PX * settings.resolution_m, JUDGED_PX)
        patch = _patch(imagery, view, settings.wait_s)
        if patch is not None:
            vintage, attribution = vintage or patch.vintage, patch.attribution
    return CellLayout(settings.resolution_m, CELL_PX, label, vintage, attribution)


def _cells_around(layout: CellLayout, places_m: np.ndarray, reach_m: float) -> list[Cell]:
    """Return the cells near places in the order in which a drive comes to them."""
    return list(dict.fromkeys(
        cell for east_m, north_m in places_m.tolist()
        for cell in layout.cells_within((east_m, north_m), reach_m)))


def _fetch(folder: Path, frame: MapFrame, layout: CellLayout, cells: Sequence[Cell],
           imagery: Imagery, wait_s: float, progress: Progress) -> None:
    wanted = [cell for cell in cells if cell_file(folder, cell) is None]
    for index, cell in enumerate(wanted):
        progress(len(cells), len(cells) - len(wanted) + index)
        for ahead in wanted[index:index + AHEAD]:
            _request(imagery, layout.view_of(ahead, frame))
        patch = _patch(imagery, layout.view_of(cell, frame), wait_s)
        if patch is not None and patch.valid_share:
            write_cell(folder, cell, patch.image, patch.valid)
    progress(len(cells), len(cells))


def _request(imagery: Imagery, view: PatchView) -> None:
    try:
        imagery.request(view)
    except ImageryError:
        pass  # the patch itself will tell


def _patch(imagery: Imagery, view: PatchView, wait_s: float) -> AerialPatch | None:
    """
    Return what there is of a patch, be it little; None where there is no imagery.

    :raises ValueError: if there may be some, but not now.
    """
    try:
        return imagery.patch(view, wait_s)
    except ImageryError as error:
        if isinstance(error, ImageryNotReady) or imagery.status().offline:
            raise ValueError(f'{error}; the same command goes on from here') from None
        return error.patch if isinstance(error, ImageryGaps) else None
