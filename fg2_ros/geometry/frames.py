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

"""The map frame: a local east-north-up tangent plane of WGS 84 (REP-105 ``map``)."""

from __future__ import annotations

import numpy as np
from pyproj import Transformer


class MapFrame:
    """
    East-north-up metres around a datum on the WGS 84 ellipsoid.

    Points are taken on the ellipsoid (height 0); `geodetic_from_map` inverts `map_from_geodetic`
    to well below a millimetre within 50 km of the datum.

    :param latitude_deg: datum latitude, -90 to 90.
    :param longitude_deg: datum longitude, -180 to 180.
    :raises ValueError: if the datum is not a place on Earth.
    """

    def __init__(self, latitude_deg: float, longitude_deg: float):
        require_geodetic(latitude_deg, longitude_deg)
        self.latitude_deg = float(latitude_deg)
        self.longitude_deg = float(longitude_deg)
        self._enu_from_geodetic = Transformer.from_pipeline(
            '+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad '
            '+step +proj=cart +ellps=WGS84 '
            f'+step +proj=topocentric +ellps=WGS84 +lat_0={self.latitude_deg!r} '
            f'+lon_0={self.longitude_deg!r} +h_0=0')

    def __eq__(self, other: object) -> bool:
        """Compare datums."""
        return isinstance(other, MapFrame) and self.datum == other.datum

    def __hash__(self) -> int:
        """Hash the datum."""
        return hash(self.datum)

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'MapFrame({self.latitude_deg!r}, {self.longitude_deg!r})'

    @property
    def datum(self) -> tuple[float, float]:
        """Return (latitude, longitude) of the origin in degrees."""
        return self.latitude_deg, self.longitude_deg

    def map_from_geodetic(self, latitude_deg, longitude_deg):
        """Return (east, north) in metres of WGS 84 degrees; scalars or arrays of one shape."""
        latitude, longitude = np.broadcast_arrays(
            np.asarray(latitude_deg, float), np.asarray(longitude_deg, float))
        east, north, _ = self._enu_from_geodetic.transform(
            longitude, latitude, np.zeros(latitude.shape))
        return _scalars(east, north)

    def geodetic_from_map(self, east_m, north_m):
        """Return (latitude, longitude) in degrees of the ellipsoid below (or above) map points."""
        east, north = np.broadcast_arrays(np.asarray(east_m, float), np.asarray(north_m, float))
        up = np.zeros(east.shape)
        for _ in range(3):  # the tangent plane leaves the ellipsoid: walk up back onto height 0
            longitude, latitude, height = self._enu_from_geodetic.transform(
                east, north, up, direction='INVERSE')
            up = up - height
        return _scalars(latitude, longitude)


def require_geodetic(latitude_deg: float, longitude_deg: float) -> None:
    """Raise ValueError with a sentence unless the degrees are a finite place on Earth."""
    if not (np.isfinite(latitude_deg) and abs(latitude_deg) <= 90):
        raise ValueError(f'latitude {latitude_deg} is not between -90 and 90 degrees')
    if not (np.isfinite(longitude_deg) and abs(longitude_deg) <= 180):
        raise ValueError(f'longitude {longitude_deg} is not between -180 and 180 degrees')


def _scalars(first, second):
    first, second = np.asarray(first), np.asarray(second)
    return (float(first), float(second)) if first.ndim == 0 else (first, second)
