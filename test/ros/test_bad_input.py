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

"""Bad input: one clear message, no pose, and recovery when the input is good again."""

from test.helpers.vehicle import (
    at, fix, FRAME, image, imu, odometry, planar, searched_east_m, TRUTH, Vehicle)

from builtin_interfaces.msg import Time
from fg2_ros.imagery import ImageryError, ImageryNotReady
import pytest
from sensor_msgs.msg import NavSatFix, NavSatStatus

DATUM = list(FRAME.datum)


def require_recovery(vehicle: Vehicle, kind: str, words: str) -> None:
    """Check the log, the diagnostics, that no pose came, and that one comes of a good image."""
    vehicle.until_logged(words)
    vehicle.until_diagnosed(
        lambda found: words in found['last rejection'] and int(found[f'rejected: {kind}']) > 0,
        f'{words!r} is diagnosed')
    assert vehicle.heard['fg2/pose'] == []
    vehicle.send_all(at(50.0))
    vehicle.pose_at(at(50.0))
    assert len(vehicle.logged(words)) == 1
    vehicle.until_diagnosed(lambda found: found['accepted'] == '1', 'the pose is diagnosed')


def bad_image(kind: str):
    """Return an image that cannot be used."""
    message = image(at(1.0), encoding='32FC1' if kind == 'encoding' else 'rgb8')
    if kind == 'truncated':
        message.data = message.data[:-1]
    if kind == 'empty':
        message.width = message.height = message.step = 0
        message.data = message.data[:0]
    if kind == 'step':
        message.step -= 1
    return message


@pytest.mark.parametrize('kind, words', [
    ('encoding', "encoding '32FC1' is not supported"),
    ('truncated', 'truncated: 6143 bytes instead of 6144'),
    ('empty', 'the image is empty'),
    ('step', '191 bytes a row')])
def test_unusable_images(vehicle, kind, words):
    """An image of unknown encoding, too short or empty."""
    vehicle.start(datum=DATUM)
    vehicle.send(bad_image(kind))
    require_recovery(vehicle, 'image', words)


@pytest.mark.parametrize('kind, words', [
    ('nan', 'latitude nan'), ('status', 'has no fix'), ('range', 'latitude 91')])
def test_unusable_fix(vehicle, kind, words):
    """A receiver that has no fix, or says NaN."""
    vehicle.start()
    message = fix(at(1.0))
    if kind == 'status':
        message.status.status = NavSatStatus.STATUS_NO_FIX
    else:
        message.latitude = {'nan': float('nan'), 'range': 91.0}[kind]
    vehicle.send_mount()
    vehicle.send(message)
    vehicle.until_logged(words)
    vehicle.send(imu(at(1.0)))
    vehicle.send(image(at(1.0)))
    vehicle.until_logged('no position yet')
    vehicle.send(message)
    vehicle.until_diagnosed(lambda found: words in found['message'], 'the fix is diagnosed')
    wait_for_mount(vehicle)
    require_recovery(vehicle, 'prior', 'no position yet')


def wait_for_mount(vehicle: Vehicle) -> None:
    """Wait until the node knows the camera's mount."""
    vehicle.until(vehicle.has_mount, 'the mount has arrived')


def test_no_heading(vehicle):
    """An IMU that gives no orientation: all headings are looked at, and the right one wins."""
    vehicle.start(datum=DATUM)
    vehicle.send_mount()
    vehicle.send_odometry_tf(at(1.0))
    wait_for_mount(vehicle)
    vehicle.send(imu(at(1.0), known=False))
    vehicle.until_logged('the IMU gives no orientation')
    vehicle.send(odometry(at(1.0)))
    vehicle.send(fix(at(1.0)))
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    pose = vehicle.pose_at(at(1.0)).pose.pose
    assert planar(pose.position, pose.orientation).yaw == pytest.approx(TRUTH.yaw, abs=0.05)
    assert len(vehicle.localizer.plans[0].grids) == 18


def test_no_mount(vehicle):
    """Nobody says where the camera is."""
    vehicle.start(datum=DATUM)
    vehicle.send(image(at(1.0)))
    require_recovery(vehicle, 'transform', 'no transform base_link -> camera')


def test_no_mount_of_a_sensor(vehicle):
    """What a sensor says is not used while nobody says where it is (O4)."""
    vehicle.start(datum=DATUM)
    message = fix(at(1.0))
    message.header.frame_id = 'mast'
    vehicle.send_mount()
    wait_for_mount(vehicle)
    vehicle.send(message)
    vehicle.until_logged('no transform base_link -> mast')
    vehicle.until_diagnosed(lambda found: 'base_link -> mast' in found['message'], 'diagnosed')
    vehicle.send(image(at(1.0)))
    require_recovery(vehicle, 'prior', 'no position yet')


def test_message_without_a_stamp_is_not_used(vehicle):
    """It does not make the node forget what it knows, either."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    vehicle.send(odometry(Time()))
    vehicle.until_logged('a message on odom has no stamp')
    assert not vehicle.logged('starting again')
    vehicle.send_all(at(1.1))
    vehicle.pose_at(at(1.1))


def test_alternating_reasons_are_each_told_once(vehicle):
    """One message each, however often they take turns."""
    vehicle.start(datum=DATUM)
    reasons = ['there is none of 2021', 'the server is asleep']
    for number in range(6):
        vehicle.localizer.raises = ImageryError(reasons[number % 2])
        vehicle.send_all(at(1.0 + number / 10))
        vehicle.until_diagnosed(
            lambda found: found.get('rejected: imagery') == str(number + 1), 'it is counted')
    assert [len(vehicle.logged(reason)) for reason in reasons] == [1, 1]


def test_no_odometry_transform(vehicle):
    """Without odom -> base_link at the image's stamp nothing is guessed (O4)."""
    vehicle.start(datum=DATUM)
    vehicle.send_mount()
    vehicle.send_prior(at(1.0))
    wait_for_mount(vehicle)
    vehicle.until(lambda: vehicle.has_prior(at(1.0)), 'a prior')
    vehicle.send_odometry_tf(at(-30.0))
    vehicle.send(image(at(1.0)))
    require_recovery(vehicle, 'transform', 'no transform odom -> base_link')
    assert not any(item.header.frame_id == 'map' and item.header.stamp == at(1.0)
                   for message in vehicle.heard['/tf'] for item in message.transforms)


@pytest.mark.parametrize('error', [
    ImageryError('http://127.0.0.1:1 refuses the connection'),
    ImageryNotReady('4 tiles of http://127.0.0.1:1 are on their way'),
    ValueError('the panorama must be twice as wide as high')])
def test_localizer_refuses(vehicle, error):
    """No tiles, tiles that are late, a panorama of the wrong shape."""
    vehicle.start(datum=DATUM)
    vehicle.localizer.raises = error
    vehicle.send_all(at(1.0))
    vehicle.until_logged(str(error))
    vehicle.localizer.raises = None
    kind = 'imagery' if isinstance(error, ImageryError) else 'image'
    require_recovery(vehicle, kind, str(error))


def test_estimate_without_covariance(vehicle):
    """Numbers that are not finite are not published."""
    vehicle.start(datum=DATUM)
    vehicle.localizer.says_nan = True
    vehicle.send_all(at(1.0))
    vehicle.until_logged('not finite')
    vehicle.localizer.says_nan = False
    require_recovery(vehicle, 'image', 'not finite')


def test_bug_does_not_end_the_node(vehicle):
    """An exception that nobody thought of costs one image."""
    vehicle.start(datum=DATUM)
    vehicle.localizer.raises = RuntimeError('nobody thought of this')
    vehicle.send_all(at(1.0))
    vehicle.until_logged('nobody thought of this')
    vehicle.localizer.raises = None
    require_recovery(vehicle, 'bug', 'nobody thought of this')


def test_broken_sensor_messages(vehicle):
    """Quaternions of zeros and infinite odometry are pointed out and not used."""
    vehicle.start(datum=DATUM)
    message = imu(at(1.0))
    message.orientation.z = message.orientation.w = 0.0
    vehicle.send(message)
    vehicle.until_logged('orientation of the IMU')
    message = odometry(at(1.0))
    message.pose.pose.position.x = float('inf')
    vehicle.send(message)
    vehicle.until_logged('odometry is not finite')
    vehicle.send_all(at(2.0))
    vehicle.pose_at(at(2.0))


def test_fix_without_covariance_gets_the_default(vehicle):
    """A covariance of unknown type is not believed."""
    vehicle.start(datum=DATUM, sensors__default_fix_sigma_m=4.0)
    message = fix(at(1.0))
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_UNKNOWN
    vehicle.send_mount()
    vehicle.send_odometry_tf(at(1.0))
    vehicle.send(message)
    vehicle.send(imu(at(1.0)))
    vehicle.until(lambda: vehicle.is_ready(at(1.0)), 'the prior has arrived')
    vehicle.send(image(at(1.0)))
    vehicle.pose_at(at(1.0))
    west_m, east_m = searched_east_m(vehicle.localizer.plans[0])
    assert east_m - west_m >= 2 * 3 * 4.0
