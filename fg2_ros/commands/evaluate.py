"""Measure the accuracy of localization."""

from __future__ import annotations

import argparse

from fg2_ros.commands.options import add_localizer_options, seed_range, write_json

UNITS = {'_m': 'm', '_deg': 'deg', '_ms': 'ms'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of each data set."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='DATA_SET', required=True)
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


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the figures as a table and write them as JSON."""
    figures = args.evaluate(args)
    print(table(figures))
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
    from fg2_ros.aerial_memory import PatchSettings
    from fg2_ros.evaluation import simulated
    from fg2_ros.localizer import Localizer, LocalizerSettings

    settings = simulated.SimulatedSettings(
        args.city_seeds, args.frames, args.difficulty, args.prior_offset, args.yaw_error,
        with_baseline=not args.no_baseline, workers=args.workers)
    imagery = simulated.CurrentCity()
    every_patch_anew = LocalizerSettings(patch=PatchSettings(recentre_m=0.0))
    localizer = Localizer.load(
        args.weights, imagery, None, args.device, args.precision, every_patch_anew)
    with tqdm(total=settings.frames, desc='localizing', dynamic_ncols=True) as bar:
        results = simulated.localized(
            simulated.shot_cities(settings), localizer, imagery, settings,
            lambda result: bar.update())
    return simulated.figures(results) | {
        'weights': args.weights.name, 'difficulty': args.difficulty,
        'city_seeds': list(args.city_seeds), 'prior_offset_m': args.prior_offset,
        'yaw_error_deg': args.yaw_error}


def table(figures: dict) -> str:
    """Return the figures one a line, with their units."""
    width = max(map(len, figures))
    return '\n'.join(f'{name:<{width}}  {_text(name, value)}' for name, value in figures.items())


def _text(name: str, value) -> str:
    if value is None:
        return '-'
    text = f'{value:.3f}' if isinstance(value, float) else str(value)
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), '')
    return f'{text} {unit}'.rstrip()
