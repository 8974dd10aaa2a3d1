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

"""The tiles of a route into a cache: planned, judged by their terms, downloaded, counted."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
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
Progress = Callable[[int, Summary], None]


@dataclass(frozen=True)
class PrefetchJob:
    """
    What is to be downloaded.

    :param path: of the cache's file.
    :param plans: the tiles that are needed, then coarser ones where the source is known to have
        none.
    """

    settings: PrefetchSettings
    source: CatalogueSource
    route: Route
    path: Path
    plans: list[Plan]

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
            'to_fetch': self.to_fetch, 'estimated_bytes': round(self.download_bytes)}


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
    return PrefetchJob(
        settings, source, route, path, _plans(source, route, path, settings.margin_m, resolution))


def require_permission(source: CatalogueSource, offline_allowed: bool) -> None:
    """
    Refuse a source whose tiles must not be kept, or of which nobody says that they may.

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


def _plans(source: CatalogueSource, route: Route, path: Path, margin_m: float,
           resolution: ResolutionSettings) -> list[Plan]:
    tiles = source.tile_source()
    if resolution.zoom is not None:
        areas: tuple[TileArea, ...] = tiles_at(route, margin_m, resolution.zoom, tiles.layout),
    else:
        areas = areas_for(route, margin_m, resolution.patch()[0], tiles.layout)
    if not sum(map(len, areas)):
        raise ValueError(f'the route lies outside the bounds of {source.label}')
    index = read_mbtiles_index(path) if path.exists() else MbtilesIndex(path)
    plans = [make_plan(areas, index, tiles.tile_px)]
    for _ in range(COARSER_ZOOMS):
        plans.append(coarser_plan(plans[-1], (), index, tiles.layout))
    return [plan for plan in plans if plan.tiles]


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
        http = source.http_settings(HttpSettings(contact=settings.contact))
        with closing(cache), Prefetch(tiles, http, cache) as prefetch:
            _download_plans(job, prefetch, result, progress)
            result.end = prefetch.gave_up
    except KeyboardInterrupt:
        result.end = INTERRUPTED
    index = read_mbtiles_index(job.path)
    result.kept = sum(plan.held_in(index) for plan in result.plans)
    return result


def _download_plans(job: PrefetchJob, prefetch: Prefetch, result: PrefetchResult,
                    progress: Progress) -> None:
    """Fetch the tiles of the first plan, then coarser ones for what turns out to be lacking."""
    plan, tiles, total = job.plans[0], job.source.tile_source(), 0
    for _ in range(1 + COARSER_ZOOMS):
        result.plans.append(plan)
        total += plan.to_fetch
        lacking = set()
        for outcome in prefetch.outcomes(plan):
            result.summary.add(outcome)
            if outcome.kind == 'absent':
                lacking.add(outcome.tile)
            progress(total, result.summary)
        plan = coarser_plan(plan, lacking, read_mbtiles_index(job.path), tiles.layout)
        if prefetch.gave_up or not plan.tiles:
            return
