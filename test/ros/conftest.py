"""A vehicle's messages and the node under test, over real DDS."""

import pytest
import rclpy
from vehicle import Vehicle


@pytest.fixture(scope='session')
def ros():
    """Initialize rclpy once."""
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def vehicle(ros):
    """Return a vehicle that can start nodes under test; all are gone at the end."""
    vehicle = Vehicle()
    yield vehicle
    vehicle.close()
