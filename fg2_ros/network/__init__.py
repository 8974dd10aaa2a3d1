"""The FG2 network (torch, no ROS)."""

from fg2_ros.network.config import FG2Config
from fg2_ros.network.fg2 import FG2Network

__all__ = ['FG2Config', 'FG2Network']
