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

"""The pose of the vehicle by TF, looked up at each odometry message."""

from __future__ import annotations

from collections.abc import Mapping

from fg2_ros.geometry.se2 import Pose2
from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.duration import Duration
from rclpy.time import Time
from tf2_ros import Buffer, TransformException

MAP, BASE = 'map', 'base_link'
KEPT_S = 30.0


class Lookups:
    """
    Looks up map -> base_link at the stamp of each new odometry, as a controller does.

    It begins with the first map -> odom.
    """

    def __init__(self) -> None:
        """Know no transform."""
        self._buffer = Buffer(cache_time=Duration(seconds=KEPT_S))
        self._has_begun = False
        self.places: dict[int, tuple[float, float] | None] = {}  # by stamp in ns; None: failed

    def add(self, transform: TransformStamped) -> None:
        """Take a transform of /tf."""
        self._buffer.set_transform(transform, 'lookups')
        self._has_begun |= transform.header.frame_id == MAP
        if self._has_begun and transform.child_frame_id == BASE:
            stamp = Time.from_msg(transform.header.stamp)
            self.places[stamp.nanoseconds] = self._place(stamp)

    def _place(self, stamp: Time) -> tuple[float, float] | None:
        try:
            found = self._buffer.lookup_transform(MAP, BASE, stamp).transform.translation
        except TransformException:
            return None
        return found.x, found.y

    def figures(self, truth: Mapping[int, Pose2]) -> dict[str, float | int | None]:
        """
        Return how many lookups there were, how many failed, and how far the others are off.

        :param truth: base_link by stamp in ns, in the node's map; may be empty.
        """
        error_m = self._errors_m(truth)
        return {'lookups': len(self.places),
                'failed_lookups': sum(place is None for place in self.places.values()),
                **{f'lookup_{name}_error_m': round(float(np.percentile(error_m, percent)), 4)
                   if len(error_m) else None for name, percent in (('median', 50), ('p95', 95))}}

    def _errors_m(self, truth: Mapping[int, Pose2]) -> np.ndarray:
        """Return the distances from the truth of what was found while that is known."""
        stamps = np.array(sorted(truth), dtype=np.int64)
        found = {stamp: place for stamp, place in self.places.items()
                 if place and len(stamps) and stamps[0] <= stamp <= stamps[-1]}
        if not found:
            return np.zeros(0)
        after = np.array(list(found)) - stamps[0]
        x, y = (np.interp(after, stamps - stamps[0], [truth[int(stamp)][axis] for stamp in stamps])
                for axis in (0, 1))
        return np.hypot(*(np.array(list(found.values())) - np.stack([x, y], axis=1)).T)
