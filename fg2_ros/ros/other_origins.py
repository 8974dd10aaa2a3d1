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

"""Other nodes that place the map's origin elsewhere, by /tf_static or the topic datum."""

from __future__ import annotations

from fg2_ros.geometry.frames import MapFrame, meridian_convergence_rad, utm_grid
from fg2_ros.ros.qos import STATIC_TF_QOS, subscribe
from geometry_msgs.msg import Transform
import numpy as np
from pyproj import Transformer
from rclpy.node import Node
from sensor_msgs.msg import NavSatFix
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_matrix

TOLERANCE_M = 0.1
TOLERANCE_DEG = 0.1
_UTM_SOUTH_M = 1e7  # added to the northing in the south
_GEOCENTRIC_FROM_GEODETIC = Transformer.from_pipeline(
    '+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84')


class OtherOrigins:
    """
    Compares the map's origin with what other nodes say of it.

    They say it by the frames ``utm`` (of navsat_transform_node) and ``earth`` (geocentric,
    REP-105), statically connected to the map, and by a latched NavSatFix on the topic ``datum``.

    :param map_frame_id: name of the map on /tf_static.
    """

    def __init__(self, node: Node, map_frame_id: str):
        """Listen to /tf_static; `on_datum` takes what the topic ``datum`` brings."""
        self._node, self._map_frame_id = node, map_frame_id
        self._datum: NavSatFix | None = None
        self._map_from: dict[str, np.ndarray] = {}  # (4, 4), by the name of the other frame
        self._subscription = subscribe(
            node, TFMessage, '/tf_static', self._on_tf, STATIC_TF_QOS)

    def close(self) -> None:
        """Listen no more."""
        self._node.destroy_subscription(self._subscription)

    def on_datum(self, message: NavSatFix) -> None:
        """Remember the origin that the topic ``datum`` names."""
        self._datum = message

    def _on_tf(self, message: TFMessage) -> None:
        for each in message.transforms:
            parent, child = (name.lstrip('/') for name in (  # of ROS 1
                each.header.frame_id, each.child_frame_id))
            if parent == self._map_frame_id:
                self._map_from[child] = _matrix(each.transform)
            elif child == self._map_frame_id:
                self._map_from[parent] = np.linalg.inv(_matrix(each.transform))

    def complaint(self, frame: MapFrame | None) -> str:
        """Return where others place the origin, if that is not where it is; '' otherwise."""
        if frame is None:
            return ''
        places = {name: in_frame(*frame.datum) for name, in_frame in _FRAMES.items()}
        return '; '.join(filter(None, [self._by_datum(frame), *(
            self._by_transform(name, *place) for name, place in places.items()
            if place is not None and name in self._map_from)]))

    def _by_datum(self, frame: MapFrame) -> str:
        if self._datum is None:
            return ''
        apart_m = np.hypot(*frame.map_from_geodetic(
            self._datum.latitude, self._datum.longitude, anywhere=True))
        if apart_m <= TOLERANCE_M:
            return ''
        return (f'the topic datum names another origin than the datum of this node, {apart_m:.1f} '
                'm away: give all nodes the same datum')

    def _by_transform(self, name: str, datum_m: np.ndarray, east: np.ndarray) -> str:
        """
        Compare by the transform to another frame.

        :param datum_m: (3,) the datum in that frame.
        :param east: (3,) east at the datum in that frame.
        """
        apart_m = np.hypot(*(self._map_from[name] @ [*datum_m, 1.0])[:2])
        x, y = (self._map_from[name] @ [*east, 0.0])[:2]
        turned_deg = np.degrees(np.arctan2(y, x))
        if apart_m <= TOLERANCE_M and abs(turned_deg) <= TOLERANCE_DEG:
            return ''
        return (f'by the transform {self._map_frame_id} -> {name} the origin of the map is '
                f'{apart_m:.1f} m from the datum of this node, and its x is {-turned_deg:.1f} '
                'degrees from east: give all nodes the same datum, with heading 0')


def _in_utm(latitude_deg: float, longitude_deg: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a place and its east, each (3,), in the grid of its zone; None near the poles."""
    try:
        grid = utm_grid(latitude_deg, longitude_deg)
    except ValueError:
        return None
    easting, northing = grid(longitude_deg, latitude_deg)
    turn = meridian_convergence_rad(grid, latitude_deg, longitude_deg)
    south_m = _UTM_SOUTH_M if latitude_deg < 0 else 0.0
    return np.array([easting, northing + south_m, 0]), np.array([np.cos(turn), np.sin(turn), 0])


def _in_earth(latitude_deg: float, longitude_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a place and its east, each (3,), in the geocentric frame."""
    place = np.array(_GEOCENTRIC_FROM_GEODETIC.transform(longitude_deg, latitude_deg, 0.0))
    meridian = np.radians(longitude_deg)
    return place, np.array([-np.sin(meridian), np.cos(meridian), 0])


_FRAMES = {'utm': _in_utm, 'earth': _in_earth}


def _matrix(transform: Transform) -> np.ndarray:
    """Return the (4, 4) matrix of a transform message."""
    move, turn = transform.translation, transform.rotation
    matrix = quaternion_matrix([turn.x, turn.y, turn.z, turn.w])
    matrix[:3, 3] = move.x, move.y, move.z
    return matrix
