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

"""An initial pose, given in any frame, as a pose in the map."""

from __future__ import annotations

from fg2_ros.geometry.se2 import Pose2, rotation2
from fg2_ros.ros import conversions
from fg2_ros.ros.node_settings import frame_of
from fg2_ros.ros.transforms import NoTransform, Transforms
from geometry_msgs.msg import PoseWithCovarianceStamped
import numpy as np


def pose_in_map(message: PoseWithCovarianceStamped, map_frame: str,
                transforms: Transforms) -> tuple[Pose2, np.ndarray]:
    """
    Return a pose and its (3, 3) covariance of (x m, y m, yaw rad) in the map.

    :param map_frame: what the map is called.
    :raises ValueError: if the message cannot be used, or names a frame that is not known.
    """
    pose, covariance = conversions.pose_from_message(message.pose, 'initialpose')
    frame = frame_of(message.header.frame_id)
    if not frame:
        raise ValueError('initialpose names no frame (header.frame_id is empty)')
    if frame == map_frame:
        return pose, covariance
    try:
        map_from_frame = transforms.planar(map_frame, frame)
    except NoTransform as error:
        raise ValueError(f'initialpose is in a frame that is not known: {error}') from error
    return map_from_frame.compose(pose), rotated(covariance, map_from_frame.yaw)


def rotated(covariance: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Return the (3, 3) covariance of (x m, y m, yaw rad) in axes turned by a yaw."""
    turn = np.eye(3)
    turn[:2, :2] = rotation2(yaw_rad)
    return turn @ covariance @ turn.T
