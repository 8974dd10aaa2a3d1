"""RANSAC on planted matches, against a loop that does the same one hypothesis at a time."""

from fg2_ros.solver.procrustes import (
    alignment_from_camera, residuals_m, soft_inliers, weighted_procrustes)
from fg2_ros.solver.ransac import PoseGate, RansacSettings, solve
import numpy as np
from planted_scores import planted_probabilities, small_grid
import pytest
import torch

SETTINGS = RansacSettings(draws=4, samples=300, hypotheses=120)


def random_pose(generator, angle=3.0):
    """Return camera (2,) and bearing ()."""
    camera = (torch.rand(2, generator=generator) - 0.5) * 8
    return camera, (torch.rand((), generator=generator) - 0.5) * 2 * angle


def looped_camera(probabilities, grid, settings, seed):
    """Return the camera found by the published scheme, written as plain loops."""
    rng = np.random.default_rng(seed)
    flat = probabilities.flatten().double().numpy()
    best, best_score = None, -1.0
    for _ in range(settings.draws):
        index = rng.choice(len(flat), settings.samples, replace=False, p=flat / flat.sum())
        aerial, ground = np.divmod(index, probabilities.shape[2])
        x, y, share = grid.aerial[aerial], grid.ground[ground], flat[index]
        for _ in range(settings.hypotheses):
            three = rng.choice(settings.samples, 3, replace=False, p=share / share.sum())
            found = weighted_procrustes(x[three], y[three], torch.ones(3))
            score = float(soft_inliers(residuals_m(found, x, y), settings.score_threshold_m))
            if found.ok and score > best_score:
                best, best_score, pairs = found, score, (x, y)
    inlier = residuals_m(best, *pairs) < settings.inlier_threshold_m
    for _ in range(settings.refinements):
        fitted = weighted_procrustes(*pairs, inlier.float())
        fitted_inlier = residuals_m(fitted, *pairs) < settings.inlier_threshold_m
        if not fitted.ok or fitted_inlier.sum() <= inlier.sum():
            break
        best, inlier = fitted, fitted_inlier
    return best.camera


@pytest.mark.parametrize('outliers', [0.5, 0.8])
def test_at_least_as_accurate_as_the_loop(outliers):
    """Poses are found to within a cell; on average the batch is not worse than the loop."""
    grid, batched, looped = small_grid(), [], []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        camera, bearing = random_pose(generator)
        probabilities = planted_probabilities(grid, camera, bearing, outliers, generator)
        found = solve(probabilities, grid, SETTINGS, generator=generator)
        assert found.alignment.ok.all()
        batched.append(torch.linalg.vector_norm(found.alignment.camera[0] - camera))
        looped.append(torch.linalg.vector_norm(
            looped_camera(probabilities, grid, SETTINGS, seed) - camera))
    assert torch.stack(batched).max() < 1.4
    assert torch.stack(batched).mean() <= 1.1 * torch.stack(looped).mean() + 0.02


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
    assert (first.alignment.rotation - turn).abs().max() < 0.05
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
