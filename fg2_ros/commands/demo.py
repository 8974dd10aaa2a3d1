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

"""Let a vehicle localize itself in a simulated city, and write a report."""

from __future__ import annotations

import argparse
import json
import time

from fg2_ros.commands.options import add_options, Output
from fg2_ros.demo.settings import DemoSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, DemoSettings, Output)


def run(settings: DemoSettings, output: Output) -> int:
    """Run the demo, and say where its report is."""
    from fg2_ros.demo.interruption import Interruption
    from fg2_ros.demo.run import run_demo
    from fg2_ros.report.drive import write_report
    begin_s = time.monotonic()
    interruption = Interruption()
    interruption.handle_signals()
    result = run_demo(settings, lambda line: print(line, flush=True), interruption)
    report = settings.output / 'report.html'
    write_report(
        report, result.record, result.orthophoto, 'A drive through a simulated city',
        f'City {settings.city_seed}, {settings.difficulty}, {settings.frames} panoramas at '
        f'{settings.rate_hz:g} Hz, weights {settings.weights or "of the package"}')
    figures = result.figures()
    print(f'{report} is ready after {time.monotonic() - begin_s:.0f} s')
    output.write(figures)
    print(f'RESULT {json.dumps(figures)}', flush=True)
    return 0
