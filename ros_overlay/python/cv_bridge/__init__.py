"""Images between ROS messages and arrays (API-compatible subset of the ROS package)."""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ['CvBridge', 'CvBridgeError']
