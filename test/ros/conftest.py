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
    """Let no warning be due again and no trouble be old, however long a test takes."""
    monkeypatch.setattr('fg2_ros.ros.diagnostics.REPEAT_LOG_S', 1e6)
    monkeypatch.setattr('fg2_ros.ros.diagnostics._RECENT_S', 1e6)


@pytest.fixture
def vehicle(ros):
    """Return a vehicle that can start nodes under test; all are gone at the end."""
    from test.helpers.vehicle import Vehicle
    vehicle = Vehicle()
    yield vehicle
    vehicle.close()
