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

"""The true pose is told from others by the likelihood that localization climbs."""

import math

from fg2_ros.network.matching import dual_softmax
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow, PosteriorSettings
from fg2_ros.solver.procrustes import alignment_from_camera
from fg2_ros.training.panorama.matching_loss import matched_cells
from fg2_ros.training.panorama.pose_contrast import (
    candidates, HARDEST, OTHERS, PoseContrast, Poses, WRONG_M, WRONG_RAD)
import pytest
import torch
import torch.nn.functional as F

CELLS, EXTENT_M, TEMPERATURE = 21, 28.0, 0.1


@pytest.fixture
def grid() -> BevGrid:
    axis = torch.linspace(-EXTENT_M / 2, EXTENT_M / 2, CELLS)
    points = torch.cartesian_prod(axis, axis)
    return BevGrid(points, points, CELLS, EXTENT_M / (CELLS - 1))


@pytest.fixture
def contrast(grid) -> PoseContrast:
    return PoseContrast(grid, TEMPERATURE)


def smooth_descriptors(seed: int) -> torch.Tensor:
    """Return descriptors of which neighbours look alike."""
    torch.manual_seed(seed)
    coarse = torch.randn(2, 32, CELLS // 3, CELLS // 3)
    fine = F.interpolate(coarse, (CELLS, CELLS), mode='bicubic', align_corners=True)
    return F.normalize(fine.flatten(2).mT, dim=-1)


def still(count: int = 2):
    return alignment_from_camera(torch.zeros(count, 2), torch.zeros(count))


def test_first_candidate_is_the_truth_and_others_lie_near_and_far():
    torch.manual_seed(0)
    truth = alignment_from_camera(torch.tensor([[1.0, -2.0]] * 50), torch.full((50,), 0.3))
    camera, bearing = candidates(truth)
    assert camera.shape == (50, OTHERS + 1, 2) and bearing.shape == (50, OTHERS + 1)
    torch.testing.assert_close(camera[:, 0], truth.camera)
    torch.testing.assert_close(bearing[:, 0], truth.bearing)
    away_m = (camera[:, 1:] - truth.camera[:, None]).norm(dim=-1)
    assert 0.2 < (away_m < 1.0).float().mean() < 0.5 < (away_m < 5.0).float().mean() < 0.9
    assert 0.2 < ((bearing[:, 1:] - 0.3).abs() < math.radians(1)).float().mean() < 0.6


def test_likelihood_is_that_of_the_posterior(grid, contrast):
    aerial, ground = smooth_descriptors(1), smooth_descriptors(1)
    cells = matched_cells(aerial, ground, TEMPERATURE)
    every = torch.arange(CELLS ** 2)
    scores = aerial @ ground.mT / TEMPERATURE
    posterior = DenseLikelihood(
        scores, dual_softmax(scores, torch.tensor(-1e9))[0], grid,
        PosteriorSettings(heaviest=CELLS ** 2))
    # Whole cells off, where it makes no difference whether densities or logarithms of them are
    # interpolated.
    camera = torch.tensor([[0.0, 0.0], [grid.cell_m, -2 * grid.cell_m]])
    window = PoseWindow(camera, torch.zeros(2), places=2, headings=0, parts=1, step_rad=0.0)
    poses = window.poses(grid.cell_m).flatten(1, 3)
    found = contrast._log_likelihood(
        contrast._matches(cells, every), Poses(poses[..., :2], poses[..., 2]), every)
    torch.testing.assert_close(
        found, posterior.evaluate(window).flatten(1), rtol=1e-3, atol=1e-3)


def test_hardest_poses_are_the_likeliest_that_are_wrong(grid, contrast):
    """Of a place that looks as the one that was seen, but turned by a right angle and moved."""
    ground, away_m = smooth_descriptors(1), 4 * grid.cell_m
    as_map = ground.mT.unflatten(2, (CELLS, CELLS))
    aerial = torch.roll(torch.rot90(as_map, 1, (2, 3)), 4, 2).flatten(2).mT
    matches = contrast._matches(
        matched_cells(aerial, ground, TEMPERATURE), torch.arange(CELLS ** 2))
    alike = alignment_from_camera(
        torch.tensor([[away_m, 0.0]] * 2), torch.full((2,), -math.pi / 2))

    def hardest(truth, is_there: bool) -> tuple[torch.Tensor, torch.Tensor]:
        poses = contrast._hardest(matches, truth, torch.arange(CELLS ** 2), is_there)
        turn = poses.bearing - alike.bearing[:, None]
        return ((poses.camera - alike.camera[:, None]).norm(dim=-1),
                torch.atan2(turn.sin(), turn.cos()).abs())
    off_m, off_rad = hardest(still(), is_there=True)
    assert off_m.shape == (2, HARDEST)
    assert (off_m[:, 0] < grid.cell_m).all() and (off_rad[:, 0] < math.radians(5)).all()
    off_m, off_rad = hardest(alike, is_there=False)
    assert (off_m[:, 0] < grid.cell_m).all()
    off_m, off_rad = hardest(alike, is_there=True)
    assert ((off_m >= WRONG_M) | (off_rad >= WRONG_RAD)).all()


def test_a_place_that_looks_alike_costs_more_than_one_that_does_not(contrast):
    seen = smooth_descriptors(1)
    here = matched_cells(
        F.normalize(seen + smooth_descriptors(2), dim=-1), seen, TEMPERATURE)

    def loss(elsewhere: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return contrast(here, still(), matched_cells(elsewhere, seen, TEMPERATURE))
    assert (loss(smooth_descriptors(3)) + 1 < loss(seen)).all()


def test_equal_views_are_told_and_random_ones_are_not(contrast):
    same, other = smooth_descriptors(1), smooth_descriptors(2)
    torch.manual_seed(0)
    told = contrast(matched_cells(same, same, TEMPERATURE), still())
    torch.manual_seed(0)
    guessed = contrast(matched_cells(same, other, TEMPERATURE), still())
    assert (told < 2.5).all() and (guessed > 3.5).all()


def test_it_can_be_learned_from(contrast):
    ground = smooth_descriptors(1)
    aerial = (ground + 2 * smooth_descriptors(2)).requires_grad_()
    rate, losses = 20.0, []
    for _ in range(30):
        cells = matched_cells(F.normalize(aerial, dim=-1), ground, TEMPERATURE)
        loss = contrast(cells, still()).mean()
        gradient, = torch.autograd.grad(loss, aerial)
        losses.append(loss.item())
        aerial = (aerial - rate * gradient).detach().requires_grad_()
    assert sum(losses[-5:]) < sum(losses[:5]) - 2.5
