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

"""How well the demo finds that the transforms served."""

from builtin_interfaces.msg import Time
from fg2_ros.demo.lookups import Lookups
from fg2_ros.geometry.se2 import Pose2
from geometry_msgs.msg import TransformStamped
import pytest


def transform(parent: str, child: str, second: int, x: float) -> TransformStamped:
    """Return a transform along x."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, Time(sec=second)
    message.transform.translation.x, message.transform.rotation.w = x, 1.0
    return message


def test_lookups_at_the_newest_odometry():
    """Those before map -> odom do not count; one that it does not serve any more fails."""
    lookups = Lookups()
    for second in range(1, 6):
        if second in (2, 3):
            lookups.add(transform('map', 'odom', second + 1, 0.5))
        lookups.add(transform('odom', 'base_link', second, 2.0 * second))
    truth = {second * 10 ** 9: Pose2(2.0 * second, 0.0, 0.0) for second in range(1, 9)}
    assert list(lookups.places.values()) == [None, (6.5, 0.0), (8.5, 0.0), None]
    assert lookups.figures(truth) == {
        'lookups': 4, 'failed_lookups': 2, 'lookup_median_error_m': pytest.approx(0.5),
        'lookup_p95_error_m': pytest.approx(0.5)}


def test_without_truth_there_are_no_errors():
    """Nor is there a figure of a drive without transforms."""
    assert Lookups().figures({}) == {
        'lookups': 0, 'failed_lookups': 0, 'lookup_median_error_m': None,
        'lookup_p95_error_m': None}
