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

"""Sensors and transforms that are wrong for a while, over DDS: said once, and over when over."""

from test.helpers.vehicle import (
    at, fix, FRAME, image, imu, LATCHED, MOUNT, ODOMETRY, odometry, transform, TRUTH, Vehicle)

from builtin_interfaces.msg import Time
from fg2_ros.geometry.se2 import Pose2
import pytest
from sensor_msgs.msg import Imu, NavSatFix
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

DATUM = list(FRAME.datum)
HOUR_S = 3600.0


def nowhere(stamp: Time) -> NavSatFix:
    """Return what a driver sends that has no position yet."""
    return NavSatFix(header=Header(stamp=stamp, frame_id='base_link'))


def require_pose(vehicle: Vehicle, stamp: Time) -> None:
    """Check that everything is good now."""
    vehicle.send_all(stamp)
    vehicle.pose_at(stamp)


def test_zero_north_zero_east_is_no_datum_and_told_once(vehicle):
    """The receiver's first position is."""
    vehicle.hear(NavSatFix, 'fg2/datum', LATCHED)
    vehicle.start()
    vehicle.send_mount()
    for tenth in range(10):
        vehicle.send(nowhere(at(1.0 + tenth / 10)))
    vehicle.until_logged('0 N 0 E')
    require_pose(vehicle, at(3.0))
    datum, = vehicle.heard['fg2/datum']
    assert (datum.latitude, datum.longitude) == pytest.approx(
        FRAME.geodetic_from_map(TRUTH.x, TRUTH.y))
    assert len(vehicle.logged('0 N 0 E')) == 1


def test_the_datum_moves_until_there_was_a_pose_and_then_stays(vehicle):
    """The first fix is 5 km off; the three after it agree with one another."""
    vehicle.hear(NavSatFix, 'fg2/datum', LATCHED)
    node = vehicle.start()
    vehicle.send_mount()
    vehicle.until(vehicle.has_mount, 'the mount has arrived')
    vehicle.send(fix(at(1.0), Pose2(3000.0, 4000.0, 0.0)))
    for second in (2.0, 3.0, 4.0):
        vehicle.send(fix(at(second)))
    vehicle.until_logged('the first fixes were wrong')
    vehicle.until_logged('further than a vehicle drives')
    vehicle.until(lambda: len(vehicle.heard['fg2/datum']) == 2, 'the datum is published again')
    require_pose(vehicle, at(4.5))
    for second in (10.0, 11.0, 12.0, 13.0):
        vehicle.send(fix(at(second), Pose2(3000.0, 4000.0, 0.0)))
    vehicle.send(imu(at(13.5)))
    vehicle.until(lambda: node.localization.parts.pipeline._fixes._believed.stamp_ns
                  > at(12.5).sec * 10 ** 9, 'the fixes are believed')
    assert len(vehicle.heard['fg2/datum']) == 2


def test_an_imu_that_fills_in_nothing_is_no_compass_and_no_trouble(vehicle):
    """In ROS 2 its orientation is then the identity, which would be east."""
    vehicle.start(datum=DATUM)
    vehicle.send_mount()
    vehicle.send_odometry_tf(at(1.0))
    for tenth in range(10):
        vehicle.send(Imu(header=Header(stamp=at(0.1 + tenth / 10), frame_id='base_link')))
    vehicle.send(odometry(at(1.0)))
    vehicle.send(fix(at(1.0)))
    vehicle.until_logged('the IMU gives no orientation')
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    vehicle.pose_at(at(1.0))
    found = vehicle.until_diagnosed(lambda found: found['message'] == 'localizing', 'no trouble')
    assert 'the identity' in found['IMU'] and len(vehicle.logged('no orientation')) == 1
    vehicle.send(imu(at(1.2)))
    vehicle.until_diagnosed(lambda found: 'IMU' not in found, 'the IMU is well again')


def test_one_message_dated_an_hour_ahead_ends_nothing(vehicle):
    """Nor do absurd numbers in a few others."""
    vehicle.start(datum=DATUM)
    require_pose(vehicle, at(1.0))
    vehicle.send(fix(at(1.05 + HOUR_S)))
    vehicle.until_logged('a message on fix is dated 3600')
    vehicle.send(odometry(at(1.06), Pose2(1e300, 0.0, 0.0)))
    vehicle.send(odometry(at(1.07), Pose2(1.7e308, -1.7e308, 0.0)))
    vehicle.until_logged('the odometry holds')
    wrong = odometry(at(1.08))
    wrong.child_frame_id = 'left_wheel'
    vehicle.send(wrong)
    vehicle.until_logged('left_wheel (child_frame_id)')
    require_pose(vehicle, at(1.1))
    assert not vehicle.logged('starting again')


def test_transforms_an_hour_ahead_are_over_when_they_are_over(vehicle):
    vehicle.start(datum=DATUM)
    vehicle.send_mount()
    vehicle.send_prior(at(1.0))
    vehicle.send_odometry_tf(at(1.0 + HOUR_S))
    vehicle.until(lambda: vehicle.has_prior(at(1.0)), 'a prior')
    vehicle.send(image(at(1.0)))
    vehicle.until_logged('the newest odom -> base_link is dated 3600')
    require_pose(vehicle, at(2.0))


def test_a_loop_of_transforms_is_named_and_left_out(vehicle):
    vehicle.start(datum=DATUM)
    require_pose(vehicle, at(1.0))
    vehicle.tf.publish(TFMessage(transforms=[
        transform('base_link', 'odom', at(1.05), ODOMETRY)]))
    vehicle.until_logged('the transform base_link -> odom is not used')
    require_pose(vehicle, at(1.1))


@pytest.mark.parametrize('rotation', [(0.0, 0.0), (float('nan'), 1.0)])
def test_a_mount_that_is_no_rotation_is_named_until_it_is_corrected(vehicle, rotation):
    vehicle.start(datum=DATUM)
    broken = transform('base_link', 'camera', Time(), MOUNT)
    broken.transform.rotation.z, broken.transform.rotation.w = rotation
    vehicle.tf_static.publish(TFMessage(transforms=[broken]))
    vehicle.until_logged('the transform base_link -> camera is not used')
    vehicle.send(image(at(1.0)))
    vehicle.until_logged('no transform base_link -> camera: the transform')
    require_pose(vehicle, at(2.0))


def test_frames_may_begin_with_a_slash(vehicle):
    vehicle.start(datum=DATUM)
    vehicle.tf_static.publish(TFMessage(transforms=[
        transform('/base_link', '/camera', Time(), MOUNT),
        transform('/base_link', '/gps', Time(), Pose2(0.0, 0.0, 0.0))]))
    vehicle.send_odometry_tf(at(1.0))
    vehicle.until(vehicle.has_mount, 'the mount has arrived')
    for message in (fix(at(1.0)), imu(at(1.0)), odometry(at(1.0))):
        message.header.frame_id = '/gps'
        vehicle.send(message)
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0), frame='/camera'))
    vehicle.pose_at(at(1.0))


def test_a_receiver_on_gps_time_is_told_by_how_much_it_differs(vehicle):
    """18 seconds, the leap seconds; images and odometry are on UTC."""
    vehicle.start(datum=DATUM)
    vehicle.send_mount()
    vehicle.send(image(at(0.5)))
    for second in range(1, 7):
        vehicle.send(fix(at(second + 18.0)))
        vehicle.send(odometry(at(second + 0.1)))
        vehicle.send(image(at(second)))
        vehicle.until_diagnosed(
            lambda found: int(found['rejected']) >= second, 'the image is worked on')
    vehicle.until_logged('the nearest is dated 1')
    vehicle.until_logged('clocks differ from that of the images: fix by 1')
    found = vehicle.until_diagnosed(
        lambda found: 'fix stamps behind those of images [s]' in found, 'the clocks', 'inputs')
    assert -19.5 < float(found['fix stamps behind those of images [s]']) < -16.5
