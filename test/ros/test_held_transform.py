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

"""map -> odom between two poses."""

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.ros.held_transform import HeldTransform
import pytest


@pytest.fixture
def held():
    held = HeldTransform(blend_s=0.5, timeout_s=10.0)
    held.correct(0.0, Pose2(100.0, 0.0, 3.1), jumped=False)
    return held


def test_a_correction_is_spread_and_turns_the_short_way(held):
    held.correct(1.0, Pose2(101.0, 0.0, -3.1), jumped=False)
    assert held.at(1.0) == pytest.approx((100.0, 0.0, 3.1))
    assert held.at(1.25) == pytest.approx((100.5, 0.0, -3.1415927), abs=1e-6)
    assert held.at(1.5) == pytest.approx((101.0, 0.0, -3.1)) == held.at(11.0)
    assert held.at(11.1) is None


def test_corrections_that_follow_one_another_do_not_lag_and_make_no_steps(held):
    """Ten a second of 10 cm each: none takes longer than the time that it is spread over."""
    for tenth in range(1, 31):
        held.correct(tenth / 10, Pose2(100.0 + tenth / 10, 0.0, 3.1), jumped=False)
        path = [held.at(tenth / 10 + step / 100).x for step in range(11)]
        assert all(0.0 <= after - before < 0.0101 for before, after in zip(path, path[1:]))
    assert held.at(3.0).x == pytest.approx(103.0 - 0.1 * (1.0 + 0.8 + 0.6 + 0.4 + 0.2))
    assert held.at(3.5).x == pytest.approx(103.0)


def test_without_a_time_to_blend_corrections_are_taken_at_once():
    """Of several at one time the last one counts."""
    held = HeldTransform(blend_s=0.0, timeout_s=10.0)
    for x in (0.0, 1.0, 2.0):
        held.correct(1.0, Pose2(x, 0.0, 0.0), jumped=False)
        assert held.at(1.0) == (x, 0.0, 0.0)


def test_after_a_jump_a_correction_is_taken_at_once(held):
    held.correct(1.0, Pose2(101.0, 0.0, 3.0), jumped=True)
    assert held.at(1.0) == pytest.approx((101.0, 0.0, 3.0))


def test_what_has_jumped_is_the_vehicle_and_not_the_origin_of_the_odometry(held):
    """A kilometre from there a turn by a degree moves it by 17 m, and the vehicle not at all."""
    base, turn = Pose2(1000.0, 0.0, 0.0), Pose2(0.0, 0.0, 0.02)
    in_map = held.at(1.0).compose(base)
    turned = in_map.compose(turn).compose(base.inverse())
    assert abs(turned.y - held.at(1.0).y) > 15.0
    assert not held.is_far(1.0, in_map.compose(turn), base)
    assert held.is_far(1.0, in_map, Pose2(0.0, 0.0, 0.0))  # its driver started again at zero
