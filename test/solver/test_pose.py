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

"""The whole solver on planted scores: between grid points, with honest covariances."""

from test.helpers.synthetic_scores import dual_softmax, small_grid

from fg2_ros.bench.synthetic import synthetic_scores
from fg2_ros.solver.pose import solve_pose
from fg2_ros.solver.procrustes import alignment_from_camera
from fg2_ros.solver.ransac import RansacSettings
from fg2_ros.solver.refinement import PoseLikelihood, refine, RefinementSettings
import numpy as np
import pytest
import torch

RANSAC = RansacSettings(
    draws=1, samples=400, hypotheses=200, score_threshold_m=2.0, inlier_threshold_m=2.0)
SETTINGS = RefinementSettings(correlated_cells=1)  # the planted errors are independent


def solved(grid, camera, bearing, generator, refinement=SETTINGS, **planted):
    """Return the solution of one planted frame."""
    scores = synthetic_scores(grid, camera, bearing, generator=generator, **planted)
    return solve_pose(
        scores, dual_softmax(scores), grid, RANSAC, refinement, generator=generator)


def errors(solution, camera, bearing):
    """Return (east, north, yaw) errors of the first frame."""
    alignment = alignment_from_camera(camera[None], bearing[None])
    found = -(solution.rotation[0].T @ solution.translation[0])
    row, column = (found - alignment.camera[0]).tolist()
    turn = torch.atan2(solution.rotation[0, 1, 0], solution.rotation[0, 0, 0]) - bearing
    return np.array([column, -row, -float(turn)])


@pytest.mark.parametrize('angle', [0.0, 0.15])
def test_finds_poses_between_grid_points(angle):
    """
    The refined pose is far below the cell of 1.4 m, for every place within the cell.

    Without a turn all cells lie equally between the grid points, the worst case for a bias.
    """
    grid, refined, coarse = small_grid(), [], []
    for seed, fraction in enumerate((0.0, 0.25, 0.5, 0.8) * 8):
        camera = torch.tensor([2.8 + 1.4 * fraction, -1.4 - 1.4 * fraction])
        for settings, found in (
                (SETTINGS, refined), (RefinementSettings(steps=0), coarse)):
            solution = solved(
                grid, camera, torch.tensor(angle), torch.Generator().manual_seed(seed), settings,
                outliers=0.3, noise_m=0.1)
            assert solution.ok.all()
            found.append(np.hypot(*errors(solution, camera, torch.tensor(angle))[:2]))
    assert max(refined[:4]) < 0.15
    assert np.reshape(refined, (8, 4)).mean(0).max() < 0.15  # of each place
    assert np.mean(refined) < np.mean(coarse)


def test_covariance_is_honest_and_positive_definite():
    """Normalised errors of poses under independent noise average to about one."""
    grid, generator = small_grid(), torch.Generator().manual_seed(1)
    normalised = []
    for _ in range(30):
        camera = (torch.rand(2, generator=generator) - 0.5) * 6
        bearing = (torch.rand((), generator=generator) - 0.5) * 0.4
        solution = solved(grid, camera, bearing, generator, outliers=0.4, noise_m=1.2)
        covariance = solution.covariance[0].double().numpy()
        np.testing.assert_array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0
        error = errors(solution, camera, bearing)
        normalised.append(error @ np.linalg.solve(covariance, error) / 3)
    assert 0.5 < np.mean(normalised) < 1.6


def test_more_noise_and_fewer_cells_give_larger_covariances():
    """What is seen worse is known worse."""
    grid, camera, bearing = small_grid(), torch.zeros(2), torch.tensor(0.1)
    size = [
        torch.det(solved(
            grid, camera, bearing, torch.Generator().manual_seed(0), outliers=outliers,
            noise_m=noise).covariance[0]).item()
        for outliers, noise in ((0.2, 0.3), (0.2, 1.5), (0.8, 1.5))]
    assert size[0] < size[1] < size[2]


def test_cells_that_are_not_visible_do_not_count():
    """Columns of minus infinity (a pinhole's blind cells) change nothing but the support."""
    grid, generator = small_grid(), torch.Generator().manual_seed(5)
    camera, bearing = torch.tensor([1.0, -2.0]), torch.tensor(-0.1)
    scores = synthetic_scores(grid, camera, bearing, 0.2, generator, noise_m=0.1)
    scores[:, :, :200] = -torch.inf
    probabilities = dual_softmax(scores).nan_to_num(0)
    solution = solve_pose(scores, probabilities, grid, RANSAC, generator=generator)
    assert solution.ok.all()
    assert (solution.ground[solution.weight > 0] >= 200).all()
    assert np.hypot(*errors(solution, camera, bearing)[:2]) < 0.2
    assert torch.isfinite(solution.covariance).all()


def test_no_pose_is_finite_and_unknown():
    """Scores that say nothing leave a finite, huge covariance."""
    grid = small_grid(9)
    solution = solve_pose(torch.zeros(1, 81, 81), torch.zeros(1, 81, 81), grid, RANSAC)
    assert not solution.ok.any()
    assert torch.isfinite(solution.covariance).all()
    assert solution.covariance[0, 0, 0] >= 1e6


def test_gradient_and_information_are_the_likelihood_s_derivatives():
    """Against finite differences of the log-likelihood, in double precision."""
    grid, generator = small_grid(11), torch.Generator().manual_seed(7)
    scores = synthetic_scores(grid, torch.zeros(2), torch.tensor(0.05), 0.2, generator)
    settings = RefinementSettings(window_cells=5)  # so that the kernel's rim is nowhere felt
    likelihood = PoseLikelihood(scores, dual_softmax(scores), grid, settings)
    point = torch.tensor([0.21, -0.17, 0.04])

    def at(offset):
        moved = point + offset
        return likelihood.curvature(moved[None, :2], moved[2:])
    steps = torch.tensor([0.02, 0.02, 0.002]).diag()
    slope = torch.stack([
        (at(step).log_likelihood - at(-step).log_likelihood)[0] / (2 * step.sum())
        for step in steps])
    bend = torch.stack([
        (at(-step).gradient - at(step).gradient)[0] / (2 * step.sum()) for step in steps])
    here = at(torch.zeros(3))
    torch.testing.assert_close(here.gradient[0], slope, rtol=0.02, atol=0.05)
    # The information leaves out that x_g bends with the angle: exact for the position only.
    torch.testing.assert_close(here.information[0, :2, :2], bend[:2, :2], rtol=0.05, atol=0.5)


def test_refinement_climbs_to_a_maximum():
    """From a cell away, a few steps reach where the gradient vanishes."""
    grid, generator = small_grid(), torch.Generator().manual_seed(8)
    scores = synthetic_scores(
        grid, torch.zeros(2), torch.tensor(0.0), 0.3, generator, noise_m=0.4)
    likelihood = PoseLikelihood(
        scores, dual_softmax(scores), grid, RefinementSettings(steps=8))
    start = alignment_from_camera(torch.tensor([[1.0, -0.8]]), torch.tensor([0.04]))
    before = likelihood.curvature(start.camera, start.bearing)
    found, after = refine(likelihood, start)
    assert after.log_likelihood > before.log_likelihood
    assert after.gradient.norm() < 1e-3 * before.gradient.norm()
    assert found.camera.norm() < 0.15
