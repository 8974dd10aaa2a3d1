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

"""Mounts of the sensors on the vehicle, by the frames that their messages name."""

from __future__ import annotations

from fg2_ros.ros.camera_images import Mounts
import numpy as np

FOOTPRINT = 'base_footprint'  # below base_link (REP-120): the same in the plane


class VehicleMounts:
    """
    The mounts of the sensors on a vehicle.

    :param mounts: source of the transforms, asked each time.
    :param base_frame: the vehicle's.
    """

    def __init__(self, mounts: Mounts, base_frame: str):
        """Look nothing up yet."""
        self._mounts, self._base_frame = mounts, base_frame

    def of_sensor(self, frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return the mount of a sensor; one that names no frame sits at base_link.

        :raises NoTransform: (a ValueError) if it is not known.
        """
        return self._mounts.mount(self._base_frame, frame or self._base_frame)

    def of_odometry(self, frame: str) -> tuple[np.ndarray, np.ndarray]:
        """
        Return the mount of the frame whose motion an odometry describes.

        :raises ValueError: if it is not known.
        """
        try:
            return self.of_sensor(frame)
        except ValueError as error:
            if frame.lstrip('/') == FOOTPRINT:
                return self.of_sensor('')
            raise ValueError(
                f'the odometry is that of {frame} (child_frame_id): {error}') from None
