"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import re
from typing import Any, Sequence

from fg2_ros.settings import read_yaml, SHIPPED_WEIGHTS

LARGEST_SEED = 10 ** 6


class ConfigurableParser(argparse.ArgumentParser):
    """Takes options from a YAML file, too; those on the command line win."""

    def __init__(self, *args: Any, **options: Any):
        """Declare the option that names the file."""
        super().__init__(*args, **options)
        self.add_argument(
            '--config', type=Path, metavar='FILE',
            help='YAML file with these options, underscores or hyphens in their names; the '
            'command line wins')

    def parse_known_args(
            self, args: Sequence[str], namespace: argparse.Namespace | None = None):
        """Put the options of the file before the others."""
        finder = argparse.ArgumentParser(add_help=False)
        finder.add_argument('--config', type=Path)
        file = finder.parse_known_args(args)[0].config
        try:
            others = as_arguments(read_yaml(file)) if file else []
        except ValueError as error:
            self.error(str(error))
        return super().parse_known_args([*others, *args], namespace)


def as_arguments(values: dict[str, Any]) -> list[str]:
    """Return the command line of a mapping; ``true`` is a flag, ``false`` its absence."""
    return [f'--{name.replace("_", "-")}' + ('' if value is True else f'={value}')
            for name, value in values.items() if value is not None and value is not False]


def seed_range(text: str) -> tuple[int, int]:
    """
    Return (first, last) of ``A-B`` or of a single seed ``A``.

    :raises argparse.ArgumentTypeError: if it is neither, empty, or beyond the largest seed.
    """
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f'{text!r} is not a range of seeds like 2000-2009')
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f'{text!r} must go upwards and end at {LARGEST_SEED} or before')
    return first, last


def add_localizer_options(
        parser: argparse.ArgumentParser, own_weights_serve: bool = True) -> None:
    """
    Declare which weights run where, and the file for the figures.

    :param own_weights_serve: whether the package's own ones are the default; else there is none.
    """
    if own_weights_serve:
        parser.add_argument('--weights', type=Path, default=SHIPPED_WEIGHTS,
                            help="file (default: the package's own)")
    else:
        parser.add_argument('--weights', type=Path, required=True,
                            help='file that `fg2 convert` or `fg2 train` made')
    parser.add_argument('--device', default='auto', help='torch device (%(default)s)')
    parser.add_argument(
        '--precision', choices=['auto', 'fp32', 'fp16', 'bf16'], default='fp32',
        help='auto: bf16 on a CPU with instructions for it, else fp32 (%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')


def write_json(figures: dict, path: Path | None) -> None:
    """Write figures to a file, if one is wanted; its folder is made."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + '\n')
