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
