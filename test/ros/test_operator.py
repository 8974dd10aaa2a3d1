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

"""What an operator may ask of a running node: initialpose and the services, over real DDS."""

import math
from test.helpers.vehicle import (
    at, FRAME, image, ODOMETRY, PATIENCE_S, searched_east_m, TRUTH, Vehicle)
from types import SimpleNamespace

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.services import set_datum_type
from geometry_msgs.msg import PoseWithCovarianceStamped
import numpy as np
import pytest
from rcl_interfaces.msg import Log
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tf_transformations import quaternion_from_euler

DATUM = list(FRAME.datum)
ELSEWHERE = Pose2(TRUTH.x + 40.0, TRUTH.y - 30.0, TRUTH.yaw + 1.0)


def initial_pose(pose: Pose2, frame: str = 'map', stamp=at(1.0)) -> PoseWithCovarianceStamped:
    """Return what RViz sends."""
    message = PoseWithCovarianceStamped(header=Header(stamp=stamp, frame_id=frame))
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
    orientation = message.pose.pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = (
        float(value) for value in quaternion_from_euler(0.0, 0.0, pose.yaw))
    covariance = np.zeros((6, 6))
    covariance[0, 0] = covariance[1, 1] = 0.25
    covariance[5, 5] = math.radians(15.0) ** 2
    message.pose.covariance = covariance.ravel()
    return message


def ask(vehicle: Vehicle, node, name: str, request=None):
    """Call a service of the node and check that the log says the same as the answer."""
    request = request or Trigger.Request()
    kind = SetBool if isinstance(request, SetBool.Request) else Trigger
    answer = vehicle.call(kind, f'{node.get_fully_qualified_name()}/{name}', request)
    vehicle.until_logged(f'{name}: {answer.message}')
    return answer


def next_look(vehicle: Vehicle, stamp):
    """Send an image and return the grids of base_link's poses where it is looked for."""
    known = len(vehicle.localizer.plans)
    vehicle.send(image(stamp))
    vehicle.until(lambda: len(vehicle.localizer.plans) > known, 'the image is looked for')
    return vehicle.localizer.plans[known].grids


@pytest.mark.parametrize('frame', ['map', '/map', 'odom'])
def test_initial_pose_is_where_the_next_image_is_looked_for(vehicle, frame):
    """In the map or in a frame that is connected with it, with a slash or without."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    vehicle.until(lambda: any(item.header.frame_id == 'map' for message in vehicle.heard['/tf']
                              for item in message.transforms), 'map -> odom is broadcast')
    map_from_odom = TRUTH.compose(ODOMETRY.inverse())
    asked = ELSEWHERE if 'map' in frame else map_from_odom.inverse().compose(ELSEWHERE)
    vehicle.send(initial_pose(asked, frame))
    vehicle.until_logged('initialpose: searching around (52.0 m, -38.0 m), yaw 97 degrees in map')
    vehicle.send_odometry_tf(at(1.1))
    grids = next_look(vehicle, at(1.1))
    middles = np.array([grid.middle[:2] for grid in grids])
    assert np.abs(middles - ELSEWHERE[:2]).max() < 3.0  # the camera is 1.5 m ahead of base_link
    reach_rad = max(abs(grid.middle.yaw - ELSEWHERE.yaw) + grid.reach_rad for grid in grids)
    assert reach_rad > math.radians(30.0)


@pytest.mark.parametrize('frame, problem, words', [
    ('', None, 'initialpose names no frame'),
    ('moon', None, 'frame that is not known: no transform map -> moon'),
    ('map', 'nan', 'position of the initialpose is not finite'),
    ('map', 'quaternion', 'orientation of the initialpose is no quaternion')])
def test_initial_pose_that_cannot_be_used_changes_nothing(vehicle, frame, problem, words):
    """It is refused with a sentence."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    message = initial_pose(ELSEWHERE, frame)
    if problem == 'nan':
        message.pose.pose.position.x = float('nan')
    if problem == 'quaternion':
        message.pose.pose.orientation.z = message.pose.pose.orientation.w = 0.0
    for times in (1, 2):  # whoever clicks again is told again
        vehicle.send(message)
        vehicle.until(lambda: len(vehicle.logged(words)) == times, 'it is refused')
    assert vehicle.logged(words)[0].level == Log.WARN
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))


def test_initial_pose_without_a_map(vehicle):
    """Before there is an origin no pose in the map says anything."""
    vehicle.start()
    vehicle.send(initial_pose(ELSEWHERE))
    vehicle.until_logged('the map has no origin before there is a datum or a fix')


def test_relocalize_searches_around_gnss_again(vehicle):
    """At once, as far as the parameter says; and map -> odom ends until there is a pose."""
    node = vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))
    assert len(vehicle.localizer.plans[-1].grids) < 4
    assert vehicle.set_parameter(node, 'relocalize_sigma_m', 5.0).successful
    answer = ask(vehicle, node, 'relocalize')
    assert answer.success and 'within 5 m (one sigma) of GNSS' in answer.message
    assert node.parts.outputs.held.is_empty
    grids = next_look(vehicle, at(1.15))
    assert len({grid.middle.yaw for grid in grids}) == 4
    west_m, east_m = searched_east_m(vehicle.localizer.plans[-1])
    assert east_m - west_m >= 2 * 15.0


def test_reset_forgets_the_inputs(vehicle):
    """Without new ones there is no pose; with new ones there is."""
    node = vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    assert ask(vehicle, node, 'reset').success
    vehicle.send(image(at(1.05)))
    vehicle.until_logged('no position yet')
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))


def test_pose_of_before_is_not_published_after(vehicle):
    """An image that is being worked on when a new search is asked for counts no more."""
    node = vehicle.start(datum=DATUM)
    vehicle.localizer.proceed.clear()
    vehicle.send_all(at(1.0))
    assert vehicle.localizer.entered.wait(PATIENCE_S)
    assert ask(vehicle, node, 'relocalize').success
    vehicle.localizer.proceed.set()
    vehicle.until_logged('a new search began, while an image was worked on')
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))
    assert len(vehicle.heard['fg2/pose']) == 1


def test_paused_node_takes_no_images(vehicle):
    """Diagnostics say that it is meant so, and it goes on when asked."""
    node = vehicle.start(datum=DATUM)
    assert ask(vehicle, node, 'pause', SetBool.Request(data=True)).success
    images = node.localization.inputs.arrivals['image']
    vehicle.send_all(at(1.0))
    vehicle.until(lambda: images.count == 1, 'the image has arrived')
    vehicle.until_diagnosed(
        lambda found: found['message'] == 'paused' and found['level'] == b'\0', 'it is paused')
    assert 'begins once images are taken again' in ask(vehicle, node, 'relocalize').message
    assert ask(vehicle, node, 'pause', SetBool.Request(data=False)).success
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))
    assert len(vehicle.localizer.panoramas) == 1


@pytest.mark.parametrize('name', ['reset', 'relocalize'])
def test_node_that_is_not_configured_says_so(vehicle, name):
    """It answers, and does nothing."""
    node = vehicle.start(active=False)
    answer = ask(vehicle, node, name)
    assert not answer.success and answer.message == 'the node is not configured'


def test_inactive_node_cannot_be_paused(vehicle):
    """There is nothing to pause."""
    node = vehicle.start(active=False, datum=DATUM)
    assert vehicle.change(node, 'configure')
    answer = ask(vehicle, node, 'pause', SetBool.Request(data=True))
    assert not answer.success and 'the node is not active' in answer.message


def test_set_datum_moves_the_origin(vehicle):
    """As the parameter does; what is no place on Earth is refused in the log."""
    node = vehicle.start(datum=DATUM)
    for latitude_deg in (46.0, 91.0):
        set_datum(vehicle, node, latitude_deg)
    vehicle.until_logged('the datum has changed: starting again')
    vehicle.until_logged('set_datum: parameter datum: latitude 91.0 is not between')
    assert node.parts.pipeline.map_frame.datum == (46.0, 8.0)
    assert list(node.get_parameter('datum').value) == [46.0, 8.0]


def set_datum(vehicle: Vehicle, node, latitude_deg: float) -> None:
    """Call ~/set_datum, or where robot_localization is not installed what would be called."""
    kind = set_datum_type()
    if kind is None:
        position = SimpleNamespace(latitude=latitude_deg, longitude=8.0)
        node._services_offered.set_datum(
            SimpleNamespace(geo_pose=SimpleNamespace(position=position)), None)
        return
    request = kind.Request()
    request.geo_pose.position.latitude, request.geo_pose.position.longitude = latitude_deg, 8.0
    vehicle.call(kind, f'{node.get_fully_qualified_name()}/set_datum', request)
