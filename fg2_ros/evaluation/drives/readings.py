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

"""Sensor readings along a drive, simulated or recorded: columns over seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

Track = TypeVar('Track', bound='Readings')


@dataclass(frozen=True)
class Readings:
    """
    Columns of equal length in the order of time.

    :param time_s: (N,) since the drive's first second.
    """

    time_s: np.ndarray

    def __len__(self) -> int:
        """Return how many readings there are."""
        return len(self.time_s)

    def rows(self) -> Iterator[tuple]:
        """Yield the readings, each with its values in the order of the columns."""
        return zip(*(getattr(self, each.name).tolist() for each in fields(self)))

    def kept(self: Track, which: np.ndarray) -> Track:
        """Return some of the readings; ``which`` is a mask or (M,) indices."""
        return replace(self, **{
            each.name: getattr(self, each.name)[which] for each in fields(self)})


@dataclass(frozen=True)
class GnssReadings(Readings):
    """
    Fixes.

    :param position_m: (N, 2) east and north of the antenna in the map; NaN during an outage.
    :param sigma_m: (N,) that they claim on each axis.
    """

    position_m: np.ndarray
    sigma_m: np.ndarray


@dataclass(frozen=True)
class HeadingReadings(Readings):
    """
    Headings.

    :param yaw_rad: (N,) of base_link in the map.
    :param sigma_rad: (N,) that they claim.
    """

    yaw_rad: np.ndarray
    sigma_rad: np.ndarray


@dataclass(frozen=True)
class OdometryReadings(Readings):
    """
    Odometry: (N,) columns of the pose in its own frame, and of the velocity in base_link.

    :param speed_mps: forward; ``leftward_mps`` to the left.
    """

    x_m: np.ndarray
    y_m: np.ndarray
    yaw_rad: np.ndarray
    speed_mps: np.ndarray
    leftward_mps: np.ndarray
    yaw_rate_radps: np.ndarray
