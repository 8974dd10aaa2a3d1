"""Show what was matched in one frame of VIGOR or KITTI: lines from pixel to pixel."""

from __future__ import annotations

import argparse
from pathlib import Path

from fg2_ros.commands import vigor_kitti
from fg2_ros.commands.options import ConfigurableParser, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of each data set."""
    data_sets = parser.add_subparsers(
        dest='data_set', metavar='DATA_SET', required=True, parser_class=ConfigurableParser)
    vigor = vigor_kitti.add_data_set(data_sets, 'vigor', 'panoramas of four cities')
    vigor.add_argument(
        '--roll', type=float, metavar='DEG', help='roll the panorama to the right before')
    kitti = vigor_kitti.add_data_set(data_sets, 'kitti', 'forward camera of a vehicle')
    for data_set in (vigor, kitti):
        data_set.add_argument(
            '--index', type=int, required=True, help='of the frame, as reports have it')
        data_set.add_argument(
            '--out', type=Path, required=True, metavar='FILE', help='.png, .jpg or .html')


def run(args: argparse.Namespace) -> int:
    """
    Localize the frame, draw its matches and say how far off the pose is.

    :raises ValueError: if there is no such frame, or options cannot be used.
    """
    if args.out.suffix.lower() not in ('.png', '.jpg', '.jpeg', '.html'):
        raise ValueError(f'{args.out} must end with .png, .jpg or .html')
    from fg2_ros.datasets.frames import rolled
    from fg2_ros.report.vigor_kitti import write_case
    from fg2_ros.evaluation.vigor_kitti.run import localize_case

    solver = vigor_kitti.load_solver(args)
    dataset = vigor_kitti.open_data_set(args, solver.config)
    if not 0 <= args.index < len(dataset):
        raise ValueError(f'there are the indices 0 to {len(dataset) - 1}, not {args.index}')
    frame = dataset[args.index]
    if getattr(args, 'roll', None) is not None:
        frame = rolled(frame, args.roll)
    case = localize_case(solver, args.index, frame)
    write_case(args.out, case)
    print(f'{case.result.name}: {case.result.errors_text}')
    write_json(case.result.to_dict(), args.json)
    return 0
