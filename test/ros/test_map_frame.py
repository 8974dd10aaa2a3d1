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

"""The map's origin and projection, as navsat_transform_node has them, and the node's ~/fix."""

import math
from test.helpers.vehicle import at, fix, FRAME, image, imu, LATCHED, transform, Vehicle

from fg2_ros.geometry.se2 import Pose2
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
import numpy as np
from pyproj import Transformer
import pytest
from sensor_msgs.msg import NavSatFix, NavSatStatus
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_from_matrix, rotation_matrix

DATUM = list(FRAME.datum)
UTM_32 = Transformer.from_crs('EPSG:4326', 'EPSG:32632', always_xy=True)
GEOCENTRIC = Transformer.from_crs('EPSG:4979', 'EPSG:4978', always_xy=True)
METRE_NORTH_DEG = 8.99e-6


def started(vehicle: Vehicle, **parameters):
    """Return an active node whose fixes are heard."""
    vehicle.hear(NavSatFix, 'fg2/fix')
    node = vehicle.start(**parameters)
    vehicle.until(lambda: node.parts.outputs.fix.get_subscription_count() > 0, 'the fix is heard')
    return node


def fix_of(vehicle: Vehicle) -> NavSatFix:
    """Return the first fix of the node."""
    return vehicle.until(lambda: vehicle.heard['fg2/fix'], 'a fix comes')[0]


# The datum -------------------------------------------------------------------------------------

def test_datum_is_that_of_navsat_transform_node(vehicle):
    """It has a third value, the heading; 0 is ours."""
    vehicle.hear(NavSatFix, 'fg2/datum', LATCHED)
    vehicle.start(datum=[*DATUM, 0.0])
    datum = vehicle.until(lambda: vehicle.heard['fg2/datum'], 'the datum is told')[0]
    assert [datum.latitude, datum.longitude] == DATUM
    assert datum.status.status == NavSatStatus.STATUS_FIX


@pytest.mark.parametrize('datum, sentence', [
    ([*DATUM, 0.5], 'its third value, must be 0: the map is aligned with imagery'),
    ([47.0], r'must be [latitude, longitude] or empty, not [47.0]'),
    ([47.0, 8.0, 0.0, 0.0], 'must be [latitude, longitude] or empty'),
    ([97.0, 8.0], 'latitude 97.0 is not between -90 and 90 degrees')])
def test_another_datum_is_refused_with_a_sentence(vehicle, datum, sentence):
    node = vehicle.start(active=False, datum=datum)
    assert not vehicle.change(node, 'configure')
    assert 'parameter datum' in vehicle.until_logged(sentence).msg


def test_map_without_utm_zone_is_refused_with_a_sentence(vehicle):
    node = vehicle.start(active=False, datum=[88.0, 8.0], map_projection='utm')
    assert not vehicle.change(node, 'configure')
    vehicle.until_logged('there is no UTM zone at latitude 88.0')


# The projection --------------------------------------------------------------------------------

def navsat_map(latitude_deg: float, longitude_deg: float) -> np.ndarray:
    """Return where navsat_transform_node has a place: UTM from the datum, turned to true north."""
    origin = np.array(UTM_32.transform(*DATUM[::-1]))
    ahead = np.array(UTM_32.transform(DATUM[1], DATUM[0] + 1e-3)) - origin
    north = ahead / np.linalg.norm(ahead)
    offset = np.array(UTM_32.transform(longitude_deg, latitude_deg)) - origin
    return np.array([offset @ [north[1], -north[0]], offset @ north])


def test_poses_in_the_utm_map_are_where_navsat_transform_node_has_them(vehicle):
    """They agree to a millimetre, 7 km from the datum, where the local map is 2.8 m off."""
    place = FRAME.geodetic_from_map(2000.0, 6700.0)
    truth = Pose2(*navsat_map(*place), 0.7)
    vehicle.localizer.truth = truth
    vehicle.hear(Odometry, 'fg2/odometry')
    started(vehicle, datum=DATUM, map_projection='utm', publish_tf=False)
    vehicle.send_mount()
    vehicle.send(fix(at(1.0), Pose2(2000.0, 6700.0, 0.0)))
    vehicle.send(imu(at(1.0)))
    vehicle.until(lambda: vehicle.has_prior(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    told = fix_of(vehicle)
    pose = vehicle.until(lambda: vehicle.heard['fg2/odometry'], 'a pose comes')[0].pose.pose
    found = np.array([pose.position.x, pose.position.y])
    np.testing.assert_allclose(navsat_map(told.latitude, told.longitude), found, atol=1e-3)
    np.testing.assert_allclose(found, truth[:2], atol=0.2)
    in_local = np.array(FRAME.map_from_geodetic(told.latitude, told.longitude))
    assert 2.5 < np.linalg.norm(in_local - found) < 3.1


# ~/fix -----------------------------------------------------------------------------------------

@pytest.mark.parametrize('altitude_m, variance_m2', [(412.5, 9.0), (math.nan, 1e4)])
def test_fix_is_one_that_navsat_transform_node_uses(vehicle, altitude_m, variance_m2):
    """It has a status, a known covariance, and the receiver's altitude, at base_link."""
    started(vehicle, datum=DATUM)
    antenna = transform('base_link', 'antenna', at(0.0), Pose2(0.0, 0.0, 0.0))
    antenna.transform.translation.z = 1.5
    vehicle.tf_static.publish(TFMessage(transforms=[antenna]))
    vehicle.send_mount()
    vehicle.until(vehicle.has_mount, 'the mounts are known')
    received = fix(at(1.0))
    received.header.frame_id, received.altitude = 'antenna', altitude_m
    received.position_covariance[8] = 9.0
    vehicle.send(received)
    vehicle.send(imu(at(1.0)))
    vehicle.send_odometry_tf(at(1.0))
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    message = fix_of(vehicle)
    assert message.status.status == NavSatStatus.STATUS_FIX
    assert message.position_covariance_type == NavSatFix.COVARIANCE_TYPE_KNOWN
    assert message.altitude == altitude_m - 1.5 or math.isnan(message.altitude + altitude_m)
    assert message.position_covariance[8] == variance_m2


# Another origin --------------------------------------------------------------------------------

def utm_transform(datum: list, turn_rad: float = 0.0, reverse: bool = False) -> TransformStamped:
    """Return the transform map -> utm as navsat_transform_node broadcasts it, or its inverse."""
    origin = np.array(UTM_32.transform(*datum[::-1]))
    ahead = np.array(UTM_32.transform(datum[1], datum[0] + 1e-3)) - origin
    map_from_utm = rotation_matrix(np.arctan2(ahead[0], ahead[1]) + turn_rad, (0, 0, 1))
    map_from_utm[:2, 3] = -map_from_utm[:2, :2] @ origin
    if reverse:
        return static('/utm', '/map', np.linalg.inv(map_from_utm))  # as ROS 1 names them
    return static('map', 'utm', map_from_utm)


def earth_transform(datum: list) -> TransformStamped:
    """Return the transform earth -> map of REP-105."""
    latitude, longitude = np.radians(datum)
    east = np.array([-np.sin(longitude), np.cos(longitude), 0])
    up = np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude),
                   np.sin(latitude)])
    earth_from_map = np.eye(4)
    earth_from_map[:3, :3] = np.stack([east, np.cross(up, east), up], axis=1)
    earth_from_map[:3, 3] = GEOCENTRIC.transform(datum[1], datum[0], 400.0)
    return static('earth', 'map', earth_from_map)


def static(parent: str, child: str, matrix: np.ndarray) -> TransformStamped:
    """Return a transform message of a (4, 4) matrix."""
    message = TransformStamped(
        header=Header(stamp=at(0.0), frame_id=parent), child_frame_id=child)
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = map(float, matrix[:3, 3])
    turn.x, turn.y, turn.z, turn.w = map(float, quaternion_from_matrix(matrix))
    return message


NORTH_OF_IT = [DATUM[0] + 3 * METRE_NORTH_DEG, DATUM[1]]


@pytest.mark.parametrize('sent, sentence', [
    (utm_transform(NORTH_OF_IT), 'map -> utm the origin of the map is 3.0 m from the datum'),
    (utm_transform(NORTH_OF_IT, reverse=True), 'map -> utm the origin of the map is 3.0 m from'),
    (utm_transform(DATUM, np.radians(5)), 'its x is -5.0 degrees from east'),
    (earth_transform(NORTH_OF_IT), 'map -> earth the origin of the map is 3.0 m from the datum')])
def test_another_origin_on_tf_is_reported(vehicle, sent, sentence):
    """In the diagnostics, with what to do (F5)."""
    vehicle.start(datum=DATUM)
    vehicle.tf_static.publish(TFMessage(transforms=[sent]))
    found = vehicle.until_diagnosed(
        lambda found: sentence in found['message'], 'the other origin is diagnosed')
    assert 'give all nodes the same datum' in found['message']


def test_another_origin_on_the_datum_topic_is_reported(vehicle):
    publisher = vehicle.node.create_publisher(NavSatFix, 'datum', LATCHED)
    publisher.publish(NavSatFix(latitude=NORTH_OF_IT[0], longitude=NORTH_OF_IT[1]))
    vehicle.start(datum=DATUM)
    sentence = 'the topic datum names another origin than the datum of this node, 3.0 m'
    vehicle.until_diagnosed(
        lambda found: sentence in found['message'], 'the other origin is diagnosed')


def test_the_same_origin_is_no_trouble(vehicle):
    """Nor is a transform between other frames."""
    publisher = vehicle.node.create_publisher(NavSatFix, 'datum', LATCHED)
    publisher.publish(NavSatFix(latitude=DATUM[0], longitude=DATUM[1]))
    node = vehicle.start(datum=DATUM)
    elsewhere = utm_transform(NORTH_OF_IT)
    elsewhere.header.frame_id = 'odom'
    vehicle.tf_static.publish(TFMessage(transforms=[
        utm_transform(DATUM), earth_transform(DATUM), elsewhere]))
    others = node.localization.other_origins
    vehicle.until(lambda: len(others._map_from) == 2 and others._datum, 'all is heard')
    assert others.complaint(node.parts.pipeline.map_frame) == ''
