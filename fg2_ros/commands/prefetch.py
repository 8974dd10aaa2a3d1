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

"""
Fetch the aerial tiles of a route into the cache before the drive.

It says first how many tiles that takes, and under which terms, and asks. It may be interrupted:
the same command goes on from there. The node finds the tiles when its imagery.sources and
imagery.cache_path are the same.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
import logging
import sys
from typing import TYPE_CHECKING

from fg2_ros.commands.options import add_options, Output
from fg2_ros.commands.route_options import RouteOptions
from fg2_ros.prefetch.settings import PrefetchSettings, ResolutionSettings
from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.prefetch.job import PrefetchJob, PrefetchResult
    from fg2_ros.prefetch.prefetch import Summary


@dataclass(frozen=True)
class Consent:
    """Whether something is fetched at all."""

    yes: bool = setting(False, 'Do not ask.')
    dry_run: bool = setting(False, 'Only say what would be fetched.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(
        parser, run, RouteOptions, PrefetchSettings, ResolutionSettings, Consent, Output)


def run(where: RouteOptions, settings: PrefetchSettings, resolution: ResolutionSettings,
        consent: Consent, output: Output) -> int:
    """Plan, ask, fetch and sum up."""
    from fg2_ros.prefetch.job import plan_prefetch
    from fg2_ros.prefetch.texts import describe_job, describe_result
    route = where.read()
    if route is None:
        raise ValueError('where will the vehicle be? Say --route or --bbox')
    job = plan_prefetch(route, settings, resolution)
    print(describe_job(job))
    if consent.dry_run or not job.to_fetch:
        output.write(job.to_dict())
        return 0
    if not consent.yes:
        require_consent(job.to_fetch)
    result = download_with_bar(job)
    print(describe_result(result))
    output.write(job.to_dict() | result.to_dict())
    return 130 if result.interrupted else int(bool(result.end) or result.summary.failed > 0)


def require_consent(count: int) -> None:
    """
    Ask whether to fetch some tiles.

    :raises ValueError: if the answer is no, or there is nobody to answer.
    """
    if not sys.stdin.isatty():
        raise ValueError('there is nobody to ask: say --yes to fetch these tiles')
    if input(f'Fetch {count:,} tiles? [y/N] ').strip().lower() not in ('y', 'yes'):
        raise ValueError('nothing was fetched')


def download_with_bar(job: PrefetchJob) -> PrefetchResult:
    """Download, and show the progress."""
    from fg2_ros.prefetch.job import download
    from fg2_ros.prefetch.texts import megabytes
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm
    with logging_redirect_tqdm([logging.getLogger()]), tqdm(
            total=job.plans[0].to_fetch, desc=job.source.label, unit=' tiles',
            dynamic_ncols=True) as bar:
        def show(total: int, summary: Summary) -> None:
            bar.total = total
            bar.set_postfix_str(megabytes(summary.fetched_bytes), refresh=False)
            bar.update(summary.tried - bar.n)
        return download(job, show)
