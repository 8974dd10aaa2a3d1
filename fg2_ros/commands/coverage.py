"""
Show what a tile cache, or any MBTiles file, holds, and where a route would have no imagery.

Its exit code is 1 if part of the route has no imagery.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fg2_ros.commands.options import write_json
from fg2_ros.commands.route_options import (
    add_resolution_options, add_route_options, chosen_route, wanted_patch)

if TYPE_CHECKING:
    from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex
    from fg2_ros.prefetch.coverage import RouteTrack, Stretch
    from fg2_ros.prefetch.routes import Route


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--cache', type=Path, required=True, metavar='FILE', help='.mbtiles')
    add_route_options(parser, required=False)
    add_resolution_options(parser)
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='picture: .html (with tables) or .png')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')


def run(args: argparse.Namespace) -> int:
    """Count, draw and say what is missing."""
    from fg2_ros.prefetch.coverage import stretches_of, tracks_of
    from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
    if args.out and args.out.suffix.lower() not in ('.html', '.png'):
        raise ValueError(f'the picture {args.out} must be a .html or .png file')
    holdings, route = read_mbtiles_index(args.cache.expanduser()), chosen_route(args)
    figures, tracks, stretches = cache_figures(holdings), [], []
    if route:
        resolution_m, size_m = wanted_patch(args)
        tracks = tracks_of(route, holdings, resolution_m, size_m, args.zoom)
        stretches = stretches_of(tracks)
        figures['route'] = route_figures(
            route, tracks, stretches) | area_figures(route, holdings, resolution_m, args.zoom)
    print(text(figures, stretches))
    write_json(figures, args.json)
    if args.out:
        from fg2_ros.report.coverage import write_coverage
        write_coverage(args.out, holdings, tracks, stretches, figures)
        print(f'The picture is {args.out}')
    return int(bool(route) and not figures['route']['complete'])


def cache_figures(holdings: MbtilesIndex) -> dict:
    """Return what a file holds, zoom by zoom."""
    return {
        'file': str(holdings.path), 'attribution': holdings.metadata.get('attribution', ''),
        'zooms': [{
            'zoom': zoom, 'tiles': len(holding.keys), 'bytes': int(holding.sizes.sum()),
            'out_of_date': int((~holding.fresh).sum())}
            for zoom, holding in holdings.zooms.items()]}


def route_figures(route: Route, tracks: list[RouteTrack], stretches: list[Stretch]) -> dict:
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


def area_figures(route: Route, holdings: MbtilesIndex, resolution_m: float,
                 zoom: int | None) -> dict:
    """Return how many tiles of a route's areas are there; nothing if it has none."""
    from fg2_ros.prefetch.coverage import area_tiles
    held, needed = area_tiles(route, holdings, resolution_m, zoom)
    if not needed:
        return {}
    return {'area_tiles': needed, 'area_tiles_held': held,
            **({'complete': False} if held < needed else {})}


def text(figures: dict, stretches: list[Stretch]) -> str:
    """Return the figures for people."""
    lines = [f'{"zoom":>4}{"tiles":>12}{"MB":>12}{"out of date":>14}']
    lines += [f'{each["zoom"]:>4}{each["tiles"]:>12,}{each["bytes"] / 1e6:>12,.1f}'
              f'{each["out_of_date"]:>14,}' for each in figures['zooms']]
    route = figures.get('route')
    if route and route['stretches'] or route and route['length_km']:
        lines.append(
            f'{route["length_km"]:.3f} km of route: {route["none_km"]:.3f} km without imagery, '
            f'{route["partial_km"]:.3f} km with gaps, {route["coarser_km"]:.3f} km with coarser '
            'imagery only')
    if route and 'area_tiles' in route:
        lines.append(f'{route["area_tiles_held"]:,} of {route["area_tiles"]:,} tiles of the area')
    lines += [
        f'{stretch.state:<8} line {stretch.line + 1}, km {stretch.begin_m / 1000:.3f} to '
        f'{stretch.end_m / 1000:.3f}: {stretch.begin[0]:.6f}, {stretch.begin[1]:.6f} to '
        f'{stretch.end[0]:.6f}, {stretch.end[1]:.6f}' for stretch in stretches]
    return '\n'.join(lines)
