"""What `evaluate` and `show` share about the cross-view data sets VIGOR and KITTI."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fg2_ros.commands.options import add_localizer_options

if TYPE_CHECKING:
    from fg2_ros.datasets.frames import CrossViewDataset
    from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver
    from fg2_ros.network.config import FG2Config

LOGGER = logging.getLogger(__name__)
SCALE_TOLERANCE = 0.1  # VIGOR's own images differ by as much
CAMERAS = {'vigor': 'panorama', 'kitti': 'pinhole'}


def add_data_set(
        data_sets: argparse._SubParsersAction, name: str, summary: str) -> argparse.ArgumentParser:
    """Return a data set's parser, with the options which say what is localized by what."""
    parser = data_sets.add_parser(name, help=summary, description=summary)
    parser.add_argument('--root', type=Path, required=True, help='folder of the data set')
    if name == 'vigor':
        parser.add_argument('--area', choices=['samearea', 'crossarea'], required=True)
    else:
        parser.add_argument(
            '--split', choices=['test1', 'test2'], required=True, help='same or another area')
    parser.add_argument('--ransac', action='store_true', help='robust poses, as published')
    parser.add_argument('--seed', type=int, default=0, help='of all random draws (%(default)s)')
    add_localizer_options(parser, own_weights_serve=False)
    return parser


def part_of(args: argparse.Namespace) -> str:
    """Return which part of the data set is meant."""
    return args.area if args.data_set == 'vigor' else args.split


def open_data_set(args: argparse.Namespace, config: FG2Config) -> CrossViewDataset:
    """
    Return the test frames that the options name, at the sizes of a network.

    :raises ValueError: if label files are missing, or the network is for another camera.
    """
    from fg2_ros.datasets.kitti import KittiDataset
    from fg2_ros.datasets.vigor import VigorDataset
    from fg2_ros.network.config import FG2Config
    if config.camera != CAMERAS[args.data_set]:
        raise ValueError(
            f'{args.weights} is for a {config.camera} camera, {args.data_set.upper()} has a '
            f'{CAMERAS[args.data_set]} camera')
    usual_m = FG2Config.preset(args.data_set).grid_extent_m
    if abs(config.grid_extent_m / usual_m - 1) > SCALE_TOLERANCE:
        LOGGER.warning(
            "the network's grid spans %g m, but the aerial images about %g m: distances will not "
            'fit what it was trained on', config.grid_extent_m, usual_m)
    if args.data_set == 'vigor':
        return VigorDataset(args.root, args.area, 'test', config)
    return KittiDataset(args.root, args.split, config)


def load_solver(args: argparse.Namespace) -> CrossViewSolver:
    """
    Return what localizes, on its device.

    :raises ValueError: if weights or device cannot be used.
    """
    from fg2_ros.network.weights import load_network, read_metadata
    from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver
    from fg2_ros.network.weights import usable_device, usable_precision
    from fg2_ros.network.inference import optimise_for_inference
    if not 0 <= args.seed < 2 ** 31:
        raise ValueError('the seed must lie between 0 and 2147483647')
    device = usable_device(args.device)
    network = optimise_for_inference(
        load_network(args.weights, device, usable_precision(args.precision, device)))
    scale = float(read_metadata(args.weights).get('covariance_scale', 1.0))
    return CrossViewSolver(network, args.ransac, args.seed, scale)
