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

"""Where headings come from: antennas, IMU, course over ground; one source at a time."""

import math
from test.helpers.vehicle import at, fix, FRAME, image, imu, MOUNT, transform, TRUTH, Vehicle

from builtin_interfaces.msg import Time
from fg2_ros.geometry.se2 import Pose2, rotation2, wrap_angle
from fg2_ros.ros.headings import Headings, of_antennas, of_motion, of_places, Yaw
from fg2_ros.tracker.inputs import Fix, Odometry
from fg2_ros.tracker.tracker import Tracker
from geometry_msgs.msg import PoseWithCovarianceStamped, QuaternionStamped
import numpy as np
import pytest
from sensor_msgs.msg import NavSatFix
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_from_euler

DATUM = list(FRAME.datum)
SECOND_NS = 10 ** 9
LEVER_M = (0.4, -0.3)


def fix_at(base: Pose2, sigma_m: float = 0.5, lever_m=LEVER_M) -> Fix:
    """Return what an antenna on the vehicle measures."""
    return Fix(base[:2] + rotation2(base.yaw) @ np.array(lever_m), sigma_m, lever_m)


def driven(speed_mps: float, turn_radps: float, with_odometry: bool):
    """Return the headings after five seconds of a drive, and its last pose."""
    tracker = Tracker()
    headings, base = Headings(tracker), Pose2(10.0, 20.0, 0.5)
    headings.least_speed_mps = 3.0
    start = base
    for step in range(51):
        stamp_ns = SECOND_NS + step * SECOND_NS // 10
        if with_odometry:
            tracker.add_odometry(stamp_ns, Odometry(
                start.inverse().compose(base), Pose2(speed_mps, 0.0, turn_radps)))
        if step % 10 == 0:
            headings.add_fix(stamp_ns, fix_at(base))
        if step < 50:
            base = base.compose(Pose2(speed_mps / 10, 0.0, turn_radps / 10))
    return headings, tracker, base


@pytest.mark.parametrize('speed_mps, turn_radps, with_odometry', [
    (8.0, 0.0, True), (8.0, 0.3, True), (-8.0, 0.0, True), (8.0, 0.0, False), (8.0, 0.02, False)])
def test_course_is_the_heading_of_a_vehicle_that_drives(speed_mps, turn_radps, with_odometry):
    """Around corners and backward, too, if there is odometry."""
    headings, tracker, base = driven(speed_mps, turn_radps, with_odometry)
    yaw_rad, sigma_rad = tracker._inputs.heading(6 * SECOND_NS)
    assert wrap_angle(yaw_rad - base.yaw) == pytest.approx(0.0, abs=math.radians(2.0))
    assert sigma_rad < math.radians(10.0) and headings.summary == 'course'


@pytest.mark.parametrize('speed_mps, turn_radps, with_odometry', [
    (0.5, 0.0, True), (2.0, 0.0, True), (8.0, 0.3, False)])
def test_no_course_of_a_vehicle_that_is_slow_or_turns_unseen(speed_mps, turn_radps, with_odometry):
    headings, tracker, _ = driven(speed_mps, turn_radps, with_odometry)
    assert tracker._inputs.heading(6 * SECOND_NS) is None
    assert headings.summary.startswith('none')


def test_course_is_not_drawn_from_a_fix_that_jumps():
    """GNSS that went further than the odometry tells nothing of the direction."""
    before, after = fix_at(Pose2(0.0, 0.0, 0.0)), fix_at(Pose2(0.0, 30.0, 0.0))
    assert of_motion(before, after, Pose2(10.0, 0.0, 0.0), 0.01) is None
    assert of_places(before, fix_at(Pose2(10.0, 0.0, 0.0)), after) is None


@pytest.mark.parametrize('yaw_rad', [0.0, 1.0, -3.0])
def test_two_antennas(yaw_rad):
    """Their direction by GNSS against that of their mounts."""
    base, other_m = Pose2(5.0, 6.0, yaw_rad), (-1.2, 0.7)
    found = of_antennas(fix_at(base, 0.01), fix_at(base, 0.01, other_m))
    assert wrap_angle(found.yaw_rad - yaw_rad) == pytest.approx(0.0, abs=1e-9)
    assert found.sigma_rad == pytest.approx(math.hypot(0.01, 0.01) / math.hypot(1.6, 1.0))
    with pytest.raises(ValueError, match='both receivers need RTK'):
        of_antennas(fix_at(base, 1.0), fix_at(base, 1.0, other_m))
    with pytest.raises(ValueError, match='by their mounts: they tell no heading'):
        of_antennas(fix_at(base, 0.01), Fix(fix_at(base).position_m + 5.0, 0.01, other_m))


def test_the_best_source_that_is_heard_is_listened_to():
    """An IMU is left out while there are antennas, and speaks again when they are silent."""
    tracker = Tracker()
    headings = Headings(tracker)
    headings.add('imu', SECOND_NS, Yaw(1.0, 0.1))
    headings.add('heading', 2 * SECOND_NS, Yaw(2.0, 0.1))
    headings.add('imu', 2 * SECOND_NS + 10, Yaw(1.0, 0.1))
    assert tracker._inputs.heading(2 * SECOND_NS + 10)[0] == 2.0
    assert headings.summary == 'heading'
    headings.add('imu', 5 * SECOND_NS, Yaw(1.5, 0.1))
    assert tracker._inputs.heading(5 * SECOND_NS)[0] == 1.5
    assert headings.summary == 'imu'


# Over DDS --------------------------------------------------------------------------------------

def turned(yaw_rad: float) -> dict:
    """Return the quaternion of a yaw by its fields."""
    return dict(zip('xyzw', map(float, quaternion_from_euler(0.0, 0.0, yaw_rad))))


def heading(stamp, yaw_rad: float, frame: str = 'base_link') -> QuaternionStamped:
    """Return what a pair of antennas sends."""
    message = QuaternionStamped(header=Header(stamp=stamp, frame_id=frame))
    for name, value in turned(yaw_rad).items():
        setattr(message.quaternion, name, value)
    return message


def looked_at(vehicle: Vehicle, stamp) -> float:
    """Send all but an IMU and return the first yaw of base_link at which is looked."""
    vehicle.send_mount()
    vehicle.send_odometry_tf(stamp)
    vehicle.send(fix(stamp))
    vehicle.until(lambda: vehicle.is_ready(stamp), 'the prior has arrived')
    vehicle.send(image(stamp))
    plan = vehicle.until(lambda: vehicle.localizer.plans, 'an image is looked for')[0]
    assert len(plan.grids) == 4
    return wrap_angle(plan.grids[0].middle.yaw - MOUNT.yaw)


@pytest.mark.parametrize('axes, sent_rad', [('enu', TRUTH.yaw), ('ned', math.pi / 2 - TRUTH.yaw)])
def test_heading_of_a_receiver(vehicle, axes, sent_rad):
    """As REP-103 has it, or clockwise from north."""
    node = vehicle.start(datum=DATUM, sensors__heading_axes=axes)
    vehicle.send(heading(at(1.0), sent_rad))
    arrivals = node.localization.inputs.arrivals['heading']
    vehicle.until(lambda: arrivals.count, 'the heading has arrived')
    assert looked_at(vehicle, at(1.0)) == pytest.approx(TRUTH.yaw, abs=1e-9)
    vehicle.until_diagnosed(lambda found: found['heading from'] == 'heading', 'it is used',
                            'inputs')


def test_heading_of_a_pose(vehicle):
    """With the covariance that it says; a variance that says nothing is refused."""
    node = vehicle.start(datum=DATUM)
    sender = vehicle.node.create_publisher(PoseWithCovarianceStamped, 'heading_pose', 10)
    vehicle.until(lambda: sender.get_subscription_count() > 0, 'it is heard')
    message = PoseWithCovarianceStamped(header=Header(stamp=at(1.0), frame_id='map'))
    for name, value in turned(TRUTH.yaw).items():
        setattr(message.pose.pose.orientation, name, value)
    message.pose.covariance[35] = 1e6
    sender.publish(message)
    vehicle.until_logged('a heading with a variance of 1e+06 says nothing')
    message.pose.covariance[35] = math.radians(7.0) ** 2
    sender.publish(message)
    headings = node.parts.pipeline.headings
    vehicle.until(lambda: headings.summary == 'heading_pose', 'it is used')
    yaw_rad, sigma_rad = node.parts.pipeline.tracker._inputs.heading(stamp_ns(at(1.0)))
    assert (yaw_rad, sigma_rad) == pytest.approx((TRUTH.yaw, math.radians(7.0)))


def stamp_ns(stamp) -> int:
    """Return nanoseconds."""
    return stamp.sec * SECOND_NS + stamp.nanosec


@pytest.mark.parametrize('slash', ['', '/'])
def test_two_receivers_with_mounts_on_tf(vehicle, slash):
    """Frames may begin with a slash, as in ROS 1; the IMU is then left out."""
    node = vehicle.start(datum=DATUM, base_frame=f'{slash}base_link')
    sender = vehicle.node.create_publisher(NavSatFix, 'fix_second', 10)
    vehicle.until(lambda: sender.get_subscription_count() > 0, 'it is heard')
    vehicle.tf_static.publish(TFMessage(transforms=[
        mount(name, lever_m) for name, lever_m in ANTENNAS.items()]))
    vehicle.until(lambda: knows(node, 'aft'), 'the mounts have arrived')
    for name, send in (('fore', vehicle.send), ('aft', sender.publish)):
        message = fix(at(1.0), TRUTH.compose(Pose2(*ANTENNAS[name], 0.0)), sigma_m=0.02)
        message.header.frame_id = slash + name
        send(message)
    headings = node.parts.pipeline.headings
    vehicle.until(lambda: headings.summary == 'fix_second', 'the antennas are used')
    vehicle.send(imu(at(1.0), TRUTH.yaw + 1.0))
    arrivals = node.localization.inputs.arrivals['imu']
    vehicle.until(lambda: arrivals.count, 'the IMU has arrived')
    yaw_rad, _ = node.parts.pipeline.tracker._inputs.heading(stamp_ns(at(1.0)))
    assert yaw_rad == pytest.approx(TRUTH.yaw, abs=1e-3)


ANTENNAS = {'fore': (1.0, 0.5), 'aft': (-1.0, -0.5)}


def mount(name: str, lever_m):
    """Return where an antenna sits."""
    return transform('base_link', name, Time(), Pose2(*lever_m, 0.0))


def knows(node, frame: str) -> bool:
    """Return whether the node knows a mount."""
    try:
        node.parts.transforms.mount('base_link', frame)
    except ValueError:
        return False
    return True
