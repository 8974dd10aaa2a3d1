"""Ranges of seeds, as people write them: each seed is a simulated city."""

from __future__ import annotations

import re
from typing import Any

LARGEST_SEED = 10 ** 6


def seed_range(value: Any) -> tuple[int, int]:
    """
    Return (first, last) of ``A-B`` or of a single seed ``A``.

    :raises ValueError: if it is neither, empty, or beyond the largest seed.
    """
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', str(value).strip())
    if not match:
        raise ValueError(f'{value!r} is not a range of seeds like 2000-2009')
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= LARGEST_SEED:
        raise ValueError(
            f'{value!r} must go upwards and end at {LARGEST_SEED} or before')
    return first, last
