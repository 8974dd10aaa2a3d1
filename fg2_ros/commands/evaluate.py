"""Measure the accuracy of localization."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg2_ros.commands import vigor_kitti
from fg2_ros.commands.options import (
    add_localizer_options, ConfigurableParser, seed_range, write_json)

UNITS = {'_m': 'm', '_deg': 'deg', '_ms': 'ms'}
FIRST_RUN_FILE = 'first_run.json'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of each data set."""
    data_sets = parser.add_subparsers(
        dest='data_set', metavar='DATA_SET', required=True, parser_class=ConfigurableParser)
    simulated = data_sets.add_parser('sim', help='simulated cities, rendered on the fly')
    simulated.add_argument(
        '--city-seeds', type=seed_range, default=(2000, 2009), metavar='A-B',
        help='2000-2009; seeds below 1100 were seen in training and validation')
    simulated.add_argument('--frames', type=int, default=200, help='in all (%(default)s)')
    simulated.add_argument('--difficulty', choices=['standard', 'hard'], default='standard')
    simulated.add_argument(
        '--prior-offset', type=float, default=12.0, metavar='M',
        help='of the prior position, uniform on each axis, metres (%(default)s)')
    simulated.add_argument(
        '--yaw-error', type=float, default=10.0, metavar='DEG',
        help='of the prior heading, uniform, degrees (%(default)s)')
    simulated.add_argument('--no-baseline', action='store_true', help='leave the baseline out')
    simulated.add_argument('--workers', type=int, default=2, help='rendering processes')
    add_localizer_options(simulated)
    simulated.set_defaults(evaluate=evaluate_simulated)
    vigor = vigor_kitti.add_data_set(data_sets, 'vigor', 'panoramas of four cities')
    add_orientation_options(vigor)
    kitti = vigor_kitti.add_data_set(data_sets, 'kitti', 'forward camera of a vehicle')
    for parser in (vigor, kitti):
        add_run_options(parser)
        parser.set_defaults(evaluate=evaluate_crossview)


def add_orientation_options(parser: argparse.ArgumentParser) -> None:
    """Declare how panoramas are rolled."""
    parser.add_argument(
        '--random-orientation', action='store_true',
        help='panoramas are rolled at random, within +-180 degrees')
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument(
        '--first-run', action='store_true',
        help=f'predict the orientation for a second run: writes OUT/{FIRST_RUN_FILE}')
    runs.add_argument(
        '--first-run-predictions', type=Path, metavar='FILE',
        help='a second run: panoramas are rolled back as this file of a first run predicts')


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Declare how frames are gone through, and where results go."""
    parser.add_argument('--batch-size', type=int, default=4, help='frames (%(default)s)')
    parser.add_argument('--workers', type=int, default=2, help='loading processes (%(default)s)')
    parser.add_argument(
        '--limit', type=int, metavar='N', help='only N frames, evenly spread over the data set')
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER',
        help='keep the result of each frame there; the same command again goes on with them')
    parser.add_argument('--report', type=Path, metavar='FILE.html', help='write a page')
    parser.add_argument(
        '--cases', type=int, default=4, metavar='N',
        help='worst and best frames on the page (%(default)s)')


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the figures as a table and write them as JSON."""
    figures = args.evaluate(args)
    print(text_table(figures))
    if 'groups' in figures:
        print(group_table(figures['groups']))
    write_json(figures, args.json)
    return 0


def evaluate_simulated(args: argparse.Namespace) -> dict:
    """
    Return the figures over simulated cities.

    :raises ValueError: for unusable options or weights.
    """
    if args.frames < 1 or args.workers < 1 or min(args.prior_offset, args.yaw_error) < 0:
        raise ValueError('frames and workers must be positive, errors of the prior not negative')
    from tqdm import tqdm
    from fg2_ros.localizer import PatchSettings
    from fg2_ros.evaluation import simulated
    from fg2_ros.localizer import Localizer
    from fg2_ros.localizer import LocalizerSettings

    settings = simulated.SimulatedSettings(
        args.city_seeds, args.frames, args.difficulty, args.prior_offset, args.yaw_error,
        with_baseline=not args.no_baseline, workers=args.workers)
    imagery = simulated.CurrentCity()
    every_patch_anew = LocalizerSettings(patch=PatchSettings(recentre_m=0.0))
    localizer = Localizer.load(
        args.weights, imagery, None, args.device, args.precision, every_patch_anew)
    with tqdm(total=settings.frames, desc='localizing', dynamic_ncols=True) as bar:
        results = simulated.localize_cities(
            simulated.shoot_cities(settings), localizer, imagery, settings,
            lambda result: bar.update())
    return simulated.simulated_metrics(results) | {
        'weights': args.weights.name, 'difficulty': args.difficulty,
        'city_seeds': list(args.city_seeds), 'prior_offset_m': args.prior_offset,
        'yaw_error_deg': args.yaw_error}


def evaluate_crossview(args: argparse.Namespace) -> dict:
    """
    Return the figures over a cross-view data set, and write its report.

    :raises ValueError: for unusable options, weights or label files, or if nothing was readable.
    """
    from tqdm import tqdm
    from fg2_ros.evaluation.vigor_kitti import results, run
    from fg2_ros.evaluation.vigor_kitti.orientation import FirstRun
    from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile

    running = run.RunSettings(args.batch_size, args.workers, args.limit)
    solver = vigor_kitti.load_solver(args)
    dataset = vigor_kitti.open_data_set(args, solver.config)
    orientation, rolls_deg = orientation_of(args, dataset.names)
    settings = {
        'data_set': args.data_set, 'part': vigor_kitti.part_of(args),
        'solver': 'RANSAC' if args.ransac else 'Procrustes', 'orientation': orientation,
        'seed': args.seed, 'precision': args.precision,
        'weights': run.file_fingerprint(args.weights),
        'labels': run.labels_fingerprint(dataset)}
    store = ResultFile(args.out, settings)
    try:
        with tqdm(total=len(running.indices(len(dataset))), desc='localizing', unit='frame',
                  dynamic_ncols=True) as bar:
            outcome = run.evaluate(
                dataset, solver, store, running, rolls_deg, bar.update)
    finally:
        store.close()
    by_axis = args.data_set == 'kitti'
    figures = settings | results.pose_metrics(outcome.results, by_axis) | {
        'groups': results.pose_metrics_by_group(outcome.results, by_axis),
        'unreadable_count': len(outcome.unreadable), 'unreadable': outcome.unreadable,
        'broken_label_count': len(outcome.broken_labels),
        'broken_labels': outcome.broken_labels}
    if getattr(args, 'first_run', False):
        FirstRun.of(outcome.results).write(args.out / FIRST_RUN_FILE)
    if args.report:
        write_report(args, figures, outcome, solver, dataset, rolls_deg)
    return figures


def orientation_of(
        args: argparse.Namespace, names: list[str]) -> tuple[str, list[float] | None]:
    """
    Return what is known of the orientation, and the rolls of all frames if it is not known.

    :raises ValueError: if options contradict each other or the first run's file is unusable.
    """
    from fg2_ros.evaluation.vigor_kitti.run import file_fingerprint
    from fg2_ros.evaluation.vigor_kitti.orientation import FirstRun, random_rolls_deg
    if args.data_set == 'kitti' or not args.random_orientation:
        if args.data_set == 'vigor' and (args.first_run or args.first_run_predictions):
            raise ValueError('a first or second run is one with --random-orientation')
        return 'known', None
    if args.first_run_predictions:
        first = FirstRun.read(args.first_run_predictions)
        return (f'predicted by a first run ({file_fingerprint(args.first_run_predictions)[:12]})',
                first.remaining_deg(names, args.seed))
    if args.first_run and not args.out:
        raise ValueError('--first-run needs --out FOLDER for its predictions')
    return 'unknown', random_rolls_deg(names, args.seed)


def write_report(args: argparse.Namespace, figures: dict, outcome, solver, dataset,
                 rolls_deg: list[float] | None) -> None:
    """Localize the best and the worst frames once more, and write the page."""
    from fg2_ros.evaluation.vigor_kitti import run
    from fg2_ros.report.vigor_kitti import write_crossview_report
    cases = [run.draw_cases(results, solver, dataset, rolls_deg)
             for results in run.extremes(outcome.results, args.cases)]
    write_crossview_report(args.report, figures, outcome.results, *cases, {
        'weights': args.weights.name, 'root': args.root.name, 'limit': args.limit})


def text_table(figures: dict) -> str:
    """Return the figures one a line, with their units; sentences below their count."""
    width = max(map(len, figures))
    lines = []
    for name, value in figures.items():
        if isinstance(value, list) and name in ('unreadable', 'broken_labels'):
            lines += [f'  {sentence}' for sentence in value]
        elif not isinstance(value, dict):
            lines.append(f'{name:<{width}}  {_text(name, value)}')
    return '\n'.join(lines)


def group_table(groups: dict[str, dict]) -> str:
    """Return one line for each city or drive."""
    columns = ('frames', 'mean_error_m', 'median_error_m', 'median_yaw_error_deg')
    width = max(map(len, groups))
    lines = [' ' * width + ''.join(f'{name:>22}' for name in columns)]
    lines += [f'{group:<{width}}' + ''.join(f'{_text(name, values[name]):>22}' for name in columns)
              for group, values in groups.items()]
    return '\n'.join(lines)


def _text(name: str, value) -> str:
    if value is None:
        return '-'
    text = f'{value:.3f}' if isinstance(value, float) else str(value)
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), '')
    return f'{text} {unit}'.rstrip()
