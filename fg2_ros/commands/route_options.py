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

"""Options of the sub-commands that are about imagery along a route."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TYPE_CHECKING

from fg2_ros.settings import setting

if TYPE_CHECKING:
    from fg2_ros.prefetch.routes import Route


def bbox(value: Any) -> Route:
    """
    Return the area of ``west,south,east,north`` in degrees.

    :param value: that text, or a list of the numbers.
    :raises ValueError: if it is neither, or there is no such box.
    """
    from fg2_ros.prefetch.routes import box
    try:
        west, south, east, north = map(
            float, value.split(',') if isinstance(value, str) else value)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r} is not west,south,east,north in degrees') from None
    return box(west, south, east, north)


@dataclass(frozen=True)
class RouteOptions:
    """Where the vehicle will be."""

    route: Path | None = setting(
        None, '.gpx, .geojson, .kml, .bag, .mcap, .db3, or a rosbag2 folder.', of=Path,
        option={'group': 'route'})
    bbox: Route | None = setting(
        None, 'A box in degrees; --bbox=-1.5,... if it begins with a minus.', of=str, parse=bbox,
        option={'group': 'route', 'metavar': 'W,S,E,N'})

    def read(self) -> Route | None:
        """
        Return where the vehicle will be; None if nothing is said of it.

        :raises ValueError: if the file of the route cannot be used.
        """
        from fg2_ros.prefetch.routes import read_route
        return read_route(self.route) if self.route else self.bbox
