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

"""RANSAC on planted matches, against a loop that does the same one hypothesis at a time."""

from test.helpers.synthetic_scores import dual_softmax, planted_probabilities, small_grid

from fg2_ros.bench import naive
from fg2_ros.bench.synthetic import synthetic_scores
from fg2_ros.network import FG2Config
from fg2_ros.solver import ransac
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import (
    alignment_from_camera, residuals_m, soft_inliers, weighted_procrustes)
from fg2_ros.solver.ransac import PoseGate, RansacSettings, solve
from fg2_ros.solver.sampling import draw_pairs, Pairs
import pytest
import torch

SETTINGS = RansacSettings(draws=4, samples=300, hypotheses=120)


def random_pose(generator, angle=3.0):
    """Return camera (2,) and bearing ()."""
    camera = (torch.rand(2, generator=generator) - 0.5) * 8
    return camera, (torch.rand((), generator=generator) - 0.5) * 2 * angle


@pytest.mark.parametrize('outliers', [0.5, 0.8])
def test_at_least_as_accurate_as_the_published_scheme(outliers):
    """Over many draws the batch errs less than the loop does, in the mean and at worst."""
    settings, grid = RansacSettings(draws=3, samples=300, hypotheses=40), small_grid()
    batched, looped = [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        camera, bearing = random_pose(generator)
        probabilities = planted_probabilities(grid, camera, bearing, outliers, generator)
        found = solve(probabilities, grid, settings, generator=generator)
        by_loop = naive.ransac(probabilities[0], grid, settings, generator)
        batched.append((found.alignment.camera[0] - camera).norm())
        looped.append((by_loop.camera - camera).norm())
    batched, looped = torch.stack(batched), torch.stack(looped)
    assert batched.mean() <= looped.mean()
    assert batched.quantile(0.9) <= looped.quantile(0.9)
    assert batched.median() < grid.cell_m


@pytest.mark.parametrize('outliers', [0.5, 0.8])
def test_what_evaluations_run_is_as_accurate_as_the_published_scheme(outliers):
    """
    To a small part of a cell, by which draws differ.

    On the published grid, where a first look at some matches leaves out most hypotheses.
    """
    published = RansacSettings.published()
    assert published.samples >= 4 * ransac.SURVEYED and published.finalists == 1
    grid, errors_m = BevGrid.of(FG2Config.preset('vigor')), []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        camera, bearing = random_pose(generator)
        scores = synthetic_scores(grid, camera, bearing, outliers, generator)
        probabilities = dual_softmax(scores)
        found = solve(probabilities, grid, published, generator=generator)
        by_loop = naive.ransac(probabilities[0], grid, published, generator)
        errors_m.append([
            (pose.camera - camera).norm().item() for pose in (found.alignment, by_loop)])
    batched, looped = torch.tensor(errors_m).median(dim=0).values
    assert batched <= looped + 0.05 * grid.cell_m


def test_scores_are_the_soft_inlier_counts_of_the_best_hypotheses():
    """What a first look at some matches passes on is scored by all; the best ones are passed."""
    grid, generator = small_grid(), torch.Generator().manual_seed(1)
    probabilities = planted_probabilities(
        grid, torch.tensor([2.0, -1.0]), torch.tensor(0.4), 0.5, generator)
    settings = RansacSettings(draws=2, samples=2560, hypotheses=200, finalists=4)
    pairs = draw_pairs(probabilities + 1e-6, settings.samples, settings.draws, generator)
    matches = ransac._features(pairs, grid)
    hypotheses = ransac._hypotheses(matches, pairs.weight, settings.hypotheses, generator)
    aerial, ground = grid.aerial[pairs.aerial], grid.ground[pairs.ground]
    distance = residuals_m(hypotheses, aerial[:, :, None], ground[:, :, None])
    expected = soft_inliers(distance, settings.score_threshold_m).flatten()
    scores = ransac._scores(hypotheses, hypotheses.ok, matches, settings).flatten()
    scored = scores >= 0
    assert scored.sum() == 2 * (200 // ransac.KEPT)
    torch.testing.assert_close(scores[scored], expected[scored], rtol=1e-4, atol=1e-2)
    possible = torch.where(hypotheses.ok.flatten(), expected, -1.0)
    assert scored[possible.topk(settings.finalists).indices].all()


def test_fits_to_inliers_are_procrustes_of_them():
    """From sums over the features; a line and a spot far from the centre determine nothing."""
    generator = torch.Generator().manual_seed(3)
    grid = small_grid()
    cells = torch.randint(len(grid.aerial), (2, 1, 4, 60), generator=generator)
    cells[:, :, 2] = torch.arange(60) % grid.cells  # the first row
    cells[:, :, 3] = len(grid.aerial) - 1
    pairs = Pairs(*cells, torch.ones(1, 4, 60))
    inlier = (torch.rand(1, 4, 60, generator=generator) < 0.5).float()
    matches = ransac._features(pairs, grid)
    found = ransac._fitted(ransac._moments(matches, inlier))
    expected = weighted_procrustes(grid.aerial[pairs.aerial], grid.ground[pairs.ground], inlier)
    assert found.ok.tolist() == expected.ok.tolist() == [[True, True, False, False]]
    for value, truth in zip(found[:2], expected[:2]):
        torch.testing.assert_close(value[:, :2], truth[:, :2], rtol=0, atol=1e-4)


@pytest.mark.parametrize('finalists, fitted', [(1, False), (2, True)])
def test_a_fit_with_as_many_inliers_is_taken_from_several_finalists_only(finalists, fitted):
    """As published, a single one is fitted while its inliers become more."""
    grid, generator = small_grid(), torch.Generator().manual_seed(6)
    cells = torch.randperm(len(grid.aerial), generator=generator)[:60].expand(1, 1, 60)
    matches = ransac._features(Pairs(cells, cells, torch.ones(1, 1, 60)), grid)
    start = alignment_from_camera(torch.tensor([[[0.4, -0.3]]]), torch.tensor([[0.01]]))
    settings = RansacSettings(finalists=finalists)
    found, inlier, _ = ransac._refined(start, matches, settings, None)
    assert inlier.all()
    assert (found.camera.norm() < 1e-4) == fitted
    assert torch.equal(found.translation, start.translation) != fitted


def test_a_batch_of_frames_gives_each_its_own_pose():
    """Frames do not mix; the same seed gives the same result, bit for bit."""
    grid, generator = small_grid(), torch.Generator().manual_seed(4)
    poses = [random_pose(generator) for _ in range(3)]
    probabilities = torch.cat([
        planted_probabilities(grid, *pose, 0.5, generator) for pose in poses])
    first, second = (
        solve(probabilities, grid, SETTINGS, generator=torch.Generator().manual_seed(9))
        for _ in range(2))
    cameras = torch.stack([camera for camera, _ in poses])
    assert torch.linalg.vector_norm(first.alignment.camera - cameras, dim=-1).max() < 1.0
    turn = alignment_from_camera(cameras, torch.stack([b for _, b in poses])).rotation
    assert (first.alignment.rotation - turn).abs().max() < 0.1
    assert torch.equal(first.alignment.translation, second.alignment.translation)
    assert first.inlier.float().mean() > 0.3


def test_the_gate_keeps_a_stronger_pose_out():
    """Of two planted poses the weaker one wins if the gate holds it alone."""
    grid, generator = small_grid(), torch.Generator().manual_seed(2)
    weak, strong = torch.tensor([-3.0, 2.0]), torch.tensor([6.0, -6.0])
    bearing = torch.tensor(0.1)
    probabilities = torch.maximum(
        planted_probabilities(grid, strong, bearing, 0.2, generator),
        planted_probabilities(grid, weak, bearing, 0.5, generator))
    anywhere = solve(probabilities, grid, SETTINGS, generator=generator)
    assert (anywhere.alignment.camera - strong).norm() < 1.0
    gate = PoseGate(torch.zeros(1, 2), torch.tensor([5.0]), torch.tensor([0.3]))
    gated = solve(probabilities, grid, SETTINGS, gate, generator)
    assert (gated.alignment.camera - weak).norm() < 1.0
    turned = gate._replace(angle_rad=torch.tensor([0.01]), radius_m=torch.tensor([0.01]))
    assert not solve(probabilities, grid, SETTINGS, turned).alignment.ok.any()


def test_nothing_to_match_is_not_ok():
    """No probability at all, or all of it in one cell: no pose, no crash."""
    grid = small_grid(7)
    nothing = torch.zeros(1, 49, 49)
    one = nothing.clone()
    one[0, 3, :] = 0.5
    found = solve(torch.cat([nothing, one]), grid, SETTINGS)
    assert found.alignment.ok.tolist() == [False, False]
    assert not found.inlier.any()
    assert torch.isfinite(found.alignment.translation).all()
