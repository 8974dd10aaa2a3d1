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

"""What /diagnostics says: a warning where somebody has to act, and only there."""

import logging
import math
from test.helpers.vehicle import at, fix, FRAME, image, imu, odometry, TRUTH
from types import SimpleNamespace

from builtin_interfaces.msg import Time
from fg2_ros.imagery.status import ImageryStatus, PatchOrigin
from fg2_ros.ros import arrivals, diagnostics
from fg2_ros.ros.arrivals import Arrivals
from fg2_ros.ros.diagnostics import Health, Rejected
from fg2_ros.tracker.remarks import STANDING
import pytest
import rclpy.logging

OK, WARN = b'\0', b'\1'
DATUM = list(FRAME.datum)


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that tests set, and the node's patience."""
    made_up = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(diagnostics, '_RECENT_S', 3.0)
    monkeypatch.setattr(diagnostics, 'LASTING_S', 2.0)
    for module in (diagnostics, arrivals):
        monkeypatch.setattr(module, 'time', SimpleNamespace(monotonic=lambda: made_up.now_s))
    return made_up


@pytest.fixture
def health(clock):
    """Return the health of an active node."""
    health = Health(logging.getLogger('test'))
    health.state = 'active'
    return health


def status(health: Health, number: int = 0, heard=None, imagery=None) -> tuple[bytes, str]:
    """Return level and summary of one status."""
    found = health.report('node', Time(), heard or {}, {}, imagery).status[number]
    return found.level, found.message


def test_one_message_without_a_fix_is_no_warning(health, clock):
    """A receiver without a fix is one while it lasts, and none when it has ended."""
    health.trouble('fix', 'the GNSS receiver has no fix')
    assert status(health) == (OK, 'the GNSS receiver has no fix')
    for _ in range(3):
        clock.now_s += 1.0
        health.trouble('fix', 'the GNSS receiver has no fix')
    assert status(health) == (WARN, 'the GNSS receiver has no fix')
    clock.now_s += 4.0
    assert status(health)[0] == OK
    health.trouble('fix', 'the GNSS receiver has no fix')
    assert status(health)[0] == OK


@pytest.mark.parametrize('kind, level', [('start', OK), ('mass', OK), ('agreement', WARN),
                                         ('imagery', WARN), ('transform', WARN)])
def test_searching_is_no_fault(health, clock, kind, level):
    """Of what ends by driving on nobody is warned; it is told nevertheless."""
    for _ in range(5):
        health.image_rejected(Rejected(kind, 'for some reason'))
        clock.now_s += 1.0
    assert status(health) == (level, 'no pose: for some reason')


@pytest.mark.parametrize('kind, may_pass, levels', [
    ('fix', True, ['INFO', 'WARNING']), ('start', False, ['INFO']), ('imagery', False, [
        'WARNING'])])
def test_the_log_warns_of_what_somebody_has_to_act_on(
        health, clock, caplog, kind, may_pass, levels):
    """What passes by itself is told as information; each level once while it lasts."""
    caplog.set_level(logging.INFO)
    for _ in range(5):
        health.trouble(kind, 'for some reason', once=True, may_pass=may_pass)
        clock.now_s += 1.0
    assert [record.levelname for record in caplog.records] == levels


def test_what_lasts_is_told_by_rclpys_logger_too(clock):
    """Which refuses to log with two severities from one line."""
    health = Health(rclpy.logging.get_logger('test_diagnostics'))
    for _ in range(4):
        health.trouble('fix', 'the GNSS receiver has no fix', may_pass=True)
        clock.now_s += 1.0


def test_poses_that_come_outweigh_a_rejection(health, clock):
    """One image in between of which no pose comes is nothing to act on."""
    health.pose_published(SimpleNamespace(belief=None), 0.1)
    health.image_rejected(Rejected('agreement', 'for some reason'))
    assert status(health) == (OK, 'localizing')


def test_no_images(health, clock):
    """Not at once after the start, but when they have not come for seconds."""
    heard = {'image': Arrivals(), 'image/compressed': Arrivals()}
    assert status(health, 1, heard)[0] == OK
    clock.now_s += 4.0
    assert status(health, 1, heard) == (WARN, 'no images')
    heard['image/compressed'].note()
    assert status(health, 1, heard)[0] == OK


@pytest.mark.parametrize('native_m, level', [(0.2, OK), (0.5, WARN)])
def test_imagery_that_is_a_little_coarse_is_no_warning(health, native_m, level):
    """The finest zoom of many sources is a little coarser than large networks want."""
    origin = PatchOrigin('source', '', '', 0.11, native_m)
    assert status(health, 2, imagery=ImageryStatus('source', last_patch=origin))[0] == level


def test_inputs_are_told_with_rate_and_age(vehicle):
    """Of every topic and of TF; where the prior and the heading come from; and offsets."""
    node = vehicle.start(datum=DATUM)
    found = vehicle.until_diagnosed(lambda found: 'prior' in found, 'it is told', 'inputs')
    assert (found['prior'], found['odom -> base_link age [s]']) == ('none', 'inf')
    topics = list(node.localization.inputs.arrivals)
    assert {'fix', 'odom', 'imu', 'heading', 'initialpose'} <= set(topics)
    assert all(found[f'{topic} age [s]'] == 'inf' for topic in topics)
    vehicle.send(fix(at(1.0)))
    vehicle.until_diagnosed(lambda found: found['prior'].startswith('GNSS, searched over 8'),
                            'GNSS is the prior', 'inputs')
    for seconds in (1.0, 1.1, 1.2):
        vehicle.send_all(at(seconds))
        vehicle.pose_at(at(seconds))
    away = TRUTH._replace(x=TRUTH.x + 3.0)
    vehicle.send_odometry_tf(at(1.3))
    vehicle.send_prior(at(1.3))
    vehicle.send(fix(at(1.3), away))
    found = vehicle.until_diagnosed(
        lambda found: 'carried by odometry' in found['prior'], 'the last pose is', 'inputs')
    assert found['heading from'] == 'imu'
    assert float(found['odom -> base_link rate [Hz]']) > 0
    assert abs(float(found['odom -> base_link age [s]'])) < 0.2
    assert float(found['fix rate [Hz]']) > 0 and float(found['imu age [s]']) < 60.0
    assert 'east' in found['GNSS less pose [m]']
    assert abs(float(found['heading less pose [deg]'])) < 5.0


def test_contradictions_are_told_with_their_size(vehicle):
    """GNSS 5 m east of the poses and a heading 10 degrees off; one of 40 degrees is refused."""
    vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    wrong = TRUTH._replace(x=TRUTH.x + 5.0)
    for seconds in range(2, 9):
        send_wrong(vehicle, at(seconds), wrong, turned_deg=10.0)
        vehicle.pose_at(at(seconds))
    inputs = vehicle.until_diagnosed(
        lambda found: float(found.get('heading less pose [deg]', 'nan')) > 8.0, 'it is off',
        'inputs')
    east, north = (float(part.split()[0]) for part in inputs['GNSS less pose [m]'].split(', '))
    assert east == pytest.approx(5.0, abs=1.0) and abs(north) < 0.5
    assert float(inputs['heading less pose [deg]']) == pytest.approx(10.0, abs=2.0)
    send_wrong(vehicle, at(9.0), wrong, turned_deg=40.0)
    said = vehicle.until_diagnosed(
        lambda found: 'the heading that is given is' in found['last rejection'], 'it is told')
    degrees = float(said['last rejection'].partition(' degrees from')[0].split()[-1])
    assert degrees == pytest.approx(40.0, abs=2.0) and 'nan' not in said['last rejection']


def send_wrong(vehicle, stamp, place, turned_deg: float) -> None:
    """Send an image, with GNSS of another place and an IMU that is turned."""
    vehicle.send_odometry_tf(stamp)
    vehicle.deliver(fix(stamp, place), odometry(stamp),
                    imu(stamp, TRUTH.yaw + math.radians(turned_deg)))
    vehicle.until(lambda: vehicle.is_ready(stamp), 'the inputs have arrived')
    vehicle.send(image(stamp))


def test_that_the_vehicle_stands_is_a_note_and_no_trouble(vehicle):
    """Poses are published, nothing is warned of, and no sentence is in the summary."""
    node = vehicle.start(datum=DATUM)
    for seconds in range(1, 5):
        vehicle.send_all(at(seconds))
        vehicle.pose_at(at(seconds))
    found = vehicle.until_diagnosed(lambda found: STANDING in found.get('drive', ''), 'it is told')
    assert STANDING not in found['message']
    assert 'inputs' not in node.health._troubles
