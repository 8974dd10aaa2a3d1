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

"""The belief against closed forms: Gaussians stay Gaussians."""

import math

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.belief import Belief
from fg2_ros.tracker.motion import Motion
import numpy as np
import pytest

STILL = Pose2(0.0, 0.0, 0.0)
DEGREE = math.radians(1.0)


def box(middle=STILL, step_m=0.5, step_rad=DEGREE, shape=(21, 31, 31)):
    """Return a grid around a pose."""
    return PoseGrid(middle, step_m, step_rad, shape)


def gaussian(grid, mean, sigma_m, sigma_rad):
    """Return the log-density of a Gaussian on a grid."""
    turn, north, east = np.meshgrid(
        grid.turns_rad + grid.middle.yaw - mean.yaw, grid.norths_m - mean.y,
        grid.easts_m - mean.x, indexing='ij')
    return -0.5 * ((east ** 2 + north ** 2) / sigma_m ** 2 + (turn / sigma_rad) ** 2)


def believed(mean=STILL, sigma_m=0.8, sigma_rad=2 * DEGREE, grid=None):
    """Return a Gaussian belief."""
    grid = grid or box()
    return Belief.over([grid]).times([gaussian(grid, mean, sigma_m, sigma_rad)])


def test_mean_and_covariance_of_a_gaussian():
    """The mode is the Gaussian's."""
    mode = believed(Pose2(0.3, -0.7, DEGREE / 2)).mode()
    np.testing.assert_allclose(mode.mean, (0.3, -0.7, DEGREE / 2), atol=0.01)
    assert math.sqrt(mode.covariance[0, 0]) == pytest.approx(0.8, rel=0.05)
    assert math.sqrt(mode.covariance[2, 2]) == pytest.approx(2 * DEGREE, rel=0.05)
    assert mode.mass == pytest.approx(1.0, abs=1e-3)


def test_products_are_the_information_filter_s():
    """Two Gaussians make one whose information is the sum of theirs."""
    grid = box()
    mode = believed(Pose2(1.0, 0.0, 0.0), 1.0).times(
        [gaussian(grid, Pose2(-1.0, 0.0, 0.0), 0.5 ** 0.5, 10.0)]).mode()
    assert mode.mean.x == pytest.approx(1.0 / 3 - 2.0 / 3, abs=0.01)
    assert math.sqrt(mode.covariance[0, 0]) == pytest.approx(3 ** -0.5, rel=0.06)


@pytest.mark.parametrize('yaw', [0.0, 2.0, -3.0])
def test_motion_moves_and_widens_as_a_gaussian(yaw):
    """After a hundred small steps mean and covariance are those of a Kalman filter."""
    start = Pose2(10.0, 20.0, yaw)
    belief = believed(start, sigma_rad=1.5 * DEGREE, grid=box(start))
    step, pose = Pose2(0.37, 0.05, 0.003), start
    covariance = np.diag([0.8 ** 2, 0.8 ** 2, (1.5 * DEGREE) ** 2])
    for _ in range(20):
        c, s = math.cos(pose.yaw), math.sin(pose.yaw)
        jacobian = np.eye(3)
        jacobian[:2, 2] = -s * step.x - c * step.y, c * step.x - s * step.y
        noise = np.diag([0.08, 0.08, 0.1 * DEGREE]) ** 2
        covariance = jacobian @ covariance @ jacobian.T + noise
        belief = belief.moved(Motion(step, 0.37, 0.08, 0.1 * DEGREE))
        pose = pose.compose(step)
    mode = belief.mode()
    np.testing.assert_allclose(mode.mean[:2], pose[:2], atol=0.05)
    np.testing.assert_allclose(
        np.sqrt(np.diag(mode.covariance)), np.sqrt(np.diag(covariance)), rtol=0.1)


def test_moving_without_noise_does_not_widen():
    """Interpolation in the logarithm adds no variance, however often it is done."""
    belief = believed()
    for _ in range(50):
        belief = belief.moved(Motion(Pose2(0.13, 0.07, 0.0), 0.15, 0.0, 0.0))
    assert math.sqrt(belief.mode().covariance[0, 0]) == pytest.approx(
        math.sqrt(believed().mode().covariance[0, 0]), rel=0.05)


def test_two_places_share_the_mass():
    """A rival is found with its share, and keeps the likelier one from certainty."""
    left, right = box(Pose2(-20.0, 0.0, 0.0)), box(Pose2(20.0, 0.0, math.pi))
    belief = Belief.over([left, right]).times([
        gaussian(left, left.middle, 0.8, 2 * DEGREE) + math.log(3),
        gaussian(right, right.middle, 0.8, 2 * DEGREE)])
    mode = belief.mode()
    other, mass = belief.second(mode)
    assert mode.mass == pytest.approx(0.75, abs=0.01)
    assert mass == pytest.approx(0.25, abs=0.01)
    assert other.x == pytest.approx(20.0) and abs(other.yaw) == pytest.approx(math.pi)
    assert belief.likely(0.5) == [0]
    assert belief.kept([0]).mode().mass == pytest.approx(1.0, abs=1e-3)


def test_resampling_keeps_mean_and_covariance():
    """Another grid, another step: the same belief."""
    belief = believed(Pose2(0.4, -0.2, 0.0))
    finer = belief.resampled(box(Pose2(0.31, 0.0, 0.0), 0.25, DEGREE, (17, 41, 41)))
    np.testing.assert_allclose(finer.mode().mean, belief.mode().mean, atol=0.03)
    np.testing.assert_allclose(
        np.sqrt(np.diag(finer.mode().covariance)), np.sqrt(np.diag(belief.mode().covariance)),
        rtol=0.1)


def test_fading_widens():
    """Half the weight is twice the variance."""
    variance = believed().faded(0.5).mode().covariance[0, 0]
    assert variance == pytest.approx(2 * 0.8 ** 2, rel=0.08)
