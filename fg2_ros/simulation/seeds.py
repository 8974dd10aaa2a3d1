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
