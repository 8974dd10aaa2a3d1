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

"""Roll and pitch of the vehicle by an IMU."""

from __future__ import annotations

from collections import deque
import math
import threading

from fg2_ros.geometry.panorama import rotation3
from fg2_ros.ros.conversions import stamp_ns
import numpy as np
from sensor_msgs.msg import Imu
from tf_transformations import quaternion_matrix

REMEMBERED_S = 5.0
MAX_APART_S = 0.1  # between an image and the IMU's message
MAX_SIGMA_RAD = math.radians(10.0)  # of roll and pitch, above which they are not used


class Attitude:
    """The direction of up on the vehicle over the last seconds; safe to use from two threads."""

    def __init__(self) -> None:
        """Start empty."""
        self._ups: deque[tuple[int, np.ndarray]] = deque()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything: time has jumped."""
        with self._lock:
            self._ups.clear()

    def add(self, message: Imu, base_from_imu: np.ndarray) -> None:
        """
        Remember an orientation, unless the IMU gives no roll and pitch.

        :param base_from_imu: (4,) quaternion x, y, z, w of its mount.
        """
        up = up_of(message, base_from_imu)
        if up is None:
            return
        at_ns = stamp_ns(message.header.stamp)
        with self._lock:
            while self._ups and not at_ns - REMEMBERED_S * 1e9 < self._ups[0][0] <= at_ns:
                self._ups.popleft()
            self._ups.append((at_ns, up))

    def level_from_base(self, at_ns: int) -> np.ndarray:
        """Return the (3, 3) rotation by roll and pitch; the identity if they are not known."""
        with self._lock:
            near = sorted(self._ups, key=lambda each: abs(each[0] - at_ns))[:2]
        near = [each for each in near if abs(each[0] - at_ns) <= MAX_APART_S * 1e9]
        if not near:
            return np.eye(3)
        up = near[0][1]
        if len(near) == 2 and (near[0][0] - at_ns) * (near[1][0] - at_ns) < 0:
            share = (at_ns - near[0][0]) / (near[1][0] - near[0][0])
            up = (1 - share) * up + share * near[1][1]
        x, y, z = up
        return rotation3(math.atan2(y, z), math.atan2(-x, math.hypot(y, z)), 0.0)


def up_of(message: Imu, base_from_imu: np.ndarray) -> np.ndarray | None:
    """Return the (3,) direction of up in the vehicle's axes; None if the IMU gives none."""
    orientation = message.orientation
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    covariance = np.asarray(message.orientation_covariance)
    length = np.linalg.norm(quaternion)
    is_default = not covariance.any() and np.array_equal(quaternion, (0, 0, 0, 1))
    if covariance[0] == -1 or is_default or not 0.5 < length < 2.0 \
            or not max(covariance[0], covariance[4]) <= MAX_SIGMA_RAD ** 2:
        return None
    up_in_imu = quaternion_matrix(quaternion / length)[2, :3]
    return quaternion_matrix(base_from_imu)[:3, :3] @ up_in_imu
