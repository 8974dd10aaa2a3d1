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

"""Settings of the evaluation in simulated cities."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting
from fg2_ros.simulation.seeds import seed_range
from fg2_ros.simulation.worlds import WORLDS
import numpy as np


@dataclass(frozen=True)
class SimulatedSettings:
    """Which frames are evaluated and how wrong their priors are."""

    city_seeds: tuple = setting(
        (2000, 2009), 'First and last; seeds below 1100 were seen in training and validation.',
        parse=seed_range, option={'metavar': 'A-B'})
    frames: int = setting(
        200, 'In all, spread evenly over the cities.', between=(1, 10 ** 6))
    difficulty: str = setting(
        'standard', 'Of the cities.', choices=('standard', 'hard'))
    world: str = setting(
        'A', 'What cities and sensors look like. A: as in training; B: other facades, roofs, '
        'grounds, camera and aerial sensor.', choices=tuple(WORLDS))
    prior_offset_m: float = setting(
        12.0, 'Of the prior position, uniform on each axis, metres.', between=(0.0, 1e4),
        option={'name': 'prior_offset', 'metavar': 'M'})
    yaw_error_deg: float = setting(
        10.0, 'Of the prior heading, uniform, degrees.', between=(0.0, 180.0),
        option={'name': 'yaw_error', 'metavar': 'DEG'})
    panorama_hw: tuple[int, int] = (512, 1024)
    with_baseline: bool = setting(
        True, 'Measure the baseline, too.', option={'name': 'baseline'})
    workers: int = setting(2, 'Rendering processes.', between=(1, 256))

    @property
    def prior_sigma_m(self) -> float:
        """Return the standard deviation of the prior on each axis."""
        return max(self.prior_offset_m, 0.1) / 3 ** 0.5

    @property
    def yaw_sigma_rad(self) -> float:
        """Return the standard deviation of the heading."""
        return float(np.radians(max(self.yaw_error_deg, 0.1))) / 3 ** 0.5

    def frames_of_cities(self) -> dict[int, int]:
        """Return how many frames each city has, by seed; cities without any are left out."""
        first, last = self.city_seeds
        edges = np.arange(last - first + 2) * self.frames // (last - first + 1)
        return {first + index: int(count)
                for index, count in enumerate(np.diff(edges)) if count}
