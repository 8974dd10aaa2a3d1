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

"""Names of the result folders of several bags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def bag_names(bags: Sequence[Path]) -> list[str]:
    """
    Return a name for each bag: that of its file or folder, without what tells its kind.

    :raises ValueError: if two would have the same.
    """
    names = [Path(bag).name.removesuffix('.zstd') for bag in bags]
    names = [name.removesuffix('.active') for name in names]
    names = [Path(name).stem if Path(name).suffix in ('.mcap', '.db3', '.bag') else name
             for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'several bags have the name {twice[0]}, and what comes of them would '
                         'be in one folder: rename them')
    return names
