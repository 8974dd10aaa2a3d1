"""A vehicle's messages and the node under test, over real DDS."""

from __future__ import annotations

import os
import random

os.environ.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(10, 100)))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')

import pytest  # noqa: E402, I100
import rclpy  # noqa: E402

from vehicle import Vehicle  # noqa: E402, I100


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
