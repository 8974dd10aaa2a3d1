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

"""Figures of coverage: contents of a tile cache, and coverage of a route."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex, read_mbtiles_index
from fg2_ros.prefetch.coverage import area_tiles, RouteTrack, Stretch, stretches_of, tracks_of
from fg2_ros.prefetch.routes import Route
from fg2_ros.prefetch.settings import ResolutionSettings


@dataclass(frozen=True)
class Coverage:
    """
    What a file of tiles holds, and what a route gets of it.

    :param tracks: of each line of the route, what the patches along it get.
    :param stretches: where they get less than all.
    :param figures: ready for JSON; with 'route' if there is one.
    """

    index: MbtilesIndex
    tracks: list[RouteTrack] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the whole route has imagery, if there is one."""
        return 'route' not in self.figures or self.figures['route']['complete']


def measure_coverage(cache: Path, route: Route | None = None,
                     resolution: ResolutionSettings = ResolutionSettings()) -> Coverage:
    """
    Return what a file of tiles holds, and what a route would get of it.

    :param cache: an MBTiles file.
    :raises ValueError: if it, the weights or the route cannot be used.
    """
    index = read_mbtiles_index(cache)
    figures = cache_figures(index)
    if not route:
        return Coverage(index, figures=figures)
    resolution_m, size_m = resolution.patch()
    tracks = tracks_of(route, index, resolution_m, size_m, resolution.zoom)
    stretches = stretches_of(tracks)
    figures['route'] = route_figures(tracks, stretches) | area_figures(
        route, index, resolution_m, resolution.zoom)
    return Coverage(index, tracks, stretches, figures)


def cache_figures(index: MbtilesIndex) -> dict[str, Any]:
    """Return what a file holds, zoom by zoom."""
    return {
        'file': str(index.path), 'attribution': index.metadata.get('attribution', ''),
        'zooms': [{
            'zoom': zoom, 'tiles': len(tiles.keys), 'bytes': int(tiles.sizes.sum()),
            'out_of_date': int((~tiles.fresh).sum())} for zoom, tiles in index.zooms.items()]}


def route_figures(tracks: list[RouteTrack], stretches: list[Stretch]) -> dict[str, Any]:
    """Return how much of a route's lines has imagery, and where it has none."""
    lengths = dict.fromkeys(('coarser', 'partial', 'none'), 0.0)
    for stretch in stretches:
        lengths[stretch.state] += stretch.length_m / 1000
    return {
        'length_km': sum(float(track.distance_m[-1]) for track in tracks) / 1000,
        **{f'{state}_km': length_km for state, length_km in lengths.items()},
        'complete': not any(stretch.state == 'none' for stretch in stretches),
        'stretches': [{
            'state': stretch.state, 'line': stretch.line, 'begin_km': stretch.begin_m / 1000,
            'end_km': stretch.end_m / 1000, 'begin': stretch.begin, 'end': stretch.end}
            for stretch in stretches]}


def area_figures(route: Route, index: MbtilesIndex, resolution_m: float,
                 zoom: int | None) -> dict[str, Any]:
    """Return how many tiles of a route's areas are there; nothing if it has none."""
    held, needed = area_tiles(route, index, resolution_m, zoom)
    if not needed:
        return {}
    return {'area_tiles': needed, 'area_tiles_held': held,
            **({'complete': False} if held < needed else {})}


def describe_coverage(coverage: Coverage) -> str:
    """Return the figures as text."""
    figures, stretches = coverage.figures, coverage.stretches
    lines = [f'{"zoom":>4}{"tiles":>12}{"MB":>12}{"out of date":>14}']
    lines += [f'{each["zoom"]:>4}{each["tiles"]:>12,}{each["bytes"] / 1e6:>12,.1f}'
              f'{each["out_of_date"]:>14,}' for each in figures['zooms']]
    route = figures.get('route', {})
    if route.get('length_km'):
        lines.append(
            f'{route["length_km"]:.3f} km of route: {route["none_km"]:.3f} km without imagery, '
            f'{route["partial_km"]:.3f} km with gaps, {route["coarser_km"]:.3f} km with coarser '
            'imagery only')
    if 'area_tiles' in route:
        lines.append(f'{route["area_tiles_held"]:,} of {route["area_tiles"]:,} tiles of the area')
    lines += [
        f'{stretch.state:<8} line {stretch.line + 1}, km {stretch.begin_m / 1000:.3f} to '
        f'{stretch.end_m / 1000:.3f}: {stretch.begin[0]:.6f}, {stretch.begin[1]:.6f} to '
        f'{stretch.end[0]:.6f}, {stretch.end[1]:.6f}' for stretch in stretches]
    return '\n'.join(lines)
