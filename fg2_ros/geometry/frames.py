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

"""The map frame: east-north-up metres around a datum on WGS 84 (REP-105 ``map``)."""

from __future__ import annotations

import math

import numpy as np
from pyproj import Proj, Transformer

_UTM_LATITUDES_DEG = (-80, 84)  # beyond them there are no zones

REACH_M = 500e3  # beyond it a metre in the plane is off by 0.3 % and its north by 5 degrees
NOWHERE_DEG = 1e-4  # around 0 N 0 E, where no vehicle drives: receivers say so without a position


class MapFrame:
    """
    East-north-up metres around a datum on the WGS 84 ellipsoid.

    Points are taken on the ellipsoid (height 0); `geodetic_from_map` inverts `map_from_geodetic`
    to well below a millimetre within `REACH_M` of the datum, and further off both refuse.

    :param latitude_deg: datum latitude, -90 to 90.
    :param longitude_deg: datum longitude, -180 to 180.
    :param projection: ``'local'``: the plane that touches the ellipsoid at the datum, whose metres
        are those on the ground. ``'utm'``: the grid of the datum's UTM zone, moved to the datum
        and turned there to true north, with UTM's scale of 0.9996 to 1.001, as robot_localization
        has it.
    :raises ValueError: if the datum is not a place on Earth, or has no UTM zone; or for another
        projection.
    """

    def __init__(self, latitude_deg: float, longitude_deg: float, projection: str = 'local'):
        require_geodetic(latitude_deg, longitude_deg)
        self.latitude_deg = float(latitude_deg)
        self.longitude_deg = float(longitude_deg)
        self.projection = projection
        if projection not in PROJECTIONS:
            raise ValueError(f'{projection!r} is not one of {", ".join(PROJECTIONS)}')
        steps = _PROJECTIONS[projection](self.latitude_deg, self.longitude_deg)
        self._enu_from_geodetic = Transformer.from_pipeline(
            f'+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad {steps}')

    def __eq__(self, other: object) -> bool:
        """Compare datums and projections."""
        return (isinstance(other, MapFrame) and self.datum == other.datum
                and self.projection == other.projection)

    def __hash__(self) -> int:
        """Hash what is compared."""
        return hash((self.datum, self.projection))

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'MapFrame({self.latitude_deg!r}, {self.longitude_deg!r}, {self.projection!r})'

    @property
    def datum(self) -> tuple[float, float]:
        """Return (latitude, longitude) of the origin in degrees."""
        return self.latitude_deg, self.longitude_deg

    def map_from_geodetic(self, latitude_deg, longitude_deg, anywhere: bool = False):
        """
        Return (east, north) in metres of WGS 84 degrees; scalars or arrays of one shape.

        :param anywhere: also beyond `REACH_M`, to compare with something that is near the datum.
        :raises ValueError: if a place is further than that from the datum.
        """
        latitude, longitude = np.broadcast_arrays(
            np.asarray(latitude_deg, float), np.asarray(longitude_deg, float))
        east, north, up = self._enu_from_geodetic.transform(
            longitude, latitude, np.zeros(latitude.shape))
        if not anywhere:
            self._require_near(np.sqrt(np.square(east) + np.square(north) + np.square(up)))
        return _scalars(east, north)

    def geodetic_from_map(self, east_m, north_m):
        """
        Return (latitude, longitude) in degrees of the ellipsoid below (or above) map points.

        :raises ValueError: if one is further than `REACH_M` from the datum.
        """
        east, north = np.broadcast_arrays(np.asarray(east_m, float), np.asarray(north_m, float))
        self._require_near(np.hypot(east, north))
        up = np.zeros(east.shape)
        for _ in range(5):  # the tangent plane leaves the ellipsoid: walk up back onto height 0
            longitude, latitude, height = self._enu_from_geodetic.transform(
                east, north, up, direction='INVERSE')
            up = up - height
        return _scalars(latitude, longitude)

    def _require_near(self, distance_m) -> None:
        furthest_m = np.max(distance_m, initial=0.0)
        if furthest_m > REACH_M:  # NaN is passed on
            raise ValueError(
                f'a place {furthest_m / 1e3:.0f} km from the datum of the map '
                f'({self.latitude_deg:.5f}, {self.longitude_deg:.5f}) is not on its plane, which '
                f'reaches {REACH_M / 1e3:.0f} km: give it a datum near the vehicle')


def require_geodetic(latitude_deg: float, longitude_deg: float) -> None:
    """Raise ValueError with a sentence unless the degrees are a finite place on Earth."""
    if not (np.isfinite(latitude_deg) and abs(latitude_deg) <= 90):
        raise ValueError(f'latitude {latitude_deg} is not between -90 and 90 degrees')
    if not (np.isfinite(longitude_deg) and abs(longitude_deg) <= 180):
        raise ValueError(f'longitude {longitude_deg} is not between -180 and 180 degrees')


def is_nowhere(latitude_deg: float, longitude_deg: float) -> bool:
    """Return whether it is 0 N 0 E, which receivers send that have no position yet."""
    return abs(latitude_deg) < NOWHERE_DEG and abs(longitude_deg) < NOWHERE_DEG


def utm_grid(latitude_deg: float, longitude_deg: float) -> Proj:
    """
    Return the UTM grid of a place's zone: degrees to easting and northing, from the equator.

    The zones are the standard ones, those of Norway and Svalbard included.

    :raises ValueError: if the place is too close to a pole to have a zone.
    """
    south, north = _UTM_LATITUDES_DEG
    if not south <= latitude_deg < north:
        raise ValueError(f'there is no UTM zone at latitude {latitude_deg}: UTM covers '
                         f'{south} to {north} degrees')
    zone = _utm_zone(math.floor(latitude_deg), math.floor((longitude_deg + 180) % 360 - 180))
    return Proj(f'+proj=utm +zone={zone} +ellps=WGS84')


def meridian_convergence_rad(grid: Proj, latitude_deg: float, longitude_deg: float) -> float:
    """Return the bearing of a grid's north at a place, clockwise from true north."""
    return math.radians(grid.get_factors(longitude_deg, latitude_deg).meridian_convergence)


def _utm_zone(latitude: int, longitude: int) -> int:
    """Return the number of the zone that a degree square (named by its least corner) is in."""
    if 56 <= latitude < 64 and 3 <= longitude < 12:  # Norway
        return 32
    if latitude >= 72 and 0 <= longitude < 42:  # Svalbard has the odd zones only
        return 31 + 2 * ((longitude + 3) // 12)
    return (longitude + 186) // 6


def _local_steps(latitude_deg: float, longitude_deg: float) -> str:
    return ('+step +proj=cart +ellps=WGS84 +step +proj=topocentric +ellps=WGS84 '
            f'+lat_0={latitude_deg!r} +lon_0={longitude_deg!r} +h_0=0')


def _utm_steps(latitude_deg: float, longitude_deg: float) -> str:
    grid = utm_grid(latitude_deg, longitude_deg)
    easting, northing = grid(longitude_deg, latitude_deg)
    turn = meridian_convergence_rad(grid, latitude_deg, longitude_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    return (f'+step {grid.srs} +step +proj=affine +xoff={-easting!r} +yoff={-northing!r} '
            f'+step +proj=affine +s11={cos!r} +s12={sin!r} +s21={-sin!r} +s22={cos!r}')


_PROJECTIONS = {'local': _local_steps, 'utm': _utm_steps}
PROJECTIONS = tuple(_PROJECTIONS)


def _scalars(first, second):
    first, second = np.asarray(first), np.asarray(second)
    return (float(first), float(second)) if first.ndim == 0 else (first, second)
