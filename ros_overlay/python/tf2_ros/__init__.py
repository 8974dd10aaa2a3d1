"""Transforms over ROS topics (API-compatible subset of the ROS package)."""

from tf2_py import (
    BufferCore, ConnectivityException, ExtrapolationException, InvalidArgumentException,
    LookupException, TimeoutException, TransformException)
from tf2_ros.broadcasters import StaticTransformBroadcaster, TransformBroadcaster
from tf2_ros.buffer import Buffer
from tf2_ros.transform_listener import TransformListener

__all__ = [
    'Buffer', 'BufferCore', 'ConnectivityException', 'ExtrapolationException',
    'InvalidArgumentException', 'LookupException', 'StaticTransformBroadcaster',
    'TimeoutException', 'TransformBroadcaster', 'TransformException', 'TransformListener',
]
