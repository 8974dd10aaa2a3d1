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

"""Progress bars of rendering and training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def rendering_bar(done: Iterable, total: int) -> Iterable:
    """Return what is done, with a bar on the terminal."""
    return tqdm(done, 'rendering cities', total, dynamic_ncols=True)


def show_progress(bar: tqdm, record: dict[str, Any]) -> None:
    """Show a step of a training on its bar, and a validation above it."""
    bar.update()
    shown = ('info_nce', 'local', 'layers', 'pose')
    bar.set_postfix({key: f'{record[key]:.3g}' for key in shown}, refresh=False)
    if 'validation_loss' in record:
        figures = ', '.join(
            f'{key.removeprefix("validation_")} {value:.3g}'
            for key, value in record.items() if key.startswith('validation_'))
        bar.write(f'step {record["step"]}: {figures}')
