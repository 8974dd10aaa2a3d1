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

"""Settings of training on recorded drives."""

from __future__ import annotations

from dataclasses import dataclass, MISSING
from pathlib import Path

from fg2_ros.settings import setting, SHIPPED_WEIGHTS
from fg2_ros.simulation.seeds import seed_range


@dataclass(frozen=True)
class DrivesRun:
    """What a network is trained on, for how long, and where its files go."""

    drives: Path = setting(
        MISSING, 'Folder that `fg2 drives build` or `fg2 import` made.', of=Path,
        option={'positional': True, 'metavar': 'DATASET'})
    out: Path = setting(MISSING, 'Folder of the run.', of=Path, option={'metavar': 'FOLDER'})
    start_from: Path = setting(
        SHIPPED_WEIGHTS, 'File whose weights the run starts with.', of=Path,
        option={'metavar': 'WEIGHTS'})
    from_scratch: bool = setting(False, 'Start with random weights of the preset sim instead.')
    steps: int = setting(1500, 'Optimiser steps at most.', between=(1, 10 ** 9))
    batch: int = setting(8, 'Samples a step, of all processes together.', between=(1, 4096))
    rate: float = setting(4e-4, 'Peak learning rate.', between=(0.0, 1.0))
    pose_weight: float = setting(
        4.0, 'Of the pose loss beside that of the matches.', between=(0.0, 1e6))
    simulated_share: float = setting(
        0.3, 'Of the samples that are simulated, so that nothing is forgotten.',
        between=(0.0, 1.0))
    cities: tuple = setting(
        (0, 39), 'Seeds of the simulated cities; difficulties alternate.', parse=seed_range,
        option={'metavar': 'A-B'})
    frames_per_city: int = setting(16, 'Rendered of each.', between=(1, 10 ** 6))
    cache: Path | None = setting(
        None, 'Folder of rendered frames (default: frames in the folder of the run).', of=Path,
        option={'metavar': 'FOLDER'})
    vary: bool = setting(
        True, 'Vary colours, seasons, JPEG, tilt and what the vehicle hides, turn the world.')
    seed: int = setting(0, 'Of samples and initial weights.', between=(0, 2 ** 31))
    validation_frames: int = setting(
        96, 'Of places that are not trained on, at most.', between=(1, 10 ** 6))
    validate_every: int = setting(100, 'Steps.', between=(1, 10 ** 9))
    patience: int = setting(
        5, 'Validations in a row without a better one after which the run ends; 0: never.',
        between=(0, 10 ** 6))
    workers: int = setting(2, 'Rendering processes.', between=(1, 256))
    threads: int = setting(2, 'Of the training itself, in each process.', between=(1, 1024))
    device: str = setting('auto', 'Torch device; with torchrun each process takes a GPU.')
