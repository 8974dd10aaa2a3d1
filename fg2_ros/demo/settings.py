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

"""Settings of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fg2_ros.settings import setting


@dataclass(frozen=True)
class DemoSettings:
    """Which drive through which city, and where everything goes."""

    output: Path = setting(
        Path('demo_out'), 'Folder of the report, the bag and the logs.',
        option={'metavar': 'FOLDER'})
    city_seed: int = setting(
        2042, 'City; those from 2000 on were not trained on.', between=(0, 10 ** 6))
    difficulty: str = setting(
        'standard', 'Of the city and the drive.', choices=('standard', 'hard'))
    frames: int = setting(120, 'Panoramas.', between=(1, 10 ** 6))
    rate_hz: float = setting(
        8.0, 'Panoramas a second.', between=(0.1, 100.0), option={'name': 'rate'})
    width: int = setting(
        1024, 'Of the panoramas, twice their height.', unit='px', between=(16, 16384))
    datum: tuple = setting(
        (47.5, 8.7), 'Where on Earth the city is, in degrees.',
        option={'metavar': ('LATITUDE', 'LONGITUDE')})
    weights: Path | None = setting(
        None, 'Weights file (default: the one of the package).', of=Path)
    workers: int = setting(2, 'Processes that render.', between=(1, 256))
