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

"""What the node publishes of a good image: frames, stamps, covariances, transforms."""

import math
from test.helpers.vehicle import (
    at, fix, FRAME, image, imu, later, MOUNT, ODOMETRY, odometry, PATIENCE_S, planar, TRUTH,
    Vehicle)
import time

from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.ros.conversions import stamp_ns
from nav_msgs.msg import Odometry
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix
from std_srvs.srv import Trigger
from tf2_ros import Buffer

DATUM = list(FRAME.datum)


def broadcasts(vehicle: Vehicle) -> list:
    """Return all map -> odom that were heard."""
    return [item for message in vehicle.heard['/tf'] for item in message.transforms
            if item.header.frame_id == 'map']


def test_pose_is_of_the_base_at_the_stamp_of_the_image(vehicle):
    """The lever arm and the camera's yaw are taken off (F3); the stamp is bit-exact (O1)."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.25))
    message = vehicle.pose_at(at(1.25))
    assert message.header.frame_id == 'map'
    pose = planar(message.pose.pose.position, message.pose.pose.orientation)
    np.testing.assert_allclose(pose, TRUTH, atol=1e-9)


def test_transform_completes_the_estimate(vehicle):
    """map_from_odom composed with odom_from_base is where base_link is, to 1e-9 (F1)."""
    vehicle.hear(Odometry, 'fg2/odometry')
    node = vehicle.start(datum=DATUM)
    vehicle.until(lambda: node.parts.outputs.odometry.get_subscription_count() > 0, 'it is heard')
    vehicle.send_all(at(1.25))
    message = vehicle.until(lambda: vehicle.heard['fg2/odometry'], 'base_link is told')[0]
    assert message.header.stamp == at(1.25) and message.header.frame_id == 'map'
    assert message.child_frame_id == 'base_link'
    sent = vehicle.until(lambda: broadcasts(vehicle), 'map -> odom is broadcast')[0]
    assert sent.child_frame_id == 'odom'
    composed = planar(sent.transform.translation, sent.transform.rotation).compose(ODOMETRY)
    pose = planar(message.pose.pose.position, message.pose.pose.orientation)
    np.testing.assert_allclose(composed[:2], pose[:2], atol=1e-9)
    assert abs(wrap_angle(composed.yaw - pose.yaw)) < 1e-9
    np.testing.assert_allclose(pose[:2], TRUTH[:2], atol=0.1)


def test_transform_serves_lookups_at_the_newest_odometry(vehicle):
    """It is repeated without new poses, and dated ahead (F1); the first since its image."""
    vehicle.start(datum=DATUM, transform__rate_hz=50.0, transform__tolerance_s=0.2)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    for number in range(1, 6):
        stamp = at(1.0 + number / 10)
        vehicle.send_odometry_tf(stamp)
        vehicle.send_prior(stamp)
        vehicle.until(lambda: any(
            item.header.stamp == later(stamp, 0.2) for item in broadcasts(vehicle)),
            'map -> odom is dated ahead of the newest odometry')
    buffer = Buffer()
    for message in vehicle.heard['/tf']:
        for item in message.transforms:
            buffer.set_transform(item, 'test')
    newest = buffer.lookup_transform('map', 'base_link', later(at(1.5), 0.05)).transform
    found = planar(newest.translation, newest.rotation)
    np.testing.assert_allclose(found[:2], TRUTH[:2], atol=0.1)
    for tenth in range(6):
        assert buffer.can_transform('map', 'base_link', at(1.0 + tenth / 10))
    assert [pose.header.stamp for pose in vehicle.heard['fg2/pose']] == [at(1.0)]


def held_at(vehicle, stamp, step: Pose2) -> Pose2:
    """Let the odometry's time go on to a stamp; return the map -> odom that is broadcast then."""
    vehicle.send(odometry(stamp, ODOMETRY.compose(step)))
    found = vehicle.until(lambda: [
        item for item in broadcasts(vehicle) if item.header.stamp == later(stamp, 0.2)],
        'map -> odom is broadcast')[-1].transform
    return planar(found.translation, found.rotation)


def drive(vehicle, begin_s: float, metres: float, off_m: float) -> Pose2:
    """Drive ahead for a second and send an image that places the vehicle off odometry's way."""
    for tenth in range(1, 11):
        step = Pose2(metres + 0.4 * tenth, 0.0, 0.0)
        vehicle.send(odometry(at(begin_s + tenth / 10), ODOMETRY.compose(step)))
    stamp, truth = at(begin_s + 1), TRUTH.compose(step)
    vehicle.localizer.truth = truth._replace(x=truth.x + off_m)
    vehicle.send_odometry_tf(stamp, ODOMETRY.compose(step))
    vehicle.send(fix(stamp, truth))
    vehicle.send(imu(stamp))
    inputs = vehicle.under_test[0].localization.inputs
    vehicle.until(lambda: inputs.now_ns() == stamp_ns(stamp) and vehicle.is_ready(stamp),
                  'odometry and the prior have arrived')
    vehicle.send(image(stamp))
    vehicle.pose_at(stamp)
    return step


def test_a_correction_is_blended_and_a_relocalization_is_not(vehicle):
    """Nothing jumps that did not (F1); what was lost is where it is found, at once."""
    node = vehicle.start(datum=DATUM, transform__rate_hz=50.0, transform__blend_s=1.0)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    step = drive(vehicle, 1.0, 0.0, off_m=1.0)
    held = [held_at(vehicle, at(2.0 + tenth / 10), step).x for tenth in range(1, 13)]
    moved = np.diff(held)
    assert held[-1] - held[0] > 0.1 and moved.min() >= -1e-9
    assert moved.max() < 0.25 * (held[-1] - held[0])
    vehicle.call(Trigger, f'{node.get_fully_qualified_name()}/relocalize', Trigger.Request())
    step = drive(vehicle, 3.2, 4.0, off_m=4.0)
    found = held_at(vehicle, at(4.21), step).compose(ODOMETRY.compose(step))
    assert found.x == pytest.approx(vehicle.localizer.truth.x, abs=0.3)


def test_transform_ends_when_there_was_no_pose_for_long(vehicle):
    """The log says so; the next pose brings it back."""
    vehicle.start(datum=DATUM, transform__timeout_s=1.0, transform__tolerance_s=0.1)
    vehicle.send_all(at(1.0))
    vehicle.until(lambda: broadcasts(vehicle), 'map -> odom is broadcast')
    vehicle.send_prior(at(2.5))
    vehicle.until_logged('map -> odom is no longer broadcast: there was no pose for 1 s')
    count = len(broadcasts(vehicle))
    vehicle.send_prior(at(2.6))
    vehicle.send_all(at(2.7))
    vehicle.pose_at(at(2.7))
    vehicle.until(lambda: len(broadcasts(vehicle)) > count, 'map -> odom is broadcast again')
    vehicle.until(lambda: len(broadcasts(vehicle)) > count + 1, 'and repeated')
    later_ones = {item.header.stamp.nanosec for item in broadcasts(vehicle)[count:]}
    assert later_ones == {at(2.7).nanosec, later(at(2.7), 0.1).nanosec}  # from its image on


def test_covariance_is_sound_and_moved_to_the_base(vehicle):
    """All 36 entries are finite, symmetric, positive definite (O2) and carry the lever (F3)."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    covariance = np.array(vehicle.pose_at(at(1.0)).pose.covariance).reshape(6, 6)
    assert np.all(np.isfinite(covariance))
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert min(covariance[2, 2], covariance[3, 3], covariance[4, 4]) > 5
    planar_part = covariance[np.ix_((0, 1, 5), (0, 1, 5))]
    camera = TRUTH.compose(MOUNT)
    east, north = TRUTH.x - camera.x, TRUTH.y - camera.y
    to_camera = np.eye(3)  # what the yaw's error does to the base is taken off
    to_camera[:2, 2] = north, -east
    of_camera = to_camera @ planar_part @ to_camera.T
    sigma = np.sqrt(np.diag(of_camera))
    np.testing.assert_allclose(of_camera / np.outer(sigma, sigma), np.eye(3), atol=0.02)
    assert sigma[0] == pytest.approx(sigma[1], rel=0.02)
    assert abs(planar_part[1, 2]) > 0.9 * abs(east) * planar_part[2, 2]


def test_fix_is_where_the_pose_is(vehicle):
    """~/fix names the pose's place on Earth."""
    vehicle.hear(NavSatFix, 'fg2/fix')
    node = vehicle.start(datum=DATUM)
    vehicle.until(lambda: node.parts.outputs.fix.get_subscription_count() > 0, 'the fix is heard')
    vehicle.send_all(at(1.0))
    message = vehicle.until(lambda: vehicle.heard['fg2/fix'], 'a fix comes')[0]
    assert message.header.stamp == at(1.0) and message.header.frame_id == 'base_link'
    np.testing.assert_allclose(
        FRAME.map_from_geodetic(message.latitude, message.longitude), TRUTH[:2], atol=1e-3)
    assert message.position_covariance[0] > 0


def test_first_good_fix_is_the_datum_and_is_latched(vehicle):
    """Without the parameter the first fix is the origin, and whoever comes later hears it."""
    vehicle.start()
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    vehicle.hear(NavSatFix, 'fg2/datum',
                 QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    datum = vehicle.until(lambda: vehicle.heard['fg2/datum'], 'the datum comes')[0]
    assert (datum.latitude, datum.longitude) == FRAME.geodetic_from_map(*TRUTH[:2])
    assert vehicle.localizer.requests == [(datum.latitude, datum.longitude)]


def test_older_images_are_refused(vehicle):
    """Stamps increase strictly, even when images arrive out of order (O1)."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(2.0))
    vehicle.pose_at(at(2.0))
    vehicle.send(image(at(1.9)))
    vehicle.until_logged('not newer')
    vehicle.send_all(at(2.1))
    vehicle.pose_at(at(2.1))
    assert [pose.header.stamp for pose in vehicle.heard['fg2/pose']] == [at(2.0), at(2.1)]


def test_recording_that_starts_over_is_followed(vehicle):
    """When stamps go far back, buffers are forgotten and poses flow again (N5)."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(100.0))
    vehicle.pose_at(at(100.0))
    vehicle.send_prior(at(5.0))
    vehicle.until_logged('starting again')
    vehicle.send_all(at(5.1))
    vehicle.pose_at(at(5.1))


@pytest.mark.parametrize('clock_s', [None, 100.0])
def test_simulated_time_may_not_have_begun(vehicle, clock_s):
    """With use_sim_time poses follow the stamps, with or without a /clock yet (N5)."""
    vehicle.start(datum=DATUM, use_sim_time=True)
    if clock_s is not None:
        vehicle.send_clock(clock_s)
    vehicle.send_all(at(100.0))
    vehicle.pose_at(at(100.0))
    vehicle.until(lambda: vehicle.diagnosed().get('accepted') == '1', 'diagnostics go on')


def test_clock_that_goes_back_starts_again(vehicle):
    """A recording that `ros2 bag play --clock --loop` starts over is followed (N5)."""
    vehicle.start(datum=DATUM, use_sim_time=True)
    vehicle.send_clock(100.0)
    vehicle.send_all(at(100.0))
    vehicle.pose_at(at(100.0))
    vehicle.send_clock(5.0)
    vehicle.until_logged('the ROS clock went back')
    vehicle.send_all(at(5.1))
    vehicle.pose_at(at(5.1))


def test_time_that_jumps_back_during_an_estimate_voids_it(vehicle):
    """What was seen before the jump is not published after it, nor in the new run's way (N5)."""
    vehicle.start(datum=DATUM, publish_tf=False)
    vehicle.localizer.proceed.clear()
    vehicle.send_all(at(100.0))
    assert vehicle.localizer.entered.wait(PATIENCE_S)
    vehicle.send_prior(at(5.0))
    vehicle.until_logged('starting again')
    vehicle.localizer.proceed.set()
    vehicle.until_logged('while an image was worked on')
    vehicle.send_all(at(5.1))
    vehicle.pose_at(at(5.1))
    assert [pose.header.stamp for pose in vehicle.heard['fg2/pose']] == [at(5.1)]


def test_transform_is_left_to_an_ekf(vehicle):
    """With publish_tf off poses need no odometry transform, and none is broadcast (F1)."""
    vehicle.start(datum=DATUM, publish_tf=False)
    vehicle.send_mount()
    vehicle.send_prior(at(1.0))
    vehicle.until(lambda: vehicle.has_prior(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    vehicle.pose_at(at(1.0))
    assert not broadcasts(vehicle)


def test_newest_image_wins(vehicle):
    """Of images that come while the worker is busy, only the newest is processed (N1)."""
    vehicle.start(datum=DATUM)
    vehicle.localizer.proceed.clear()
    vehicle.send_all(at(1.0))
    assert vehicle.localizer.entered.wait(PATIENCE_S)
    arrivals = vehicle.under_test[0].localization.inputs.arrivals['image']
    for count, seconds in enumerate((1.1, 1.2, 1.3), start=2):
        vehicle.send_odometry_tf(at(seconds))
        vehicle.send(image(at(seconds)))
        vehicle.until(lambda: arrivals.count == count, 'the image has arrived')
    vehicle.localizer.proceed.set()
    vehicle.pose_at(at(1.3))
    assert [pose.header.stamp for pose in vehicle.heard['fg2/pose']] == [at(1.0), at(1.3)]
    vehicle.until_diagnosed(lambda found: found['images dropped for newer ones'] == '2',
                            'two images were dropped', 'inputs')


def test_overlay_is_drawn_for_those_who_look(vehicle):
    """~/matches shows panorama and patch side by side."""
    vehicle.hear(Image, 'fg2/matches')
    overlays = vehicle.start(datum=DATUM).parts.outputs.matches
    vehicle.until(lambda: overlays.get_subscription_count() > 0, 'the overlay is heard')
    vehicle.send_all(at(1.0))
    message = vehicle.until(lambda: vehicle.heard['fg2/matches'], 'an overlay comes')[0]
    assert message.header.stamp == at(1.0)
    assert (message.height, message.width, message.encoding) == (512, 1536, 'rgb8')


def test_overlays_are_drawn_now_and_then(vehicle):
    vehicle.hear(Image, 'fg2/matches')
    overlays = vehicle.start(datum=DATUM, matches_rate_hz=0.1).parts.outputs.matches
    vehicle.until(lambda: overlays.get_subscription_count() > 0, 'the overlay is heard')
    begin = time.monotonic()
    for time_s in (1.0, 1.1, 1.2):
        vehicle.send_all(at(time_s))
        vehicle.pose_at(at(time_s))
    vehicle.until(lambda: vehicle.heard['fg2/matches'], 'an overlay comes')
    found = [overlay.header.stamp for overlay in vehicle.heard['fg2/matches']]
    assert found[0] == at(1.0) and len(found) <= 1 + 0.1 * (time.monotonic() - begin)


def test_rejected_estimate_is_not_published(vehicle):
    """A rejection has a reason and a counter (O3)."""
    vehicle.start(datum=DATUM)
    vehicle.localizer.sees_nothing = True
    vehicle.send_all(at(1.0))
    vehicle.until_logged('agree with no place near the prior')
    vehicle.until_diagnosed(
        lambda found: (found.get('rejected: agreement'), found['accepted']) == ('1', '0')
        and 'is the heading right' in found['last rejection'], 'the rejection is counted')
    assert not vehicle.heard['fg2/pose'] and not broadcasts(vehicle)


def test_images_are_looked_for_where_the_camera_is(vehicle):
    """The localizer is told where the camera is and where its centre column looks."""
    vehicle.start(datum=DATUM, publish_tf=False)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    camera = TRUTH.compose(MOUNT)
    grids = vehicle.localizer.plans[0].grids
    turns = [wrap_angle(grid.middle.yaw - camera.yaw) for grid in grids]
    np.testing.assert_allclose(
        np.sort(np.abs(turns)), [0, math.pi / 2, math.pi / 2, math.pi], atol=1e-9)
    given = grids[int(np.argmin(np.abs(turns)))]
    np.testing.assert_allclose(given.middle[:2], camera[:2], atol=1e-3)
    assert min(given.reach_m) > 3 * 2.0 and given.reach_rad > 0.2
