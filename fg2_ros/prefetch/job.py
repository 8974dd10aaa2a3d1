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

"""A prefetch job: tiles are planned, terms are checked, then tiles are downloaded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
import logging
from pathlib import Path
from typing import Any, Callable

from fg2_ros.imagery import HttpSettings
from fg2_ros.imagery.cache.cache import CacheError, TileCache
from fg2_ros.imagery.catalogue import CatalogueSource, choose_sources
from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex, read_mbtiles_index
from fg2_ros.prefetch.areas import TileArea
from fg2_ros.prefetch.plan import areas_for, coarser_plan, COARSER_ZOOMS, make_plan, Plan, tiles_at
from fg2_ros.prefetch.prefetch import Prefetch, Summary
from fg2_ros.prefetch.routes import Route
from fg2_ros.prefetch.settings import PrefetchSettings, ResolutionSettings

INTERRUPTED = 'interrupted; the same command goes on from here'
_logger = logging.getLogger(__name__)
Progress = Callable[[int, Summary], None]


@dataclass(frozen=True)
class PrefetchJob:
    """
    What is to be downloaded.

    :param path: of the cache's file.
    :param plans: the tiles that are needed, then coarser ones where the source is known to have
        none.
    :param coarser: what may be asked for besides, where it turns out to have none.
    """

    settings: PrefetchSettings
    resolution: ResolutionSettings
    source: CatalogueSource
    route: Route
    path: Path
    plans: list[Plan]
    coarser: Plan

    @property
    def tile_px(self) -> int:
        """Return the side of its tiles."""
        return self.source.tile_source().tile_px

    @property
    def to_fetch(self) -> int:
        """Return how many tiles are asked for."""
        return sum(plan.to_fetch for plan in self.plans)

    @property
    def download_bytes(self) -> float:
        """Return what these take, about."""
        return sum(plan.to_fetch * plan.tile_bytes for plan in self.plans)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of the plans, ready for JSON."""
        first = self.plans[0]
        return {
            'source': self.source.label, 'attribution': self.source.attribution,
            'terms': self.source.terms, 'cache': str(self.path), 'zooms': first.zooms,
            'tiles': first.tiles, 'held': first.held, 'lacking': first.lacking,
            'to_fetch': self.to_fetch, 'coarser_at_most': self.coarser.to_fetch,
            'estimated_bytes': round(self.download_bytes)}


@dataclass
class PrefetchResult:
    """
    What became of a job.

    :param plans: those that were gone through, the last perhaps not to its end.
    :param kept: how many of their tiles are in the cache now.
    :param end: why it ended early, or ''.
    """

    plans: list[Plan] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    kept: int = 0
    end: str = ''

    @property
    def interrupted(self) -> bool:
        """Whether it was ended from outside."""
        return self.end == INTERRUPTED

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        summary = self.summary
        return {
            'fetched': summary.fetched, 'current': summary.current, 'absent': summary.absent,
            'failed': summary.failed, 'fetched_bytes': summary.fetched_bytes,
            'reasons': dict(summary.reasons), 'in_cache': self.kept, 'ended_early': self.end}


def plan_prefetch(route: Route, settings: PrefetchSettings,
                  resolution: ResolutionSettings = ResolutionSettings()) -> PrefetchJob:
    """
    Return what is to be downloaded for a route; nothing is asked of any server.

    :raises ValueError: if the terms forbid it, the route cannot be used, or it takes no tiles or
        too many.
    """
    source, = choose_sources(
        settings.source, settings.catalogue, tile_px=settings.tile_px, max_zoom=settings.max_zoom)
    require_permission(source, settings.offline_allowed)
    path = source.cache_file(settings.cache)
    if path is None:
        raise ValueError('name a cache: its path must not be empty')
    return _planned(source, route, path, settings, resolution)


def require_permission(source: CatalogueSource, offline_allowed: bool) -> None:
    """
    Refuse a source whose tiles must not be kept, or whose terms do not say so.

    :raises ValueError: with the terms.
    """
    if not source.url:
        raise ValueError(f'{source.label} is a file on this machine: there is nothing to fetch')
    if not source.offline_allowed:
        raise ValueError(
            f'the terms of {source.label} forbid to fetch and keep its tiles: {source.terms}')
    if not source.name and not offline_allowed:
        raise ValueError(
            f'nothing is known of the terms of {source.label}: it is in no catalogue. Read them, '
            'and if they allow to fetch and keep tiles, say --offline-allowed')


def _planned(source: CatalogueSource, route: Route, path: Path, settings: PrefetchSettings,
             resolution: ResolutionSettings) -> PrefetchJob:
    layout, margin_m = source.tile_source().layout, settings.margin_m
    if resolution.zoom is not None:
        areas: tuple[TileArea, ...] = tiles_at(route, margin_m, resolution.zoom, layout),
    else:
        areas = areas_for(route, margin_m, resolution.patch()[0], layout)
    if not sum(map(len, areas)):
        raise ValueError(f'the route lies outside the bounds of {source.label}')
    zooms = {area.zoom - less for area in areas for less in range(1, COARSER_ZOOMS + 1)}
    below = tuple(tiles_at(route, margin_m, zoom, layout) for zoom in sorted(zooms, reverse=True)
                  if zoom >= layout.min_zoom)
    index = read_mbtiles_index(path) if path.exists() else MbtilesIndex(path)
    coarser = make_plan(below, index, layout.tile_px)
    plans = [make_plan(areas, index, layout.tile_px)]
    for _ in range(COARSER_ZOOMS):
        plans.append(coarser_plan(plans[-1], (), index, coarser))
    return PrefetchJob(settings, resolution, source, route, path,
                       [plan for plan in plans if plan.tiles], coarser)


def download(job: PrefetchJob, progress: Progress = lambda total, summary: None) -> PrefetchResult:
    """
    Fetch what is missing, and coarser tiles where the source has none.

    :param progress: called after each tile with how many there are to fetch, as far as is known,
        and what became of those until now.
    :raises ValueError: if the cache cannot be used.
    """
    source, settings, result = job.source, job.settings, PrefetchResult()
    tiles = source.tile_source()
    try:
        cache = TileCache(
            job.path, int(settings.cache_mb * 1e6), tiles.public_template, tiles.attribution)
    except CacheError as error:
        raise ValueError(str(error)) from None
    try:
        http = source.http_settings(
            HttpSettings(contact=settings.contact, rate_per_s=settings.rate_per_s))
        with closing(cache), Prefetch(tiles, http, cache) as prefetch:
            _follow(job, prefetch, result, progress)
            result.end = prefetch.gave_up
    except KeyboardInterrupt:
        result.end = INTERRUPTED
    index = read_mbtiles_index(job.path)
    result.kept = sum(plan.held_in(index) for plan in result.plans)
    return result


def _follow(job: PrefetchJob, prefetch: Prefetch, result: PrefetchResult,
            progress: Progress) -> None:
    """Fetch the tiles of the first plan, then coarser ones for what turns out to be lacking."""
    plan, begun = job.plans[0], result.summary.tried
    for _ in range(1 + COARSER_ZOOMS):
        result.plans.append(plan)
        total = begun + sum(each.to_fetch for each in result.plans)
        lacking = set()
        for outcome in prefetch.outcomes(plan):
            result.summary.add(outcome)
            if outcome.kind == 'absent':
                lacking.add(outcome.tile)
            progress(total, result.summary)
            if prefetch.tile_px not in (0, job.tile_px):
                prefetch.drop_rest()
        if prefetch.tile_px not in (0, job.tile_px):
            result.plans.clear()
            _follow(_for_tiles_of(job, prefetch.tile_px), prefetch, result, progress)
            return
        plan = coarser_plan(plan, lacking, read_mbtiles_index(job.path), job.coarser)
        if prefetch.gave_up or not plan.tiles:
            return


def _for_tiles_of(job: PrefetchJob, tile_px: int) -> PrefetchJob:
    """Return a job for tiles of the size that they turn out to have, as the node will use them."""
    _logger.warning(
        '%s has tiles of %d pixels, not of %d as was said (tile_px): the plan is made anew',
        job.source.label, tile_px, job.tile_px)
    source = replace(job.source, tile_px=tile_px)
    return _planned(source, job.route, job.path, job.settings, job.resolution)
