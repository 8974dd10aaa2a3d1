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

"""Summaries of a prefetch for the user: what is to be downloaded, and what was."""

from __future__ import annotations

import textwrap

from fg2_ros.prefetch.job import PrefetchJob, PrefetchResult

USABLE_SHARE = 0.85  # of the cache's bound; the rest is its own book-keeping


def describe_job(job: PrefetchJob) -> str:
    """Return what would be downloaded from whom, and what speaks against it."""
    source, route, settings = job.source, job.route, job.settings
    lines = {
        'Source': f'{source.label}{f", {source.attribution}" if source.attribution else ""}',
        'Terms': source.terms,
        'Area': f'{f"{route.length_m / 1000:,.1f} km of lines, " if route.lines else ""}'
                f'{counted(len(route.areas), "area") + ", " if route.areas else ""}'
                f'{settings.margin_m:g} m around',
        'Tiles': '; where these do not exist '.join(
            f'{plan.tiles:,} of zoom {", ".join(map(str, plan.zooms))}: {plan.held:,} are there '
            f'and current, {plan.lacking:,} do not exist, {plan.to_fetch:,} to fetch'
            for plan in job.plans),
        'Coarser': f'{job.coarser.to_fetch:,} of zoom '
                   f'{", ".join(map(str, job.coarser.zooms))} at most, where the source turns out '
                   'to have none finer' if job.coarser.to_fetch else '',
        'Download': f'about {megabytes(job.download_bytes)}',
        'Cache': f'{job.path}, at most {settings.cache_mb:g} MB'}
    needed_mb = sum(plan.tiles * plan.tile_bytes for plan in job.plans) / 1e6 / USABLE_SHARE
    if needed_mb > settings.cache_mb:
        lines['Warning'] = (
            f'the cache is too small for this plan and would drop its tiles again: give '
            f'--cache-mb {needed_mb * 1.2:.0f} here, and imagery.cache_mb to the node')
    return '\n'.join(
        textwrap.fill(text, 99, initial_indent=f'{name:<10}', subsequent_indent=' ' * 10,
                      break_long_words=False, break_on_hyphens=False)
        for name, text in lines.items() if text)


def describe_result(result: PrefetchResult) -> str:
    """Return the outcome for the tiles."""
    plans, summary = result.plans, result.summary
    rest = sum(plan.to_fetch for plan in plans) - summary.tried
    lines = [
        f'{summary.fetched:,} fetched ({megabytes(summary.fetched_bytes)}), {summary.current:,} '
        f'still current, {summary.absent:,} do not exist, {summary.failed:,} failed'
        + (f', {rest:,} not tried' if rest else '')]
    lines += [f'failed {count:,} times: {reason}' for reason, count in summary.reasons.items()]
    expected = sum(plan.held for plan in plans) + summary.fetched + summary.current
    needed = sum(plan.tiles for plan in plans)
    lines.append(f'{result.kept:,} of {needed:,} tiles are in the cache')
    if result.kept < expected:
        lines.append(f'{expected - result.kept:,} that were there have been dropped: the cache is '
                     'too small for all')
    return '\n'.join(lines + [result.end] * bool(result.end))


def counted(count: int, thing: str) -> str:
    """Return a count with its noun."""
    return f'{count:,} {thing}{"s" * (count != 1)}'


def megabytes(size: float) -> str:
    """Return a number of bytes with a unit."""
    return f'{size / 1e6:,.1f} MB'
