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

"""The filter against least squares over the whole drive, which is exact where all is linear."""

from fg2_ros.evaluation.drives.planar_filter import FilterSettings, PlanarFilter
from fg2_ros.geometry.se2 import Pose2
import numpy as np
import pytest

SETTINGS = FilterSettings(position_noise=0.02, heading_noise=1e-18)
STRAIGHT = Pose2(2.0, 0.0, 0.0)  # m/s along a heading that is known
SURE_OF_YAW = 1e-12


def least_squares(positions: np.ndarray, sigma_m: float) -> tuple[float, float]:
    """Return the last position on an axis, and its variance, by all measurements and steps."""
    count = len(positions)
    measured = np.eye(count) / sigma_m
    step_sigma_m = np.sqrt(SETTINGS.position_noise)  # of a second
    driven = (np.eye(count)[1:] - np.eye(count)[:-1]) / step_sigma_m
    a = np.vstack([measured, driven])
    b = np.concatenate([positions / sigma_m, np.full(count - 1, STRAIGHT.x) / step_sigma_m])
    information = a.T @ a
    return np.linalg.solve(information, a.T @ b)[-1], np.linalg.inv(information)[-1, -1]


def test_a_straight_drive_is_the_least_squares_solution():
    """Estimate and variance are those of all measurements at once."""
    east = np.arange(12) * STRAIGHT.x + np.random.default_rng(0).normal(0, 0.5, 12)
    pose_filter = PlanarFilter(SETTINGS)
    pose_filter.start(Pose2(east[0], 0.0, 0.0), np.diag([0.25, 0.25, SURE_OF_YAW]))
    for value in east[1:]:
        pose_filter.predict(STRAIGHT, 1.0)
        pose_filter.take_position(np.array([value, 0.0]), 0.5)
    expected, variance = least_squares(east, 0.5)
    assert pose_filter.pose.x == pytest.approx(expected, abs=1e-6)
    assert pose_filter.covariance[0, 0] == pytest.approx(variance, rel=1e-5)


def test_poses_that_are_honest_give_an_anees_of_one():
    """The filter is as good as it says, also along a bend."""
    rng = np.random.default_rng(1)
    nees = []
    for _ in range(200):
        truth, pose_filter = np.zeros(3), PlanarFilter(FilterSettings(0.1 ** 2, 0.02 ** 2))
        noise = np.diag([0.5, 0.3, 0.05])
        pose_filter.start(Pose2(*(noise @ rng.standard_normal(3))), noise ** 2)
        for _ in range(20):
            pose_filter.predict(Pose2(1.0, 0.0, 0.2), 1.0)
            middle = truth[2] + 0.1
            truth = truth + [np.cos(middle), np.sin(middle), 0.2]
            truth = truth + rng.standard_normal(3) * [0.1, 0.1, 0.02]
            pose_filter.take_pose(Pose2(*(truth + noise @ rng.standard_normal(3))), noise ** 2)
        error = np.subtract(pose_filter.pose, truth)
        error[2] = (error[2] + np.pi) % (2 * np.pi) - np.pi
        nees.append(error @ np.linalg.solve(pose_filter.covariance, error) / 3)
    assert np.mean(nees) == pytest.approx(1.0, abs=0.2)  # 600 degrees of freedom: sigma 0.06


def test_the_lever_of_an_antenna_tells_the_heading():
    """An antenna ahead of a known place shows where ahead is."""
    pose_filter = PlanarFilter(SETTINGS)
    pose_filter.start(Pose2(0.0, 0.0, 0.0), np.diag([1e-9, 1e-9, 0.01]))
    pose_filter.take_position(np.array([2.0, 0.1]), 1e-4, lever_m=(2.0, 0.0))
    assert pose_filter.pose.yaw == pytest.approx(0.05, abs=1e-3)


def test_headings_meet_across_the_back():
    """Half way between two headings across +-180 degrees is not ahead."""
    pose_filter = PlanarFilter(SETTINGS)
    pose_filter.start(Pose2(0.0, 0.0, np.pi - 0.1), np.diag([1.0, 1.0, 0.01]))
    pose_filter.take_heading(-np.pi + 0.1, 0.1)
    assert abs(pose_filter.pose.yaw) == pytest.approx(np.pi, abs=1e-6)


@pytest.mark.parametrize('sigmas, believed', [(3.0, False), (np.inf, True)])
def test_a_threshold_rejects_what_is_far_off(sigmas, believed):
    """Without one all is taken."""
    pose_filter = PlanarFilter(FilterSettings(rejection_sigmas=sigmas))
    pose_filter.start(Pose2(0.0, 0.0, 0.0), np.eye(3))
    assert pose_filter.take_pose(Pose2(10.0, 0.0, 0.0), np.eye(3)) is believed
    assert (pose_filter.pose.x == 0.0) is not believed
