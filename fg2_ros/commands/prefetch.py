"""
Fetch the aerial tiles of a route into the cache before the drive.

It says first how many tiles that takes, and under which terms, and asks. It may be interrupted:
the same command goes on from there. The node finds the tiles when its imagery.sources and
imagery.cache_path are the same.
"""

from __future__ import annotations

import argparse
from contextlib import closing
import logging
from pathlib import Path
import sys
import textwrap
from typing import TYPE_CHECKING

from fg2_ros.commands.options import write_json
from fg2_ros.commands.route_options import (
    add_resolution_options, add_route_options, chosen_route, wanted_patch)
from fg2_ros.settings import MAINTAINERS

if TYPE_CHECKING:
    from fg2_ros.imagery.catalogue import CatalogueSource
    from fg2_ros.imagery.tiles.address import TileSource
    from fg2_ros.prefetch.plan import Plan
    from fg2_ros.prefetch.prefetch import Prefetch, Summary
    from fg2_ros.prefetch.routes import Route

USABLE_SHARE = 0.85  # of the cache's bound; the rest is its own book-keeping
CACHE = '~/.cache/fg2_ros'
INTERRUPTED = 'interrupted; the same command goes on from here'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_route_options(parser, required=True)
    parser.add_argument(
        '--margin', type=float, default=100.0, metavar='M',
        help='metres around the route; half a patch and the error of GNSS at least (%(default)s)')
    parser.add_argument('--source', required=True, metavar='NAME|URL',
                        help='a name of the catalogue, or a URL template like that of the node')
    parser.add_argument('--catalogue', default='', metavar='FILE',
                        help='describes the sources (default: config/sources.yaml)')
    add_resolution_options(parser)
    parser.add_argument('--tile-px', type=int, choices=(256, 512), help='of a URL (256)')
    parser.add_argument('--max-zoom', type=int, help='finest zoom of a URL (19)')
    parser.add_argument(
        '--cache', default=CACHE, metavar='PATH',
        help='folder with a file for each source, or an .mbtiles file (%(default)s)')
    parser.add_argument('--cache-mb', type=float, default=512.0,
                        help='its bound; the same as imagery.cache_mb of the node (%(default)s)')
    parser.add_argument('--contact', default=MAINTAINERS, help=(
        'your mail address or web page, for those who run the server (%(default)s)'))
    parser.add_argument(
        '--offline-allowed', action='store_true',
        help='of a URL: I have read its terms, and they allow to fetch and keep its tiles')
    parser.add_argument('--yes', action='store_true', help='do not ask')
    parser.add_argument('--dry-run', action='store_true', help='only say what would be fetched')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')


def run(args: argparse.Namespace) -> int:
    """Plan, ask, fetch and sum up."""
    from fg2_ros.imagery.catalogue import choose_sources
    source, = choose_sources(args.source, args.catalogue, **_of_url(args))
    require_permission(source, args.offline_allowed)
    route = chosen_route(args)
    path = source.cache_file(args.cache)
    plans = planned(source, route, path, args)
    print(description(source, route, plans, path, args))
    figures = plan_figures(source, plans, path)
    if args.dry_run or not figures['to_fetch']:
        write_json(figures, args.json)
        return 0
    require_consent(figures['to_fetch'], args.yes)
    plans, summary, end = fetched(source, plans[0], path, args)
    kept = kept_of(plans, path)
    print(result(plans, summary, kept, end))
    write_json(figures | result_figures(summary, kept, end), args.json)
    return 130 if end == INTERRUPTED else int(bool(end) or summary.failed > 0)


def require_permission(source: CatalogueSource, consents: bool) -> None:
    """
    Refuse a source whose tiles must not be kept, or of which nobody says that they may.

    :raises ValueError: with the terms.
    """
    if not source.url:
        raise ValueError(f'{source.label} is a file on this machine: there is nothing to fetch')
    if not source.offline_allowed:
        raise ValueError(
            f'the terms of {source.label} forbid to fetch and keep its tiles: {source.terms}')
    if not source.name and not consents:
        raise ValueError(
            f'nothing is known of the terms of {source.label}: it is in no catalogue. Read them, '
            'and if they allow to fetch and keep tiles, say --offline-allowed')


def planned(source: CatalogueSource, route: Route, path: Path,
            args: argparse.Namespace) -> list[Plan]:
    """
    Return the tiles that are needed, then coarser ones where the source is known to have none.

    :raises ValueError: if there are none, or too many.
    """
    from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex, read_mbtiles_index
    from fg2_ros.prefetch.plan import areas_for, coarser_plan, COARSER_ZOOMS, make_plan, tiles_at
    tiles = source.tile_source()
    if args.zoom is not None:
        areas = tiles_at(route, args.margin, args.zoom, tiles),
    else:
        areas = areas_for(route, args.margin, wanted_patch(args)[0], tiles)
    if not sum(map(len, areas)):
        raise ValueError(f'the route lies outside the bounds of {source.label}')
    holdings = read_mbtiles_index(path) if path.exists() else MbtilesIndex(path)
    plans = [make_plan(areas, holdings, tiles.tile_px)]
    for _ in range(COARSER_ZOOMS):
        plans.append(coarser_plan(plans[-1], (), holdings, tiles))
    return [plan for plan in plans if plan.tiles]


def description(source: CatalogueSource, route: Route, plans: list[Plan], path: Path,
                args: argparse.Namespace) -> str:
    """Return what would be fetched from whom, and what speaks against it, for people."""
    lines = {
        'Source': f'{source.label}{f", {source.attribution}" if source.attribution else ""}',
        'Terms': source.terms,
        'Area': f'{f"{route.length_m / 1000:,.1f} km of lines, " if route.lines else ""}'
                f'{counted(len(route.areas), "area") + ", " if route.areas else ""}'
                f'{args.margin:g} m around',
        'Tiles': '; where these do not exist '.join(
            f'{plan.tiles:,} of zoom {", ".join(map(str, plan.zooms))}: {plan.held:,} are there '
            f'and current, {plan.lacking:,} do not exist, {plan.to_fetch:,} to fetch'
            for plan in plans),
        'Download': f'about {megabytes(sum(plan.to_fetch * plan.tile_bytes for plan in plans))}',
        'Cache': f'{path}, at most {args.cache_mb:g} MB'}
    needed_mb = sum(plan.tiles * plan.tile_bytes for plan in plans) / 1e6 / USABLE_SHARE
    if needed_mb > args.cache_mb:
        lines['Warning'] = (
            f'the cache is too small for this plan and would drop its tiles again: give '
            f'--cache-mb {needed_mb * 1.2:.0f} here, and imagery.cache_mb to the node')
    return '\n'.join(
        textwrap.fill(text, 99, initial_indent=f'{name:<10}', subsequent_indent=' ' * 10,
                      break_long_words=False, break_on_hyphens=False)
        for name, text in lines.items())


def require_consent(count: int, yes: bool) -> None:
    """
    Ask whether to fetch some tiles.

    :raises ValueError: if the answer is no, or there is nobody to answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ValueError('there is nobody to ask: say --yes to fetch these tiles')
    if input(f'Fetch {count:,} tiles? [y/N] ').strip().lower() not in ('y', 'yes'):
        raise ValueError('nothing was fetched')


def fetched(source: CatalogueSource, plan: Plan, path: Path,
            args: argparse.Namespace) -> tuple[list[Plan], Summary, str]:
    """
    Fetch what is missing, and coarser tiles where the source has none.

    :return: the plans that were followed, what became of the tiles, and why it ended early or ''.
    :raises ValueError: if the cache cannot be used.
    """
    from fg2_ros.imagery import HttpSettings
    from fg2_ros.imagery.cache.cache import CacheError, TileCache
    from fg2_ros.prefetch.prefetch import Prefetch, Summary
    tiles, summary, plans = source.tile_source(), Summary(), []
    try:
        cache = TileCache(
            path, int(args.cache_mb * 1e6), tiles.public_template, tiles.attribution)
    except CacheError as error:
        raise ValueError(str(error)) from None
    try:
        http = source.http_settings(HttpSettings(contact=args.contact))
        with closing(cache), Prefetch(tiles, http, cache) as prefetch:
            follow(plan, prefetch, plans, summary, path, tiles)
            return plans, summary, prefetch.gave_up
    except KeyboardInterrupt:
        return plans, summary, INTERRUPTED


def follow(plan: Plan, prefetch: Prefetch, plans: list[Plan], summary: Summary, path: Path,
           tiles: TileSource) -> None:
    """Fetch the tiles of a plan, and of coarser ones for what is lacking; show the progress."""
    from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
    from fg2_ros.prefetch.plan import coarser_plan, COARSER_ZOOMS
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm
    with logging_redirect_tqdm([logging.getLogger()]), tqdm(
            total=plan.to_fetch, desc=tiles.name, unit=' tiles', dynamic_ncols=True) as bar:
        for _ in range(1 + COARSER_ZOOMS):
            plans.append(plan)
            lacking = set()
            for outcome in prefetch.outcomes(plan):
                summary.add(outcome)
                if outcome.kind == 'absent':
                    lacking.add(outcome.tile)
                bar.set_postfix_str(megabytes(summary.fetched_bytes), refresh=False)
                bar.update()
            plan = coarser_plan(plan, lacking, read_mbtiles_index(path), tiles)
            if prefetch.gave_up or not plan.tiles:
                return
            bar.total += plan.to_fetch


def kept_of(plans: list[Plan], path: Path) -> int:
    """Return how many tiles of some plans are in the cache now."""
    from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
    holdings = read_mbtiles_index(path)
    return sum(plan.held_in(holdings) for plan in plans)


def result(plans: list[Plan], summary: Summary, kept: int, end: str) -> str:
    """Return what became of the tiles, for people."""
    rest = sum(plan.to_fetch for plan in plans) - summary.tried
    lines = [
        f'{summary.fetched:,} fetched ({megabytes(summary.fetched_bytes)}), {summary.current:,} '
        f'still current, {summary.absent:,} do not exist, {summary.failed:,} failed'
        + (f', {rest:,} not tried' if rest else '')]
    lines += [f'failed {count:,} times: {reason}' for reason, count in summary.reasons.items()]
    expected = sum(plan.held for plan in plans) + summary.fetched + summary.current
    lines.append(f'{kept:,} of {sum(plan.tiles for plan in plans):,} tiles are in the cache')
    if kept < expected:
        lines.append(f'{expected - kept:,} that were there have been dropped: the cache is too '
                     'small for all')
    return '\n'.join(lines + [end] * bool(end))


def plan_figures(source: CatalogueSource, plans: list[Plan], path: Path) -> dict:
    """Return the plans as JSON has them."""
    return {
        'source': source.label, 'attribution': source.attribution, 'terms': source.terms,
        'cache': str(path), 'zooms': plans[0].zooms, 'tiles': plans[0].tiles,
        'held': plans[0].held, 'lacking': plans[0].lacking,
        'to_fetch': sum(plan.to_fetch for plan in plans),
        'estimated_bytes': round(sum(plan.to_fetch * plan.tile_bytes for plan in plans))}


def result_figures(summary: Summary, kept: int, end: str) -> dict:
    """Return what became of the tiles as JSON has it."""
    return {
        'fetched': summary.fetched, 'current': summary.current, 'absent': summary.absent,
        'failed': summary.failed, 'fetched_bytes': summary.fetched_bytes,
        'reasons': dict(summary.reasons), 'in_cache': kept, 'ended_early': end}


def counted(count: int, thing: str) -> str:
    """Return a number of things for people."""
    return f'{count:,} {thing}{"s" * (count != 1)}'


def megabytes(size: float) -> str:
    """Return a number of bytes for people."""
    return f'{size / 1e6:,.1f} MB'


def _of_url(args: argparse.Namespace) -> dict:
    given = {'tile_px': args.tile_px, 'max_zoom': args.max_zoom}
    return {name: value for name, value in given.items() if value is not None}
