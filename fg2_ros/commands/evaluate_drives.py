"""`fg2 evaluate drives`: how far the tracker's poses can be trusted, on simulated drives."""

from __future__ import annotations

import argparse
from contextlib import contextmanager, ExitStack
from pathlib import Path
import tempfile
from typing import Iterator

from fg2_ros.commands.options import add_localizer_options, seed_range

SPARE_SEEDS = (2100, 2139)  # neither trained, validated nor calibrated on


def add_data_set(data_sets) -> None:
    """Declare the arguments."""
    drives = data_sets.add_parser(
        'drives', help='the tracker along simulated drives, with everything that can go wrong')
    drives.add_argument(
        '--city-seeds', type=seed_range, default=SPARE_SEEDS, metavar='A-B',
        help='a drive in each city (2100-2139); seeds below 1100 were seen in training, '
        'validation and calibration')
    drives.add_argument('--difficulty', choices=['standard', 'hard'], default='standard')
    drives.add_argument('--frames', type=int, default=60, help='of each drive (%(default)s)')
    drives.add_argument(
        '--rate', type=float, default=4.0, metavar='HZ', help='of the images (%(default)s)')
    drives.add_argument(
        '--fault', default='none', metavar='KIND',
        help='what is wrong: none, yaw180, yaw90, other_city, other_street, mirrored, prior_30m, '
        'occluded, dark, stale, clouds, odometry_jump, odometry_restart, gnss_jump, kidnapped, '
        'standstill or mount_180')
    drives.add_argument(
        '--prior-offset', type=float, default=0.0, metavar='M',
        help='all fixes are off by so many metres, and claim half of it as sigma')
    drives.add_argument('--no-heading', action='store_true', help='leave the IMU out')
    drives.add_argument(
        '--no-single-frame', action='store_true',
        help='leave out what each image alone gives, for comparison; twice as fast')
    drives.add_argument(
        '--cache', type=Path, metavar='FOLDER',
        help='keep the rendered drives there (13 MB each), for all faults')
    drives.add_argument(
        '--out', type=Path, metavar='FOLDER',
        help='keep the result of each drive there; the same command again goes on with them')
    drives.add_argument('--workers', type=int, default=2, help='rendering processes')
    drives.add_argument('--report', type=Path, metavar='FILE.html', help='write a page')
    add_localizer_options(drives)
    drives.set_defaults(evaluate=evaluate)


def evaluate(args: argparse.Namespace) -> dict:
    """
    Return the figures over simulated drives, and write the report.

    :raises ValueError: for unusable options or weights.
    """
    if args.workers < 1:
        raise ValueError('workers must be positive')
    from fg2_ros.evaluation.drives.run import RowSettings
    settings = RowSettings(
        args.city_seeds, args.difficulty, args.frames, args.rate, args.fault, args.prior_offset,
        not args.no_heading)
    with ExitStack() as stack:
        cache = args.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        render(settings, cache, args.workers)
        return evaluated(args, settings, cache)


def render(settings, cache: Path, workers: int) -> None:
    """Render the drives that are not there, with a bar."""
    from fg2_ros.evaluation.drives.rendered import render_missing
    from tqdm import tqdm
    specs = settings.specs()
    with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
        render_missing(specs, cache, workers, lambda spec: bar.update())


def evaluated(args: argparse.Namespace, settings, cache: Path) -> dict:
    """Follow the drives that have no result yet; return the figures of all."""
    from dataclasses import asdict
    from fg2_ros.evaluation.drives.figures import figures
    from fg2_ros.evaluation.drives.results import DriveResult
    from fg2_ros.evaluation.drives.vehicle import Vehicle
    from tqdm import tqdm
    described = {'weights': args.weights.name} | asdict(settings)
    described['city_seeds'] = list(settings.city_seeds)
    described['frames_per_drive'] = described.pop('frames')
    vehicle = Vehicle.load(
        args.weights, args.device, args.precision, with_single=not args.no_single_frame)
    with result_store(args, described) as store:
        left = [seed for seed in settings.seeds if seed not in store.results]
        total = len(left) * settings.frames
        with tqdm(total=total, desc='driving', unit='image', dynamic_ncols=True) as bar:
            for seed in left:
                result = vehicle.drive(settings, seed, cache, lambda image: bar.update())
                store.add(seed, result.as_json())
        results = [DriveResult.from_json(store.results[seed]) for seed in settings.seeds]
    found = figures(results) | described
    if args.report:
        from fg2_ros.evaluation.drives.moments import chosen_moments, published_poses
        from fg2_ros.report.trust import write_trust_report
        write_trust_report(
            args.report, found, published_poses(results),
            chosen_moments(results, vehicle, settings, cache))
    return found


@contextmanager
def result_store(args: argparse.Namespace, described: dict) -> Iterator:
    """Open the file of results, which depend on the weights and what is compared, too."""
    from fg2_ros.evaluation.vigor_kitti.run import file_fingerprint
    from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
    store = ResultFile(args.out, described | {
        'weights': file_fingerprint(args.weights), 'precision': args.precision,
        'single_frame': not args.no_single_frame})
    try:
        yield store
    finally:
        store.close()
