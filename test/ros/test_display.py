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

"""What RViz and Foxglove are shown: messages in closed form, and over real DDS."""

import itertools
import math
import re
import subprocess
import sys
from test.helpers.paths import ROOT
from test.helpers.processes import running
from test.helpers.vehicle import at, FRAME, PATIENCE_S, TRUTH

from builtin_interfaces.msg import Time
import cv2
from fg2_ros.geometry.se2 import rotation2
from fg2_ros.imagery.patch import AerialPatch, PatchView
from fg2_ros.localizer import Matches
from fg2_ros.ros import display
from geometry_msgs.msg import Point, Pose
from nav_msgs.msg import OccupancyGrid, Path
import numpy as np
import pytest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray
import yaml

DATUM = list(FRAME.datum)
HEADER = Header(stamp=Time(sec=7), frame_id='map')


@pytest.mark.parametrize('yaw_deg', [0.0, 30.0, 80.0, -60.0])
def test_the_disc_is_the_ellipse_of_95_percent(yaw_deg):
    """Of a Gaussian, 95 % lie within it: its axes are 2.4477 sigmas."""
    turn = rotation2(math.radians(yaw_deg))
    covariance = np.eye(3)
    covariance[:2, :2] = turn @ np.diag([4.0, 0.25]) @ turn.T
    pose = Pose(position=Point(x=1.0, y=2.0, z=3.0))
    marker = display.ellipse_marker(HEADER, pose, covariance)
    assert (marker.scale.x, marker.scale.y) == pytest.approx((2 * 2.4477 * 2, 2 * 2.4477 * 0.5),
                                                             rel=1e-4)
    found_deg = math.degrees(2 * math.atan2(marker.pose.orientation.z, marker.pose.orientation.w))
    assert (found_deg - yaw_deg + 90) % 180 == pytest.approx(90)  # an axis has no direction
    assert marker.pose.position == pose.position and marker.header == HEADER


def test_lines_join_what_was_matched_the_likeliest_first():
    count = display.MATCHES_SHOWN + 50
    weight = np.linspace(0.0, 1.0, count)
    aerial_m = np.stack([np.arange(count), np.zeros(count)], 1).astype(float)
    matches = Matches(
        aerial_map_m=aerial_m, ground_grid_m=np.zeros((count, 2)), ground_map_m=aerial_m + (0, 5),
        panorama_px=np.zeros((count, 2)), weight=weight, inlier=weight > 0.5)
    marker = display.match_marker(HEADER, matches, 1.5)
    points = np.array([(point.x, point.y, point.z) for point in marker.points]).reshape(-1, 2, 3)
    assert len(points) == display.MATCHES_SHOWN and marker.type == Marker.LINE_LIST
    assert np.array_equal(points[0], [[count - 1, 5, 1.5], [count - 1, 0, 1.5]])
    assert np.array_equal(points[:, 0] - points[:, 1], [[0, 5, 0]] * len(points))
    greens = [colour.g > colour.r for colour in marker.colors]
    assert len(greens) == 2 * len(points)
    assert greens[::2] == greens[1::2] == list(np.sort(matches.inlier)[::-1][:len(points)])


def test_the_layer_lies_where_the_imagery_shows_the_ground():
    """White is 0, black is 100, nothing is -1; rows go north, as cells of a map do."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[0, -1] = 255  # the north-eastern corner
    valid = np.ones((40, 40), bool)
    valid[-1, 0] = False  # the south-western one
    patch = AerialPatch(image, PatchView(FRAME, (100.0, -50.0), 20.0, 40), valid, 'raster')
    grid = display.aerial_layer(HEADER, patch, 2.5)
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    assert (cells[-1, -1], cells[0, 0], cells[20, 20]) == (0, -1, 100)
    assert grid.info.resolution == pytest.approx(0.5)
    assert grid.info.origin.position == Point(x=90.0, y=-60.0, z=2.5)
    assert grid.info.origin.orientation.w == 1.0


def test_attribution_is_written_beneath_the_imagery():
    view = PatchView(FRAME, (100.0, -50.0), 20.0, 8)
    patch = AerialPatch(np.zeros((8, 8, 3), np.uint8), view, None, 'raster', attribution='(c) X')
    marker = display.attribution_marker(HEADER, patch, 0.0)
    assert marker.text == '(c) X' and marker.type == Marker.TEXT_VIEW_FACING
    assert marker.pose.position.y < -60.0 and marker.pose.position.x == 100.0


def test_the_path_is_bounded_and_has_no_more_points_than_can_be_seen():
    trace = display.PathTrace(length_m=10.0)
    for step in range(1000):
        trace.add(HEADER, Pose(position=Point(x=0.1 * step)))
    places = [each.pose.position.x for each in trace.message(HEADER).poses]
    assert np.ptp(places) == pytest.approx(10.0, abs=display.PATH_STEP_M)
    assert np.diff(places).min() >= display.PATH_STEP_M - 1e-9
    trace.clear()
    assert not trace.message(HEADER).poses


def test_those_who_look_see_path_ellipse_matches_and_imagery(vehicle):
    topics = {'path': Path, 'markers': MarkerArray, 'aerial': OccupancyGrid}
    for topic, kind in topics.items():
        vehicle.hear(kind, f'fg2/{topic}')
    outputs = vehicle.start(datum=DATUM).parts.outputs
    for topic in topics:
        publisher = getattr(outputs, topic)
        vehicle.until(lambda: publisher.get_subscription_count() > 0, f'{topic} is heard')
    vehicle.send_all(at(1.0))
    path = vehicle.until(lambda: [each for each in vehicle.heard['fg2/path'] if each.poses],
                         'a path comes')[0]
    assert (path.header.frame_id, path.header.stamp) == ('map', at(1.0))
    place = path.poses[0].pose.position
    assert math.hypot(place.x - TRUTH.x, place.y - TRUTH.y) < 0.5
    seen = {}
    vehicle.until(lambda: seen.update(
        (marker.ns, marker) for message in vehicle.heard['fg2/markers']
        for marker in message.markers) or len(seen) == 3, 'three kinds of markers come')
    assert set(seen) == {'covariance', 'matches', 'attribution'}
    assert seen['attribution'].text == 'Fake Imagery' and len(seen['matches'].points) == 4
    layer = vehicle.until(lambda: vehicle.heard['fg2/aerial'], 'imagery comes')[0]
    assert layer.info.width == 64 and layer.info.resolution == pytest.approx(50 / 64)


def test_the_map_can_be_drawn_without_a_screen(vehicle, tmp_path):
    node = vehicle.start(datum=DATUM)
    picture = tmp_path / 'map.png'
    with running([sys.executable, str(ROOT / 'examples' / 'draw_map.py'), str(picture),
                  '--node', node.get_fully_qualified_name(), '--wait', str(PATIENCE_S)],
                 stdout=subprocess.PIPE) as process:
        times_s = itertools.count(1.0, 0.25)

        def ended_after_another_image() -> bool:
            vehicle.send_all(at(next(times_s)))
            return process.poll() is not None
        vehicle.until(ended_after_another_image, 'the picture is drawn')
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and 'map.png shows' in said
    assert cv2.imread(str(picture)).shape == (800, 1400, 3)


@pytest.mark.parametrize('name', ['fg2.rviz', 'foxglove.json'])
def test_layouts_show_topics_that_there_are(name):
    topics = set(re.findall(r"'~/(\w+)'", ''.join(
        path.read_text() for path in (ROOT / 'fg2_ros' / 'ros').glob('*.py'))))
    shown = set(re.findall(r'\bfg2/(\w+)', (ROOT / 'config' / name).read_text()))
    assert {'path', 'markers', 'aerial', 'matches', 'pose'} <= shown <= topics
    yaml.safe_load((ROOT / 'config' / name).read_text())  # of which JSON is a part


def test_a_new_beginning_takes_path_and_markers_away(vehicle):
    vehicle.hear(Path, 'fg2/path')
    vehicle.hear(MarkerArray, 'fg2/markers')
    node = vehicle.start(datum=DATUM)
    for publisher in (node.parts.outputs.path, node.parts.outputs.markers):
        vehicle.until(lambda: publisher.get_subscription_count() > 0, 'it is heard')
    vehicle.send_all(at(1.0))
    vehicle.until(lambda: any(each.poses for each in vehicle.heard['fg2/path']), 'a path comes')
    node.localization.reset()
    vehicle.until(lambda: not vehicle.heard['fg2/path'][-1].poses, 'it is gone')
    vehicle.until(lambda: vehicle.heard['fg2/markers'][-1].markers[0].action == Marker.DELETEALL,
                  'so are the markers')
