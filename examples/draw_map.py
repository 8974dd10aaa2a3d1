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

"""
Draw what RViz would show of a running node, where there is no screen.

    python3 examples/draw_map.py map.png --node /fg2 --wait 30

waits until there is a pose, and draws the aerial image, the path, the pose's ellipse and the
matches around it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path as FilePath
import time

from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from nav_msgs.msg import OccupancyGrid, Path
import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from visualization_msgs.msg import Marker, MarkerArray

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def main() -> int:
    """Listen, draw, and say where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__.strip().partition('\n')[0])
    parser.add_argument('picture', type=FilePath, help='PNG file to write')
    parser.add_argument('--node', default='/fg2', help='name of the node')
    parser.add_argument('--wait', type=float, default=30.0, help='seconds to wait for a pose')
    options = parser.parse_args()
    found = heard(options.node, options.wait)
    if missing := [topic for topic in ('path', 'covariance', 'aerial') if topic not in found]:
        print(f'nothing came on {", ".join(missing)} of {options.node} in {options.wait:g} s')
        return 1
    draw(found, options.picture)
    print(f'{options.picture} shows {len(found["path"].poses)} poses')
    return 0


def heard(node_name: str, wait_s: float) -> dict:
    """Return the newest message of each topic, and the newest marker of each kind."""
    found: dict = {}
    rclpy.init()
    node = rclpy.create_node('draw_map')
    node.create_subscription(
        Path, f'{node_name}/path', lambda message: found.update(path=message), 1)
    node.create_subscription(
        OccupancyGrid, f'{node_name}/aerial', lambda message: found.update(aerial=message),
        LATCHED)
    node.create_subscription(
        MarkerArray, f'{node_name}/markers',
        lambda message: found.update((marker.ns, marker) for marker in message.markers), 5)
    end_s = time.monotonic() + wait_s
    while time.monotonic() < end_s and not {'path', 'aerial', 'covariance', 'matches'} <= set(
            found):
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown()
    return found


def draw(found: dict, picture: FilePath) -> None:
    """Draw all that was heard in the axes of the map."""
    figure = Figure(figsize=(8, 8))
    axes = figure.add_subplot(xlabel='east [m]', ylabel='north [m]', aspect='equal')
    grid: OccupancyGrid = found['aerial']
    cells = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    west, south = grid.info.origin.position.x, grid.info.origin.position.y
    side_m = grid.info.resolution * np.array(cells.shape[::-1])
    extent = (west, west + side_m[0], south, south + side_m[1])
    axes.imshow(np.ma.masked_less(cells, 0), cmap='gray_r', origin='lower', vmin=0, vmax=100,
                extent=extent)
    places = np.array([(each.pose.position.x, each.pose.position.y)
                       for each in found['path'].poses])
    axes.plot(*places.T, color='tab:blue', linewidth=2, label='path')
    disc: Marker = found['covariance']
    yaw_rad = 2 * math.atan2(disc.pose.orientation.z, disc.pose.orientation.w)
    axes.add_patch(Ellipse(
        (disc.pose.position.x, disc.pose.position.y), disc.scale.x, disc.scale.y,
        angle=math.degrees(yaw_rad), fill=False, color='tab:orange', label='95 % ellipse'))
    if 'matches' in found:
        draw_matches(axes, found['matches'])
    if 'attribution' in found:
        axes.set_title(found['attribution'].text, fontsize=8)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.legend(loc='upper right')
    figure.savefig(picture, dpi=100)


def draw_matches(axes, lines: Marker) -> None:
    """Draw each match from where its ground point lies to where it was matched."""
    ends = np.array([(point.x, point.y) for point in lines.points]).reshape(-1, 2, 2)
    for (start, end), colour in zip(ends, lines.colors[::2]):
        axes.plot(*np.stack([start, end], 1), color=(colour.r, colour.g, colour.b), linewidth=0.8)


if __name__ == '__main__':
    raise SystemExit(main())
