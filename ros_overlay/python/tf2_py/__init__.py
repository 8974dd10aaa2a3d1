"""The core of tf2: a buffer of timed transforms (API-compatible subset of the ROS package)."""

from tf2_py.buffer_core import BufferCore
from tf2_py.exceptions import (
    ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException,
    TimeoutException, TransformException)

__all__ = [
    'BufferCore', 'ConnectivityException', 'ExtrapolationException', 'InvalidArgumentException',
    'LookupException', 'TimeoutException', 'TransformException',
]
