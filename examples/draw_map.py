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
Draw what RViz and Foxglove would show of a running node, where there is no screen.

    python3 examples/draw_map.py map.png --node /fg2 --metres 50 --wait 60

waits until the path is that long, and draws on the left the aerial image with the transforms, the
path, the belief's ellipse, what the image alone says, and the matches; on the right ~/matches and
/diagnostics.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path as FilePath
import textwrap
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from nav_msgs.msg import OccupancyGrid, Path
import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image
from tf2_ros import Buffer, TransformException, TransformListener
from visualization_msgs.msg import Marker, MarkerArray

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NEEDED = ('path', 'aerial', 'covariance')
WANTED = {*NEEDED, 'matches', 'overlay', 'pose', 'diagnostics', 'base_link'}
AXIS_M, ROOM_M = 4.0, 6.0  # length of the axes of a frame, and around base_link
COLOURS = {DiagnosticStatus.OK: 'tab:green', DiagnosticStatus.WARN: 'tab:orange',
           DiagnosticStatus.ERROR: 'tab:red'}
TOLD = ('accepted', 'rejected', 'probability of the pose', 'agreement of the images', 'sigma [m]',
        'sigma [deg]', 'latency p50 [ms]', 'image rate [Hz]', 'heading from',
        'GNSS less pose [m]', 'heading less pose [deg]', 'source', 'patch_resolution [m]')


def main() -> int:
    """Listen, draw, and say where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__.strip().partition('\n')[0])
    parser.add_argument('picture', type=FilePath, help='PNG or JPEG file to write')
    parser.add_argument('--node', default='/fg2', help='name of the node')
    parser.add_argument('--metres', type=float, default=0.0, help='of the path to wait for')
    parser.add_argument('--wait', type=float, default=30.0, help='seconds to wait at most')
    options = parser.parse_args()
    found = heard(options.node, options.metres, options.wait)
    if missing := [topic for topic in NEEDED if topic not in found]:
        print(f'nothing came on {", ".join(missing)} of {options.node} in {options.wait:g} s')
        return 1
    draw(found, options.picture)
    print(f'{options.picture} shows {len(found["path"].poses)} poses')
    return 0


def heard(node_name: str, metres: float, wait_s: float) -> dict:
    """Return the newest message of each topic, marker of each kind, and place of each frame."""
    found: dict = {}
    rclpy.init()
    node = rclpy.create_node('draw_map')
    buffer = Buffer()
    TransformListener(buffer, node)
    for name, kind, topic, qos in (
            ('path', Path, 'path', 1), ('aerial', OccupancyGrid, 'aerial', LATCHED),
            ('overlay', Image, 'matches', 1), ('pose', PoseWithCovarianceStamped, 'pose', 1)):
        node.create_subscription(
            kind, f'{node_name}/{topic}',
            lambda message, name=name: found.update({name: message}), qos)
    node.create_subscription(
        MarkerArray, f'{node_name}/markers',
        lambda message: found.update((marker.ns, marker) for marker in message.markers), 5)
    node.create_subscription(DiagnosticArray, '/diagnostics', lambda message: found.update(
        diagnostics=[each for each in message.status if each.name.startswith(f'{node_name}:')]), 5)
    end_s = time.monotonic() + wait_s
    while time.monotonic() < end_s and not (WANTED <= set(found) and length_m(found) >= metres):
        rclpy.spin_once(node, timeout_sec=0.1)
        found.update(frames_in(buffer, found))
    node.destroy_node()
    rclpy.shutdown()
    return found


def length_m(found: dict) -> float:
    """Return how long the path is."""
    return float(np.linalg.norm(np.diff(places_of(found['path']), axis=0), axis=1).sum())


def places_of(path: Path) -> np.ndarray:
    """Return the (n, 2) places of a path."""
    return np.array([(each.pose.position.x, each.pose.position.y)
                     for each in path.poses]).reshape(-1, 2)


def frames_in(buffer: Buffer, found: dict) -> dict:
    """Return where the frames are in the map, as far as that is known."""
    frames = {}
    for name in ('odom', 'base_link'):
        try:
            transform = buffer.lookup_transform('map', name, Time()).transform
        except TransformException:
            continue
        frames[name] = (transform.translation.x, transform.translation.y,
                        yaw_of(transform.rotation))
    return frames


def yaw_of(rotation) -> float:
    """Return the yaw of a quaternion of a vehicle that is nearly level."""
    return 2 * math.atan2(rotation.z, rotation.w)


def draw(found: dict, picture: FilePath) -> None:
    """Draw all that was heard."""
    figure = Figure(figsize=(14, 8))
    grid = figure.add_gridspec(2, 2, width_ratios=(8, 6), height_ratios=(4, 5), left=0.05,
                               right=0.99, bottom=0.07, top=0.95, wspace=0.03, hspace=0.1)
    draw_map(figure.add_subplot(
        grid[:, 0], xlabel='east [m]', ylabel='north [m]', aspect='equal'), found)
    for place, name, draw_one in ((grid[0, 1], 'overlay', draw_overlay),
                                  (grid[1, 1], 'diagnostics', draw_diagnostics)):
        axes = figure.add_subplot(place)
        axes.set_axis_off()
        if name in found:
            draw_one(axes, found[name])
    figure.savefig(picture, dpi=100)


def draw_map(axes: Axes, found: dict) -> None:
    """Draw what lies in the map, in its axes."""
    grid: OccupancyGrid = found['aerial']
    cells = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)
    west, south = grid.info.origin.position.x, grid.info.origin.position.y
    width_m, height_m = grid.info.resolution * np.array(cells.shape[::-1])
    extent = (west, west + width_m, south, south + height_m)
    axes.imshow(np.ma.masked_less(cells, 0), cmap='gray_r', origin='lower', vmin=0, vmax=100,
                extent=extent)
    if 'matches' in found:
        draw_matches(axes, found['matches'])
    axes.plot(*places_of(found['path']).T, color='tab:blue', linewidth=3, label='path')
    disc: Marker = found['covariance']
    axes.add_patch(Ellipse(
        (disc.pose.position.x, disc.pose.position.y), disc.scale.x, disc.scale.y,
        angle=math.degrees(yaw_of(disc.pose.orientation)), fill=False, color='tab:orange',
        linewidth=2, label='where base_link is with 95 %'))
    if 'pose' in found:
        draw_arrow(axes, found['pose'].pose.pose)
    for name in ('odom', 'base_link'):
        if name in found:
            draw_frame(axes, name, *found[name])
    x, y, _ = found.get('base_link', (*places_of(found['path'])[-1], 0.0))
    if 'attribution' in found:
        axes.set_title(f'imagery: {found["attribution"].text}', fontsize=8)
    axes.set(xlim=(min(west, x - ROOM_M), max(extent[1], x + ROOM_M)),
             ylim=(min(south, y - ROOM_M), max(extent[3], y + ROOM_M)))
    axes.legend(loc='upper right')


def draw_matches(axes: Axes, lines: Marker) -> None:
    """Draw each match from where its ground point lies to where it was matched."""
    ends = np.array([(point.x, point.y) for point in lines.points]).reshape(-1, 2, 2)
    for (start, end), colour in zip(ends, lines.colors[::2]):
        axes.plot(*np.stack([start, end], 1), color=(colour.r, colour.g, colour.b), linewidth=0.8)


def draw_arrow(axes: Axes, pose: Pose) -> None:
    """Draw the pose that an image alone says."""
    yaw_rad = yaw_of(pose.orientation)
    axes.quiver(pose.position.x, pose.position.y, math.cos(yaw_rad), math.sin(yaw_rad),
                color='gold', scale=14, width=0.006, zorder=4, label='pose by the last image')


def draw_frame(axes: Axes, name: str, x: float, y: float, yaw_rad: float) -> None:
    """Draw the axes of a frame, x red and y green, with its name."""
    for turn_rad, colour in ((0.0, 'red'), (math.pi / 2, 'lime')):
        axes.plot((x, x + AXIS_M * math.cos(yaw_rad + turn_rad)),
                  (y, y + AXIS_M * math.sin(yaw_rad + turn_rad)), color=colour, linewidth=2,
                  clip_on=True)
    axes.annotate(name, (x, y), xytext=(6, -14), textcoords='offset points', color='white',
                  bbox={'facecolor': 'black', 'alpha': 0.6, 'pad': 1}, annotation_clip=True)


def draw_overlay(axes: Axes, image: Image) -> None:
    """Draw the picture of the matches."""
    axes.imshow(np.asarray(image.data, np.uint8).reshape(image.height, image.width, 3))
    axes.set_title('~/matches', fontsize=9)


def draw_diagnostics(axes: Axes, statuses: list[DiagnosticStatus]) -> None:
    """Write each status with its level's colour, and the values that are looked at first."""
    axes.set_title('/diagnostics', fontsize=9)
    line = 1.0
    for status in statuses:
        head = textwrap.shorten(f'{status.name}: {status.message}', 85)
        values = [f'{each.key}: {each.value}' for each in status.values if each.key in TOLD]
        axes.text(0.0, line, '\u25cf', color=COLOURS.get(status.level, 'grey'), va='top')
        axes.text(0.04, line, head, va='top', weight='bold', fontsize=9)
        text = '\n'.join(textwrap.wrap(';  '.join(values), 80))
        axes.text(0.04, line - 0.07, text, va='top', fontsize=8)
        line -= 0.16 + 0.06 * text.count('\n')


if __name__ == '__main__':
    raise SystemExit(main())
