"""Time each stage of localization on this machine."""

from __future__ import annotations

import argparse
from typing import Callable

from fg2_ros.commands.options import add_localizer_options, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--runs', type=int, default=30, help='timed runs (%(default)s)')
    parser.add_argument('--warm-up', type=int, default=3, help='runs before (%(default)s)')
    parser.add_argument('--threads', type=int, help='of torch (default: its own choice)')
    parser.add_argument(
        '--width', type=int, default=1024, help='of the panorama, pixels (%(default)s)')
    parser.add_argument('--city-seed', type=int, default=2000, help='(%(default)s)')
    add_localizer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Time the stages on one rendered frame, print a table and write JSON."""
    if args.runs < 1 or args.warm_up < 0 or args.width < 64:
        raise ValueError('there must be a run, and a panorama of at least 64 pixels')
    import torch
    from fg2_ros.evaluation.timing import Bench
    if args.threads:
        torch.set_num_threads(args.threads)
    bench = Bench(args.weights, args.device, args.precision, args.width, args.city_seed)
    stages = timed(bench.run, args.warm_up, args.runs)
    print(f'{"stage":<16}{"median":>10}{"p95":>10}{"share":>9}')
    for name, stage in stages.items():
        print(f'{name:<16}{stage["median_ms"]:>7.1f} ms{stage["p95_ms"]:>7.1f} ms'
              f'{stage["share_of_total"]:>9.1%}')
    write_json({
        'device': str(bench.device), 'precision': args.precision, 'runs': args.runs,
        'threads': torch.get_num_threads(), 'panorama_width': args.width, 'stages': stages},
        args.json)
    return 0


def timed(once: Callable[[], dict[str, float]], warm_up: int, runs: int) -> dict[str, dict]:
    """
    Return median, 95th percentile and share of the total of each stage.

    :param once: times every stage once, in milliseconds; one of them is ``total``.
    """
    import numpy as np
    for _ in range(warm_up):
        once()
    laps = [once() for _ in range(runs)]
    times = {name: np.array([lap[name] for lap in laps]) for name in laps[0]}
    return {
        name: {'median_ms': float(np.median(values)), 'p95_ms': float(np.percentile(values, 95)),
               'share_of_total': float(np.median(values / times['total']))}
        for name, values in times.items()}
