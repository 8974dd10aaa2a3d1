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
Show what a tile cache, or any MBTiles file, holds, and where a route would have no imagery.

Its exit code is 1 if part of the route has no imagery.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.commands.options import add_options, Output
from fg2_ros.commands.route_options import RouteOptions
from fg2_ros.prefetch.settings import ResolutionSettings
from fg2_ros.settings import setting


@dataclass(frozen=True)
class CoverageOptions:
    """What is looked at, and where the picture goes."""

    cache: Path = setting(MISSING, 'An .mbtiles file.', of=Path)
    out: Path | None = setting(None, 'Picture: .html (with tables) or .png.', of=Path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, CoverageOptions, RouteOptions, ResolutionSettings, Output)


def run(options: CoverageOptions, where: RouteOptions, resolution: ResolutionSettings,
        output: Output) -> int:
    """Count, draw and say what is missing."""
    from fg2_ros.prefetch.coverage_figures import describe_coverage, measure_coverage
    if options.out and options.out.suffix.lower() not in ('.html', '.png'):
        raise ValueError(f'the picture {options.out} must be a .html or .png file')
    coverage = measure_coverage(options.cache.expanduser(), where.read(), resolution)
    print(describe_coverage(coverage))
    output.write(coverage.figures)
    if options.out:
        from fg2_ros.report.coverage import write_coverage
        write_coverage(options.out, coverage.index, coverage.tracks, coverage.stretches,
                       coverage.figures)
        print(f'The picture is {options.out}')
    return int(not coverage.is_complete)
