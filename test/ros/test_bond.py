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

"""A lifecycle manager that brings the node up and is told when it goes, over real DDS."""

from test.helpers.vehicle import at, FRAME, Vehicle

import pytest

DATUM = list(FRAME.datum)
MANAGER = 'the manager'


@pytest.fixture
def status():
    """Return the message of bonds, which is built where there is no ROS installation."""
    return pytest.importorskip('bond.msg').Status


def heartbeats(vehicle: Vehicle, node, active: bool) -> list:
    """Return what the node has said so far."""
    return [message for message in vehicle.heard['bond']
            if message.id == node.get_name() and message.instance_id != MANAGER
            and message.active == active]


def test_manager_brings_the_node_up_and_down(vehicle, status):
    """Configure, activate, wait for the bond; after a deactivation it is broken, not lost."""
    vehicle.hear(status, 'bond')
    node = vehicle.start(active=False, datum=DATUM)
    assert vehicle.change(node, 'configure')
    assert not vehicle.heard['bond']
    for cycle in (1, 2):
        assert vehicle.change(node, 'activate')
        vehicle.until(lambda: len(heartbeats(vehicle, node, True)) >= 3 * cycle, 'it lives')
        vehicle.meet(node)
        vehicle.send_all(at(cycle))
        vehicle.pose_at(at(cycle))
        assert vehicle.change(node, 'deactivate')
        vehicle.until(lambda: len(heartbeats(vehicle, node, False)) == cycle, 'it is broken')
    said = heartbeats(vehicle, node, True)
    assert len({message.instance_id for message in said}) == 2
    assert (said[0].heartbeat_period, said[0].heartbeat_timeout) == pytest.approx((0.1, 4.0))
    assert vehicle.change(node, 'cleanup')


def test_manager_that_breaks_the_bond_is_answered(vehicle, status):
    """It waits for that; another node's bond is none of ours."""
    vehicle.hear(status, 'bond')
    node = vehicle.start(datum=DATUM)
    manager = vehicle.node.create_publisher(status, 'bond', 10)
    vehicle.until(lambda: manager.get_subscription_count() > 1, 'the manager is heard')
    manager.publish(status(id='planner', instance_id=MANAGER, active=False))
    manager.publish(status(id=node.get_name(), instance_id=MANAGER, active=True))
    known = len(heartbeats(vehicle, node, True))
    vehicle.until(lambda: len(heartbeats(vehicle, node, True)) > known + 1, 'it goes on')
    assert not heartbeats(vehicle, node, False)
    manager.publish(status(id=node.get_name(), instance_id=MANAGER, active=False))
    vehicle.until(lambda: heartbeats(vehicle, node, False), 'it confirms')
    assert vehicle.change(node, 'deactivate')


def test_without_the_package_the_node_has_no_bond(vehicle, monkeypatch):
    """It works as before."""
    monkeypatch.setattr('fg2_ros.ros.node.bond_message', lambda: None)
    node = vehicle.start(datum=DATUM)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))
    assert not [each for each in node.publishers if each.topic_name.endswith('/bond')]
