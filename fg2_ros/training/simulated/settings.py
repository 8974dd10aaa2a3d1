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

"""Settings of training in simulated cities."""

from __future__ import annotations

from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.settings import setting
from fg2_ros.simulation.seeds import seed_range


@dataclass(frozen=True)
class SimulatedRun:
    """What a network is trained on, for how long, and where its files go."""

    out: Path = setting(MISSING, 'Folder of the run.', of=Path, option={'metavar': 'FOLDER'})
    steps: int = setting(4000, 'Optimiser steps.', between=(1, 10 ** 9))
    batch: int = setting(8, 'Samples a step.', between=(1, 4096))
    rate: float = setting(1e-3, 'Peak learning rate.', between=(0.0, 1.0))
    pose_weight: float = setting(
        2.0, 'Of the pose loss beside that of the matches.', between=(0.0, 1e6))
    pairs: bool = setting(False, 'Tell each place from another one of its city, too.')
    seed: int = setting(0, 'Of initial weights and samples.', between=(0, 2 ** 31))
    cities: tuple = setting(
        (0, 299), 'Seeds of the training cities; difficulties alternate.', parse=seed_range,
        option={'metavar': 'A-B'})
    validation_cities: tuple = setting(
        (1000, 1007), 'Seeds of the validation cities.', parse=seed_range,
        option={'metavar': 'A-B'})
    frames_per_city: int = setting(24, 'Rendered of each.', between=(1, 10 ** 6))
    validation_frames: int = setting(96, 'In all.', between=(1, 10 ** 6))
    validate_every: int = setting(500, 'Steps.', between=(1, 10 ** 9))
    workers: int = setting(2, 'Rendering processes.', between=(1, 256))
    threads: int = setting(2, 'Of the training itself.', between=(1, 1024))
    cache: Path | None = setting(
        None, 'Folder of rendered frames (default: frames in the folder of the run).', of=Path,
        option={'metavar': 'FOLDER'})
    render_only: bool = setting(False, 'Fill the cache and stop.')
    start_from: Path | None = setting(
        None, 'File whose weights a run starts with.', of=Path, option={'metavar': 'WEIGHTS'})
