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

"""What RViz and Foxglove show of a pose: messages of its path, ellipse, matches and imagery."""

from __future__ import annotations

from array import array
from collections import deque
import math
from typing import TYPE_CHECKING

import cv2
from fg2_ros.drawing import ELLIPSE_95, INLIER_RGB, OUTLIER_RGB
from fg2_ros.imagery.patch import AerialPatch
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Vector3
from nav_msgs.msg import OccupancyGrid, Path
import numpy as np
from std_msgs.msg import ColorRGBA, Header
from tf_transformations import quaternion_from_euler
from visualization_msgs.msg import Marker, MarkerArray

if TYPE_CHECKING:
    from fg2_ros.localizer import Matches

ELLIPSE_RGBA = (0.15, 0.45, 0.95, 0.35)
MATCHES_SHOWN = 200  # those of the highest probability
TEXT_M = 1.5  # height of letters
PATH_STEP_M = 0.5


class PathTrace:
    """
    The way that a vehicle has come.

    :param length_m: of it that is remembered.
    """

    def __init__(self, length_m: float):
        """Start nowhere."""
        self._poses: deque[PoseStamped] = deque(maxlen=max(round(length_m / PATH_STEP_M), 2))

    def clear(self) -> None:
        """Forget it: the map is another."""
        self._poses.clear()

    def add(self, header: Header, pose: Pose) -> None:
        """Go on to a pose, if it is far enough from the last one to be seen."""
        if self._poses:
            last, here = self._poses[-1].pose.position, pose.position
            if math.hypot(here.x - last.x, here.y - last.y) < PATH_STEP_M:
                return
        self._poses.append(PoseStamped(header=header, pose=pose))

    def message(self, header: Header) -> Path:
        """Return the message of it."""
        return Path(header=header, poses=list(self._poses))


def ellipse_marker(header: Header, pose: Pose, covariance: np.ndarray) -> Marker:
    """
    Return a disc that holds the true position with 95 % probability.

    :param covariance: (3, 3) of (east m, north m, yaw rad).
    """
    variances, axes = np.linalg.eigh(covariance[:2, :2])
    across, along = (2 * ELLIPSE_95 * np.sqrt(np.maximum(variances, 1e-9))).tolist()
    yaw_rad = math.atan2(axes[1, 1], axes[0, 1])
    marker = _marker(header, 'covariance', Marker.CYLINDER, ELLIPSE_RGBA)
    marker.pose = Pose(position=pose.position, orientation=_upright(yaw_rad))
    marker.scale = Vector3(x=along, y=across, z=0.02)
    return marker


def match_marker(header: Header, matches: Matches, height_m: float) -> Marker:
    """Return a line from where each ground point lies by the pose to what it was matched with."""
    shown = np.argsort(matches.weight)[::-1][:MATCHES_SHOWN]
    ends_m = np.stack([matches.ground_map_m[shown], matches.aerial_map_m[shown]], 1)
    marker = _marker(header, 'matches', Marker.LINE_LIST, (1.0, 1.0, 1.0, 1.0))
    marker.scale.x = 0.08
    marker.points = [Point(x=x, y=y, z=height_m) for x, y in ends_m.reshape(-1, 2).tolist()]
    colours = {True: _colour(INLIER_RGB), False: _colour(OUTLIER_RGB)}
    marker.colors = [colours[is_inlier] for is_inlier in matches.inlier[shown].tolist()
                     for _ in range(2)]
    return marker


def attribution_marker(header: Header, patch: AerialPatch, height_m: float) -> Marker:
    """Return whom the imagery belongs to, written at its southern edge."""
    marker = _marker(header, 'attribution', Marker.TEXT_VIEW_FACING, (1.0, 1.0, 1.0, 1.0))
    east_m, north_m = patch.centre_m
    marker.pose.position = Point(
        x=float(east_m), y=float(north_m) - patch.view.size_m / 2 - TEXT_M, z=height_m)
    marker.scale.z = TEXT_M
    marker.text = patch.attribution or patch.source
    return marker


def nothing_marked(header: Header) -> MarkerArray:
    """Return the message that takes all markers away."""
    return MarkerArray(markers=[Marker(header=header, action=Marker.DELETEALL)])


def aerial_layer(header: Header, patch: AerialPatch, height_m: float) -> OccupancyGrid:
    """
    Return an aerial patch as a map: 0 is white, 100 is black, -1 has no imagery.

    Both RViz and Foxglove draw such maps as grey pictures under everything else.
    """
    grey = cv2.cvtColor(patch.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    cells = np.rint(100 - grey * (100 / 255)).astype(np.int8)
    if patch.valid is not None:
        cells[~patch.valid] = -1
    grid = OccupancyGrid(header=header)
    grid.info.map_load_time = header.stamp
    grid.info.resolution = patch.resolution_m
    grid.info.height, grid.info.width = cells.shape
    east_m, north_m = (float(middle) - patch.view.size_m / 2 for middle in patch.centre_m)
    grid.info.origin.position = Point(x=east_m, y=north_m, z=height_m)
    grid.data = array('b', np.flipud(cells).tobytes())  # rows go north
    return grid


def _marker(header: Header, namespace: str, kind: int,
            rgba: tuple[float, float, float, float]) -> Marker:
    marker = Marker(header=header, ns=namespace, type=kind, action=Marker.ADD)
    marker.color = ColorRGBA(**dict(zip('rgba', rgba)))
    marker.pose.orientation.w = 1.0
    return marker


def _colour(rgb: tuple[int, int, int]) -> ColorRGBA:
    red, green, blue = (value / 255 for value in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=0.9)


def _upright(yaw_rad: float) -> Quaternion:
    x, y, z, w = quaternion_from_euler(0.0, 0.0, yaw_rad)
    return Quaternion(x=float(x), y=float(y), z=float(z), w=float(w))
