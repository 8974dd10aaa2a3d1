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

"""Trajectories of a simulated vehicle."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Trajectory:
    """
    Where ``base_link`` is: (T,) arrays over evenly spaced times.

    Map frame; yaw is continuous, not wrapped. Roll and pitch are the body's own, on its springs.
    """

    time_s: np.ndarray
    east_m: np.ndarray
    north_m: np.ndarray
    yaw_rad: np.ndarray
    roll_rad: np.ndarray
    pitch_rad: np.ndarray
    speed_mps: np.ndarray
    yaw_rate_radps: np.ndarray

    @property
    def duration_s(self) -> float:
        """Return the time of the last sample."""
        return float(self.time_s[-1])

    def at(self, time_s: ArrayLike) -> Trajectory:
        """Interpolate the trajectory for (N,) other times."""
        time_s = np.atleast_1d(np.asarray(time_s, float))
        columns = {
            name: np.interp(time_s, self.time_s, values)
            for name, values in vars(self).items() if name != 'time_s'}
        return Trajectory(time_s, **columns)

    def poses(self) -> list[Pose2]:
        """Return the planar poses of ``base_link`` in the map."""
        return [Pose2(float(east), float(north), wrap_angle(yaw)) for east, north, yaw
                in zip(self.east_m, self.north_m, self.yaw_rad)]
