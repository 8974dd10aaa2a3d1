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

"""What `fg2 bench` measures: the stages of a frame, imagery, and a full-size network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from fg2_ros.bench import comparison, full_size
from fg2_ros.bench.imagery import imagery_timings
from fg2_ros.bench.settings import BenchSettings
from fg2_ros.bench.slow_server import slow_server_drives
from fg2_ros.bench.timing import Bench
from fg2_ros.bench.tracking import measure_posterior, measure_search, measure_tracking
from fg2_ros.network import FG2Config
from fg2_ros.network.inference import compile_for_inference, optimise_for_inference
from fg2_ros.network.weights import (
    load_network, read_metadata, usable_device, usable_precision)
import numpy as np
import torch

_DIFFERENCES = {'head': 'at most between scores', 'attention': 'at most between tokens',
                'ransac': 'm between poses'}
Tell = Callable[[str], None]


def measure(settings: BenchSettings, weights: Path, device: str = 'auto', precision: str = 'fp32',
            tell: Tell = lambda line: None) -> dict[str, Any]:
    """
    Return what the settings ask for: times, rates and comparisons, ready for JSON.

    :param tell: called with each line of the results.
    :raises ValueError: if weights, device or precision cannot be used.
    """
    if settings.slow_servers:
        return {'slow_servers': drive_along_slow_servers(tell)}
    if settings.node:
        return {'node': time_node(settings.node_images, tell)}
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    place = usable_device(device)
    figures = {
        'device': str(place), 'precision': precision, 'runs': settings.runs,
        'threads': torch.get_num_threads(), 'panorama_width': settings.width,
        'compiled': settings.compile,
        **time_stages(settings, weights, place, usable_precision(precision, place), tell),
        **time_tracking(settings, weights, place, usable_precision(precision, place), tell),
        'imagery_ms': time_imagery(tell)}
    if settings.full:
        figures |= compare_full_size(FG2Config.preset('vigor'), place, precision, tell)
    return figures


def time_node(images: int, tell: Tell) -> dict[str, float]:
    """Return what the node adds to the localizer; see `measure_node`."""
    from fg2_ros.bench.node import measure_node  # which needs ROS 2
    figures = measure_node(images, tell)
    tell(f'beside the localizer an image of 8 megapixels takes {figures["overhead_ms"]:.1f} ms '
         f'(median of {figures["worked_on"]}), of which the tracker {figures["tracker_ms"]:.1f} '
         f'ms; a callback takes {figures["callback_p95_ms"]:.2f} ms (95 %), the executor '
         f'{figures["executor_ms"]:.1f} ms for each image and what comes with it: all of the '
         'processor')
    tell(f'memory grew by {figures["growth_mb"]:.1f} MB from {figures["settled_mb"]:.0f} MB over '
         f'{figures["small_images"]:.0f} images, of which {figures["second_half_mb"]:.1f} MB in '
         'the second half')
    return figures


def time_stages(settings: BenchSettings, weights: Path, device: torch.device, dtype: torch.dtype,
                tell: Tell) -> dict[str, Any]:
    """Return the stages of a frame and the frames a second."""
    network = optimise_for_inference(load_network(weights, device, dtype))
    if settings.compile:
        compile_for_inference(network)
    bench = Bench.in_a_city(network, settings.width, settings.city_seed)
    stages = time_runs(lambda: bench.run() | bench.run_again(), settings.warm_up, settings.runs)
    tell(f'{"stage":<20}{"median":>10}{"p95":>10}{"share":>9}')
    for name, stage in stages.items():
        tell(f'{name:<20}{stage["median_ms"]:>7.1f} ms{stage["p95_ms"]:>7.1f} ms'
             f'{stage["share_of_total"]:>9.1%}')
    rates = {
        'new_patch': 1e3 / stages['total']['median_ms'],
        'same_patch': 1e3 / stages['total_same_patch']['median_ms']}
    tell(f'{rates["same_patch"]:.1f} frames a second on one aerial patch, '
         f'{rates["new_patch"]:.1f} if each had a new one')
    return {'stages': stages, 'frames_a_second': rates}


def time_tracking(settings: BenchSettings, weights: Path, device: torch.device,
                  dtype: torch.dtype, tell: Tell) -> dict[str, Any]:
    """Return what an image costs along a drive and in a search, with estimates for a GPU."""
    network = optimise_for_inference(load_network(weights, device, dtype))
    times = measure_tracking(network, read_metadata(weights), settings.city_seed)
    tell('along a drive: ' + ', '.join(f'{name} {ms:.1f} ms' for name, ms in times.items()))
    cost = measure_posterior(network.config, device)
    tell(f'posterior alone {cost["posterior_ms"]:.1f} ms; its {cost["kernels"]} kernels would be '
         f'launched on a GPU in about {cost["gpu_ms"]:.1f} ms')
    search = measure_search(network, settings.city_seed)
    tell(f'an image of a search over {search["grids"]} places {search["search_ms"]:.0f} ms; its '
         f'{search["kernels"]} kernels would be launched in about {search["gpu_ms"]:.0f} ms')
    return {'drive_ms': times, 'posterior': cost, 'search': search}


def time_runs(once: Callable[[], dict[str, float]], warm_up: int, runs: int) -> dict[str, dict]:
    """
    Return median, 95th percentile and share of the total of each stage.

    :param once: times every stage once, in milliseconds; one of them is ``total``.
    """
    for _ in range(warm_up):
        once()
    laps = [once() for _ in range(runs)]
    times = {name: np.array([lap[name] for lap in laps]) for name in laps[0]}
    return {
        name: {'median_ms': float(np.median(values)), 'p95_ms': float(np.percentile(values, 95)),
               'share_of_total': float(np.median(values / times['total']))}
        for name, values in times.items()}


def time_imagery(tell: Tell) -> dict[str, float]:
    """Return the milliseconds of aerial patches of the full-size network."""
    timings = imagery_timings()
    for name, value in timings.items():
        tell(f'{name:<20}{value:>7.1f} ms')
    return timings


def drive_along_slow_servers(tell: Tell) -> list[dict[str, Any]]:
    """Return how much of drives had imagery, and how fine, at each speed and delay."""
    tell('speed    a tile    ticks   served   finest   median resolution   requests')
    drives = slow_server_drives()
    for each in drives:
        tell(f'{each.speed_mps:2.0f} m/s {each.delay_s * 1e3:6.0f} ms '
             f'{len(each.resolutions_m):8d} '
             f'{each.served_share:8.1%} {each.finest_share:8.1%} {each.resolution_m:13.2f} m/px '
             f'{each.requests:10d}')
    return [{'speed_mps': each.speed_mps, 'delay_s': each.delay_s,
             'ticks': len(each.resolutions_m), 'served_share': each.served_share,
             'finest_share': each.finest_share, 'median_resolution_m': each.resolution_m,
             'requests': each.requests} for each in drives]


def compare_full_size(
        config: FG2Config, device: torch.device, precision: str, tell: Tell) -> dict[str, Any]:
    """
    Return ratios to the naive way and figures of a frame.

    :param config: of the full-size network.
    """
    dtype = usable_precision(precision, device)
    comparisons = {
        'head': comparison.compare_head(config, device, dtype),
        'attention': comparison.compare_attention(config, device, dtype),
        'ransac': comparison.compare_ransac(config, device)}
    for name, each in comparisons.items():
        tell(f'{name:<10}{each.fast_ms:>9.1f} ms, naive {each.naive_ms:>9.1f} ms: '
             f'{each.ratio:.1f} times as fast; {each.difference:.2g} {_DIFFERENCES[name]}')
    frame = full_size.measure_in_own_process(
        config, str(device), precision, torch.get_num_threads())
    for name, value in frame['stages_ms'].items():
        tell(f'full-size {name:<20}{value:>9.1f} ms')
    tell(f'full-size frame {frame["stages_ms"]["total"] / 1e3:.1f} s, '
         f'{frame["peak_bytes"] / 1e9:.2f} GB at most; ViT-L at '
         f'{frame["transformer_gflops"]:.0f} GFLOP/s, '
         f'{frame["transformer_share_of_matmul"]:.0%} of a matrix product')
    posterior_ms = measure_posterior(config, device)['posterior_ms']
    ground_ms = frame['stages_ms']['ground_backbone'] + frame['stages_ms']['ground_head']
    tell(f'full-size posterior {posterior_ms:.1f} ms: {posterior_ms / ground_ms:.1%} of the '
         'ground branch')
    frame['posterior_share_of_ground_branch'] = posterior_ms / ground_ms
    return {
        'comparisons': {
            name: {'fast_ms': each.fast_ms, 'naive_ms': each.naive_ms, 'ratio': each.ratio,
                   'difference': each.difference}
            for name, each in comparisons.items()},
        'full_size': frame}
