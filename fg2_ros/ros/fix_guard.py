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

"""Rejection of GNSS fixes that no vehicle can have had."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.frames import is_nowhere, require_geodetic
from pyproj import Geod

WGS84 = Geod(ellps='WGS84')
FASTEST_MPS = 70.0
JITTER_M, SIGMAS = 10.0, 5.0  # by which good fixes differ although nothing moves
VAGUEST_M = 1000.0  # a receiver that is less sure than this has no position
AGREEING, AGREEING_NS = 3, 2 * 10 ** 9  # fixes that outweigh those before, and the time they span


@dataclass(frozen=True)
class Position:
    """
    A GNSS position.

    :param sigma_m: standard deviation on each horizontal axis.
    """

    stamp_ns: int
    latitude_deg: float
    longitude_deg: float
    sigma_m: float

    def distance_m(self, other: Position) -> float:
        """Return the metres to another one on the ellipsoid."""
        return float(WGS84.inv(self.longitude_deg, self.latitude_deg,
                               other.longitude_deg, other.latitude_deg)[2])

    def is_reachable(self, other: Position) -> bool:
        """Return whether a vehicle can be at both in the time between."""
        driven_m = FASTEST_MPS * abs(self.stamp_ns - other.stamp_ns) / 1e9
        noise_m = JITTER_M + SIGMAS * math.hypot(self.sigma_m, other.sigma_m)
        return self.distance_m(other) <= driven_m + noise_m


def require_position(position: Position) -> None:
    """
    Refuse what is no position at all.

    :raises ValueError: with a sentence.
    """
    try:
        require_geodetic(position.latitude_deg, position.longitude_deg)
    except ValueError as error:
        raise ValueError(f'the GNSS fix is unusable: {error}') from error
    if is_nowhere(position.latitude_deg, position.longitude_deg):
        raise ValueError('the GNSS fix is unusable: it is at 0 N 0 E, which receivers send that '
                         'have no position yet')
    if position.sigma_m > VAGUEST_M:
        raise ValueError('the GNSS fix is unusable: the receiver says that it may be '
                         f'{position.sigma_m:.3g} m off')


class FixGuard:
    """
    Rejects fixes that jump further than a vehicle drives.

    A single jump is an outlier; where several fixes agree with one another after it, they are
    right, and those before were wrong, or the vehicle was carried away.
    """

    def __init__(self) -> None:
        """Start with the first fix that comes."""
        self._believed: Position | None = None
        self._others: list[Position] = []

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        self._believed, self._others = None, []

    def admit(self, position: Position) -> list[Position]:
        """
        Return the fixes to use: the given one, and earlier ones that it confirms.

        More than one means that the fixes that were used before were wrong.

        :raises ValueError: if it is not to be used; a later one may confirm it.
        """
        require_position(position)
        before = self._believed
        if before is None or before.is_reachable(position):
            self._believed, self._others = position, []
            return [position]
        if self._others and not self._others[-1].is_reachable(position):
            self._others = []
        self._others.append(position)
        if len(self._others) < AGREEING or self._spanned_ns() < AGREEING_NS:
            raise ValueError(_jump(before, position))
        admitted, self._others = self._others, []
        self._believed = position
        return admitted

    def _spanned_ns(self) -> int:
        return self._others[-1].stamp_ns - self._others[0].stamp_ns


def _jump(before: Position, position: Position) -> str:
    seconds = abs(position.stamp_ns - before.stamp_ns) / 1e9
    return (f'a GNSS fix is {before.distance_m(position):.0f} m from the one {seconds:.1f} s '
            'before, further than a vehicle drives: it is not used unless others agree with it')
