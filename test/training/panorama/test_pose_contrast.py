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
from fg2_ros.solver.procrustes import alignment_from_camera
from fg2_ros.solver.refinement import PoseLikelihood, RefinementSettings
from fg2_ros.training.panorama.matching_loss import matched_cells
from fg2_ros.training.panorama.pose_contrast import candidates, OTHERS, PoseContrast
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


def test_likelihood_is_that_of_the_solver(grid, contrast):
    aerial, ground = smooth_descriptors(1), smooth_descriptors(1)
    cells = matched_cells(aerial, ground, TEMPERATURE)
    inner = (grid.ground.abs() < EXTENT_M / 2 - 3).all(1).nonzero()[:, 0]  # stay in the grid
    density, weight = contrast._matched(cells, inner)
    # Whole cells off, where no interpolation blurs the comparison.
    camera = torch.tensor([[0.0, 0.0], [1.4, -2.8]])[:, None] * torch.ones(2, 1, 2)
    at = contrast._sampled(density, contrast._predicted(camera, torch.zeros(2, 1), inner))
    found = (weight[:, None] * torch.log(contrast.settings.floor + at)).sum(-1)[:, 0]

    scores = aerial @ ground.mT / TEMPERATURE
    likelihood = PoseLikelihood(
        scores, dual_softmax(scores, torch.tensor(-1e9))[0], grid, RefinementSettings())
    outer = torch.ones(CELLS ** 2).index_fill(0, inner, 0).bool()
    likelihood.cell_weight[:, outer] = 0
    expected = likelihood.curvature(camera[:, 0], torch.zeros(2)).log_likelihood
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


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
