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

"""Time each stage of localization on this machine."""

from __future__ import annotations

import argparse

from fg2_ros.bench.settings import BenchSettings
from fg2_ros.commands.options import add_options, NetworkOptions, Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, BenchSettings, NetworkOptions, Output)


def run(settings: BenchSettings, network: NetworkOptions, output: Output) -> int:
    """Time the stages on one rendered frame, print tables and write JSON."""
    from fg2_ros.bench.run import measure
    output.write(measure(
        settings, network.weights, network.device, network.precision,
        tell=lambda line: print(line, flush=True)))
    return 0
