"""Ranges of city seeds on the command line."""

from __future__ import annotations

import argparse
import re

LARGEST_SEED = 10 ** 6


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
