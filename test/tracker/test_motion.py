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

"""Odometry: carried between stamps, its jumps left out and said."""

import math

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.inputs import Odometry
from fg2_ros.tracker.motion import OdometryChain
from fg2_ros.tracker.settings import MotionSettings
import numpy as np
import pytest

RATE_HZ, SPEED_MPS, TURN_RADPS = 50.0, 8.0, 0.2


def at(time_s):
    """Return the stamp of a time."""
    return round(time_s * 1e9)


def drive(chain, seconds, start=Pose2(0.0, 0.0, 0.0), from_s=0.0):
    """Drive a circle at a constant speed; return what was said."""
    pose, said = start, []
    for index in range(round(seconds * RATE_HZ) + 1):
        time_s = from_s + index / RATE_HZ
        said.append(chain.add(at(time_s), Odometry(pose, Pose2(SPEED_MPS, 0.0, TURN_RADPS))))
        half = TURN_RADPS / RATE_HZ / 2
        length_m = SPEED_MPS / RATE_HZ
        pose = pose.compose(Pose2(
            length_m * math.cos(half), length_m * math.sin(half), 2 * half))
    return [each for each in said if each]


def test_motion_of_a_circle():
    """Step, length and turn are those of the circle, forward and backward."""
    chain = OdometryChain(MotionSettings())
    assert not drive(chain, 4.0)
    motion = chain.between(at(1.0), at(3.0))
    radius_m, turn = SPEED_MPS / TURN_RADPS, 2 * TURN_RADPS
    expected = (radius_m * math.sin(turn), radius_m * (1 - math.cos(turn)), turn)
    np.testing.assert_allclose(motion.step, expected, atol=1e-3)
    assert motion.driven_m == pytest.approx(16.0, rel=1e-3)
    back = chain.between(at(3.0), at(1.0))
    np.testing.assert_allclose(motion.step.compose(back.step), (0, 0, 0), atol=1e-9)


def test_uncertainty_grows_with_the_square_root_of_the_distance():
    """Four times as far is twice as uncertain; standing still costs nothing."""
    settings = MotionSettings()
    chain = OdometryChain(settings)
    drive(chain, 8.0)
    near, far = chain.between(at(0.0), at(2.0)), chain.between(at(0.0), at(8.0))
    assert near.sigma_m == pytest.approx(settings.drift_m * 4.0, rel=1e-3)
    assert far.sigma_m == pytest.approx(2 * near.sigma_m, rel=1e-3)
    standing = OdometryChain(settings)
    for index in range(10):
        standing.add(at(index), Odometry(Pose2(1.0, 2.0, 3.0), Pose2(0.0, 0.0, 0.0)))
    assert standing.between(at(0), at(9)).sigma_m == pytest.approx(0.0, abs=1e-6)
    assert standing.between(at(0), at(9)).sigma_rad == pytest.approx(0.0, abs=1e-6)


def test_a_driver_that_is_started_again_is_bridged_by_its_velocity():
    """The pose begins at zero again: the step is left out, its doubt is kept, and it is said."""
    chain = OdometryChain(MotionSettings())
    drive(chain, 2.0, Pose2(100.0, -50.0, 2.0))
    said = drive(chain, 2.0, from_s=2.02)
    assert len(said) == 1 and 'jumped' in said[0]
    motion = chain.between(at(1.0), at(3.0))
    assert motion.driven_m == pytest.approx(16.0, rel=0.02)
    assert motion.step.yaw == pytest.approx(2 * TURN_RADPS, abs=0.02)
    assert motion.sigma_m > MotionSettings().jump_m


@pytest.mark.parametrize('pose', [
    Pose2(math.nan, 0.0, 0.0), Pose2(0.0, math.inf, 0.0), Pose2(1e308, 0.0, 0.0)])
def test_what_is_no_pose_is_not_used(pose):
    """The chain goes on as if the message had not come."""
    chain = OdometryChain(MotionSettings())
    drive(chain, 1.0)
    assert 'not used' in chain.add(at(1.01), Odometry(pose, Pose2(SPEED_MPS, 0.0, 0.0)))
    drive(chain, 1.0, Pose2(0.0, 0.0, 0.0), 1.02)
    assert math.isfinite(chain.between(at(0.5), at(1.5)).step.x)


def test_an_absurd_velocity_is_not_used():
    """Nor does it carry anything away."""
    chain = OdometryChain(MotionSettings())
    drive(chain, 1.0)
    said = chain.add(at(1.02), Odometry(Pose2(0.0, 0.0, 0.0), Pose2(1e5, 0.0, 0.0)))
    assert 'not used' in said


def test_no_motion_where_odometry_does_not_reach():
    """Beyond the time-out nothing is known; within it the last velocity carries on."""
    chain = OdometryChain(MotionSettings())
    assert not chain and chain.between(at(0.0), at(1.0)) is None
    drive(chain, 1.0)
    assert chain.between(at(0.5), at(1.4)).driven_m == pytest.approx(0.9 * SPEED_MPS, rel=0.01)
    assert chain.between(at(0.5), at(3.0)) is None


def test_late_messages_change_nothing():
    """A message from before the newest is no jump."""
    chain = OdometryChain(MotionSettings())
    drive(chain, 1.0)
    before = chain.between(at(0.2), at(0.8))
    assert not chain.add(at(0.5), Odometry(Pose2(500.0, 0.0, 0.0), Pose2(SPEED_MPS, 0.0, 0.0)))
    assert chain.between(at(0.2), at(0.8)) == before


def test_a_gyro_that_drifts_while_the_wheels_stand_turns_nothing():
    """A minute at a traffic light with a biased gyro."""
    chain = OdometryChain(MotionSettings())
    rate = math.radians(0.3)
    for index in range(601):
        chain.add(at(index / 10), Odometry(
            Pose2(0.0, 0.0, index / 10 * rate), Pose2(0.0, 0.0, rate)))
    assert chain.between(at(0.0), at(60.0)).step.yaw == 0
