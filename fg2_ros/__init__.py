"""FG2 for ROS 2: localize a ground panorama in aerial imagery."""

__version__ = '0.1.0'
