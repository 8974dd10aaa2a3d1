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

"""A vehicle's messages and the node under test, over real DDS."""

import pytest


@pytest.fixture(scope='session')
def ros():
    """Initialize rclpy once."""
    import rclpy
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """Let no warning be due again, no trouble be old, and each count, however long tests take."""
    monkeypatch.setattr('fg2_ros.ros.diagnostics.REPEAT_LOG_S', 1e6)
    monkeypatch.setattr('fg2_ros.ros.diagnostics._RECENT_S', 1e6)
    monkeypatch.setattr('fg2_ros.ros.diagnostics.LASTING_S', 0.0)


@pytest.fixture
def vehicle(ros):
    """Return a vehicle that can start nodes under test; all are gone at the end."""
    from test.helpers.vehicle import Vehicle
    vehicle = Vehicle()
    yield vehicle
    vehicle.close()
