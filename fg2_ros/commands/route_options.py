"""Options of the sub-commands that are about imagery along a route."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fg2_ros.settings import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from fg2_ros.prefetch.routes import Route

_ROUTE_KINDS = '.gpx, .geojson, .bag, .mcap, .db3, or a rosbag2 folder'


def add_route_options(parser: argparse.ArgumentParser, required: bool) -> None:
    """Declare where the vehicle will be."""
    where = parser.add_mutually_exclusive_group(required=required)
    where.add_argument('--route', type=Path, metavar='FILE', help=_ROUTE_KINDS)
    where.add_argument(
        '--bbox', type=bbox, metavar='W,S,E,N',
        help='a box in degrees; --bbox=-1.5,... if it begins with a minus')


def add_resolution_options(parser: argparse.ArgumentParser) -> None:
    """Declare how fine the imagery has to be."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--zoom', type=int, metavar='Z', help='of the tiles')
    how.add_argument(
        '--resolution', type=float, metavar='M_PER_PX',
        help='metres per pixel (default: what the weights want)')
    how.add_argument('--weights', type=Path, default=SHIPPED_WEIGHTS,
                     help="file (default: the package's own)")


def bbox(text: str) -> Route:
    """
    Return the area of ``west,south,east,north`` in degrees.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    from fg2_ros.prefetch.routes import box
    try:
        west, south, east, north = map(float, text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not west,south,east,north in degrees') from None
    try:
        return box(west, south, east, north)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def chosen_route(args: argparse.Namespace) -> Route | None:
    """
    Return where the vehicle will be; None if nothing is said of it.

    :raises ValueError: if the file of the route cannot be used.
    """
    from fg2_ros.prefetch.routes import read_route
    return read_route(args.route) if args.route else args.bbox


def wanted_patch(args: argparse.Namespace) -> tuple[float, float]:
    """
    Return metres per pixel and side in metres of the aerial patches of the weights.

    ``--resolution`` changes the first.

    :raises ValueError: if the weights cannot be read, or the resolution makes no sense.
    """
    size_m, resolution_m = patch_of_weights(args.weights)
    if args.resolution is not None:
        resolution_m = args.resolution
    if not 0.001 <= resolution_m <= 1e5:
        raise ValueError(f'a resolution of {resolution_m:g} metres per pixel makes no sense')
    return resolution_m, size_m


def patch_of_weights(path: Path) -> tuple[float, float]:
    """
    Return side in metres and metres per pixel of the aerial patch that weights want; no torch.

    :raises ValueError: if they cannot be read.
    """
    try:
        from safetensors import safe_open, SafetensorError
    except ImportError:
        raise ValueError('safetensors is not installed, so the weights cannot say which '
                         'resolution they want: give --resolution or --zoom') from None
    try:
        with safe_open(path, 'numpy') as file:
            config = json.loads(file.metadata()['config'])
        return config['grid_extent_m'], config['grid_extent_m'] / config['aerial_image_hw'][1]
    except (SafetensorError, OSError, TypeError, KeyError, ValueError):
        raise ValueError(f'{path} is no weights file of this package') from None
