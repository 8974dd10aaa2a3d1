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

"""Parameters of a running node: each acts at once, or is refused with the reason."""

from array import array
from pathlib import Path
from test.helpers.paths import ROOT
from test.helpers.vehicle import at, FRAME, later, MOUNT, searched_east_m, TRUTH

from fg2_ros.ros.node import FG2Node
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.settings import settings_of
from fg2_ros.tracker.settings import TrackerSettings
import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image, NavSatFix
import yaml

DATUM = list(FRAME.datum)


def another(name: str, declared, value):
    """Return a value that a setting may have but has not."""
    if name == 'datum':
        return [47.0, 8.0]
    if isinstance(value, bool):
        return not value
    if declared.metadata['choices']:
        return next(choice for choice in declared.metadata['choices'] if choice != value)
    if isinstance(value, (int, float)):
        low, high = declared.metadata['range']
        middle = type(value)(value + (high - value) / 2 if value < high else low)
        return middle if middle != value else low
    return ['other'] if isinstance(value, tuple) else 'other'


def test_every_parameter_acts_at_once_or_is_refused(vehicle):
    """None is "successful" and without effect."""
    node = vehicle.start(datum=DATUM)
    acting = []
    for name, (declared, value) in settings_of(NodeSettings()).items():
        wanted = another(name, declared, value)
        answer = vehicle.set_parameter(node, name, wanted)
        assert answer.successful != declared.metadata['read_only'], name
        if answer.successful:
            now = settings_of(node.parts.settings)[name][1]
            assert now == (tuple(wanted) if isinstance(now, tuple) else wanted)
            acting.append(name)
        else:
            assert f'read-only parameter: {name}' in answer.reason
    settings, tracker = node.parts.settings, node.parts.pipeline.tracker
    assert tracker.settings == TrackerSettings(
        settings.motion, settings.prior, settings.publication, tracker.settings.calibration)
    assert len(acting) > 30
    vehicle.until_logged(f'parameter {acting[-1]} is now ')


@pytest.mark.parametrize('name, value, words', [
    ('motion.drift_m', 1e9, 'motion.drift_m'), ('motion.drift_m', 'far', 'is not a number'),
    ('datum', [91.0, 8.0], 'latitude 91'), ('datum', [47.0, 8.0, 9.0], 'of [47.0, 8.0, 9.0], its'),
    ('datum', [47.0], 'must be [latitude, longitude]'),
    ('imagery.cache_mb', 10.0, 'read-only parameter: imagery.cache_mb')])
def test_bad_values_are_refused_with_the_reason(vehicle, name, value, words):
    """And what was, stays (N3)."""
    node = vehicle.start(datum=DATUM)
    before = node.parts.settings
    answer = vehicle.set_parameter(node, name, value)
    assert not answer.successful and words in answer.reason
    assert node.parts.settings == before


def test_qos_of_every_topic_can_be_overridden(vehicle):
    """By the parameters that ROS 2 has for it; what is no QoS is refused with the topic's name."""
    prefix = f'qos_overrides.{vehicle.namespace}'
    node = vehicle.start(active=False, datum=DATUM, **{
        f'{prefix}/image.subscription.reliability': 'reliable',
        f'{prefix}/image.subscription.depth': 3, f'{prefix}/fg2/pose.publisher.depth': 7,
        'qos_overrides./tf.subscription.reliability': 'best_effort',
        'qos_overrides./tf_static.subscription.depth': 55,
        'qos_overrides./tf.publisher.depth': 44, 'qos_overrides./diagnostics.publisher.depth': 2})
    assert vehicle.change(node, 'configure')
    heard = {each.topic_name: each.qos_profile for each in node.subscriptions}
    image = heard[f'{vehicle.namespace}/image']
    assert (image.reliability, image.depth) == (ReliabilityPolicy.RELIABLE, 3)
    assert heard['/tf'].reliability == ReliabilityPolicy.BEST_EFFORT
    assert heard['/tf_static'].depth == 55
    sent = {each.topic_name: each.qos_profile.depth for each in node.publishers}
    assert node.parts.outputs.pose.qos_profile.depth == 7
    assert (sent['/tf'], sent['/diagnostics']) == (44, 2)
    declared = {name.partition('.')[2] for name in node._parameters if name.startswith(prefix)}
    for each in (*node.localization.inputs.arrivals, 'fg2/pose', 'fg2/odometry', 'fg2/fix',
                 'fg2/matches', 'fg2/datum'):
        kind = 'publisher' if each.startswith('fg2/') else 'subscription'
        assert f'{vehicle.namespace}/{each}.{kind}.depth' in declared
    assert vehicle.change(node, 'cleanup') and vehicle.change(node, 'configure')
    odd = vehicle.start(active=False, datum=DATUM, arguments=('-r', '__node:=odd'), **{
        f'{prefix}/fix.subscription.reliability': 'perfect'})
    assert not vehicle.change(odd, 'configure')
    assert 'the QoS of fix: ' in vehicle.until_logged('cannot configure').msg
    odd = vehicle.start(active=False, datum=DATUM, arguments=('-r', '__node:=odd_tf'), **{
        'qos_overrides./tf.subscription.durability': 'eternal'})
    assert not vehicle.change(odd, 'configure')
    vehicle.until_logged('cannot configure: the QoS of /tf: ')


def test_what_is_dumped_can_be_loaded(vehicle, tmp_path):
    """`ros2 param dump` writes a file from which another node has the same parameters."""
    node = vehicle.start(datum=DATUM, motion__drift_m=0.123, imagery__sources=['a', 'b'])
    names = node.list_parameters([], 0).names
    values = {each.name: each.value for each in node.get_parameters(names)}
    dump = tmp_path / 'fg2.yaml'
    dump.write_text(yaml.safe_dump({node.get_fully_qualified_name(): {'ros__parameters': {
        name: list(value) if isinstance(value, array) else value
        for name, value in values.items()}}}))
    other = vehicle.start(active=False, arguments=('--params-file', str(dump)))
    assert other._user_parameters.read() == node.parts.settings
    assert not other._user_parameters.unknown()


def test_publication_can_be_made_stricter_while_driving(vehicle):
    """The next image must fulfil what is asked for now."""
    node = vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    assert vehicle.set_parameter(node, 'publication.max_sigma_m', 0.01).successful
    vehicle.send_all(at(1.1))
    vehicle.until_logged('at most 0.0 m are allowed')
    assert vehicle.set_parameter(node, 'publication.max_sigma_m', 5.0).successful
    vehicle.send_all(at(1.2))
    vehicle.pose_at(at(1.2))
    assert len(vehicle.heard['fg2/pose']) == 2


def test_sensors_and_prior_change_where_the_next_image_is_looked_for(vehicle):
    """An IMU that is declared turned, and a start that reaches further."""
    node = vehicle.start(datum=DATUM)
    assert vehicle.set_parameter(node, 'sensors.imu_yaw_offset_deg', 90.0).successful
    assert vehicle.set_parameter(node, 'prior.reach_sigmas', 6.0).successful
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    plan = vehicle.localizer.plans[0]
    expected = TRUTH.yaw + MOUNT.yaw + np.pi / 2
    assert plan.grids[0].middle.yaw == pytest.approx(expected, abs=1e-6)
    west_m, east_m = searched_east_m(plan)
    assert east_m - west_m > 2 * 6 * 2.0


def test_transform_follows_its_parameters(vehicle):
    """Another rate and another tolerance act on what is broadcast next."""
    node = vehicle.start(datum=DATUM, transform__rate_hz=0.1, transform__tolerance_s=0.1)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    assert vehicle.set_parameter(node, 'transform.tolerance_s', 3.0).successful
    assert vehicle.set_parameter(node, 'transform.rate_hz', 50.0).successful
    vehicle.until(lambda: any(
        item.header.frame_id == 'map' and item.header.stamp == later(at(1.0), 3.0)
        for message in vehicle.heard['/tf'] for item in message.transforms),
        'map -> odom is dated 3 s ahead')


def test_matches_are_drawn_at_the_new_rate(vehicle):
    """They need not wait until the old one allows the next."""
    vehicle.hear(Image, 'fg2/matches')
    node = vehicle.start(datum=DATUM, matches_rate_hz=0.1)
    matches = node.parts.outputs.matches
    vehicle.until(lambda: matches.get_subscription_count() > 0, 'the overlay is heard')
    vehicle.send_all(at(1.0))
    vehicle.until(lambda: len(vehicle.heard['fg2/matches']) == 1, 'a picture comes')
    assert vehicle.set_parameter(node, 'matches_rate_hz', 100.0).successful
    vehicle.send_all(at(1.1))
    vehicle.until(lambda: len(vehicle.heard['fg2/matches']) == 2, 'another one comes')


def test_datum_can_be_moved(vehicle):
    """The map begins anew there, and everybody is told."""
    vehicle.hear(NavSatFix, 'fg2/datum')
    node = vehicle.start(datum=DATUM)
    datum = node.parts.outputs.datum
    vehicle.until(lambda: datum.get_subscription_count() > 0, 'the datum is heard')
    vehicle.send_all(at(1.0))
    before = vehicle.pose_at(at(1.0)).pose.pose.position
    moved = FRAME.geodetic_from_map(100.0, 50.0)
    assert vehicle.set_parameter(node, 'datum', list(moved)).successful
    vehicle.until_logged('the datum has changed: starting again')
    heard = vehicle.until(lambda: [each for each in vehicle.heard['fg2/datum']
                                   if each.latitude == moved[0]], 'the new datum is told')
    assert heard[-1].longitude == moved[1]
    vehicle.localizer.truth = TRUTH._replace(x=TRUTH.x - 100.0, y=TRUTH.y - 50.0)
    vehicle.send_all(at(1.1))
    after = vehicle.pose_at(at(1.1)).pose.pose.position
    assert (before.x - after.x, before.y - after.y) == pytest.approx((100.0, 50.0), abs=0.1)


def test_datum_can_be_left_to_the_next_fix(vehicle):
    """Of an empty datum the next good fix is the origin."""
    node = vehicle.start(datum=[46.0, 8.0])
    assert vehicle.set_parameter(node, 'datum', []).successful
    vehicle.send_all(at(1.0))
    vehicle.until_logged('longitude 8.540')
    assert node.parts.pipeline.map_frame.datum == FRAME.geodetic_from_map(*TRUTH[:2])


def parameters_from(file: Path) -> dict[str, object]:
    """Return the parameters of a node that was given a file, as a dump has them."""
    node = FG2Node(cli_args=['--ros-args', '--params-file', str(file)])
    try:
        found = node.get_parameters_by_prefix('')
        return {name: list(value) if hasattr(value := parameter.value, 'tolist') else value
                for name, parameter in found.items()}
    finally:
        node.destroy_node()


def test_dump_of_the_parameters_gives_the_same_parameters(ros, tmp_path):
    """Lists that are empty, too, which rcl reads as nothing."""
    changed = tmp_path / 'changed.yaml'
    changed.write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'datum': [47.5, 8.7, 0.0], 'camera_axes': 'optical', 'imagery': {'sources': []}}}}))
    for file in (ROOT / 'config' / 'fg2.yaml', changed):
        first = parameters_from(file)
        assert None not in first.values() and first['imagery.sources'] == []
        dump = tmp_path / 'dump.yaml'
        dump.write_text(yaml.safe_dump({'/fg2': {'ros__parameters': first}}))
        assert parameters_from(dump) == first
    assert first['datum'] == [47.5, 8.7, 0.0] and first['camera_axes'] == 'optical'
