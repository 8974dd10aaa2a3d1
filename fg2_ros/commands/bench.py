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
    parser.add_argument(
        '--compile', action='store_true', help='run the network through torch.compile')
    parser.add_argument(
        '--full', action='store_true',
        help='also compare the full-size head, self-attention and published RANSAC with '
        'naive ones, and measure a full-size frame (minutes on a CPU)')
    add_localizer_options(parser)


def run(args: argparse.Namespace) -> int:
    """Time the stages on one rendered frame, print tables and write JSON."""
    if args.runs < 1 or args.warm_up < 0 or args.width < 64:
        raise ValueError('there must be a run, and a panorama of at least 64 pixels')
    import torch
    from fg2_ros.network.weights import usable_device
    if args.threads:
        torch.set_num_threads(args.threads)
    device = usable_device(args.device)
    figures = {
        'device': str(device), 'precision': args.precision, 'runs': args.runs,
        'threads': torch.get_num_threads(), 'panorama_width': args.width,
        'compiled': args.compile, **time_stages(args, device), 'imagery_ms': time_imagery()}
    if args.full:
        from fg2_ros.network import FG2Config
        figures |= compare_full_size(FG2Config.preset('vigor'), device, args.precision)
    write_json(figures, args.json)
    return 0


def time_stages(args: argparse.Namespace, device) -> dict:
    """Return the stages of a frame and the frames a second; print them."""
    from fg2_ros.network.weights import load_network
    from fg2_ros.bench.timing import Bench
    from fg2_ros.network.weights import usable_precision
    from fg2_ros.network.inference import compile_for_inference, optimise_for_inference
    network = optimise_for_inference(
        load_network(args.weights, device, usable_precision(args.precision, device)))
    if args.compile:
        compile_for_inference(network)
    bench = Bench.in_a_city(network, args.width, args.city_seed)
    stages = timed(lambda: bench.run() | bench.run_again(), args.warm_up, args.runs)
    print(f'{"stage":<20}{"median":>10}{"p95":>10}{"share":>9}')
    for name, stage in stages.items():
        print(f'{name:<20}{stage["median_ms"]:>7.1f} ms{stage["p95_ms"]:>7.1f} ms'
              f'{stage["share_of_total"]:>9.1%}')
    rates = {
        'new_patch': 1e3 / stages['total']['median_ms'],
        'same_patch': 1e3 / stages['total_same_patch']['median_ms']}
    print(f'{rates["same_patch"]:.1f} frames a second on one aerial patch, '
          f'{rates["new_patch"]:.1f} if each had a new one')
    return {'stages': stages, 'frames_a_second': rates}


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


def time_imagery() -> dict[str, float]:
    """Return the milliseconds of aerial patches of the full-size network; print them."""
    from fg2_ros.bench.imagery import imagery_timings
    timings = imagery_timings()
    for name, value in timings.items():
        print(f'{name:<20}{value:>7.1f} ms')
    return timings


def compare_full_size(config, device, precision: str) -> dict:
    """
    Return ratios to the naive way and figures of a frame of a network; print them.

    :param config: `fg2_ros.network.FG2Config` of the full-size network.
    """
    import torch
    from fg2_ros.bench import comparison, full_size
    from fg2_ros.network.weights import usable_precision
    dtype = usable_precision(precision, device)
    comparisons = {
        'head': comparison.compare_head(config, device, dtype),
        'attention': comparison.compare_attention(config, device, dtype),
        'ransac': comparison.compare_ransac(config, device)}
    units = {'head': 'at most between scores', 'attention': 'at most between tokens',
             'ransac': 'm between poses'}
    for name, found in comparisons.items():
        print(f'{name:<10}{found.fast_ms:>9.1f} ms, naive '
              f'{found.naive_ms:>9.1f} ms: {found.ratio:.1f} times as fast; '
              f'{found.difference:.2g} {units[name]}')
    frame = full_size.in_own_process(
        config, str(device), precision, torch.get_num_threads())
    for name, value in frame['stages_ms'].items():
        print(f'full-size {name:<20}{value:>9.1f} ms')
    print(f'full-size frame {frame["stages_ms"]["total"] / 1e3:.1f} s, '
          f'{frame["peak_bytes"] / 1e9:.2f} GB at most; ViT-L at '
          f'{frame["transformer_gflops"]:.0f} GFLOP/s, '
          f'{frame["transformer_share_of_matmul"]:.0%} of a matrix product')
    return {
        'comparisons': {
            name: {'fast_ms': found.fast_ms, 'naive_ms': found.naive_ms,
                   'ratio': found.ratio, 'difference': found.difference}
            for name, found in comparisons.items()},
        'full_size': frame}
