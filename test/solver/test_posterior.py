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

"""The dense likelihood against the exact one, evaluated pose by pose, and against closed forms."""

import math
from test.helpers.synthetic_scores import dual_softmax, small_grid

from fg2_ros.bench.synthetic import aerial_places, synthetic_scores
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow, PosteriorSettings
import numpy as np
import pytest
import torch

GRID = small_grid()
SETTINGS = PosteriorSettings(heaviest=len(GRID.ground))


def frame(seed=0, camera=(1.0, -2.0), bearing=0.1):
    """Return the (1, A, G) scores of a planted pose."""
    generator = torch.Generator().manual_seed(seed)
    return synthetic_scores(
        GRID, torch.tensor(camera), torch.tensor(bearing), outliers=0.3, generator=generator)


def window(camera=(0.0, 0.0), bearing=0.0, places=2, headings=1, parts=1, step_rad=math.pi / 2):
    """Return a window around one pose."""
    return PoseWindow(
        torch.tensor([camera]), torch.tensor([bearing]), places, headings, parts, step_rad)


def exact(scores, poses):
    """Return the log-likelihood at each (row, column, bearing), summed cell by cell."""
    settings = SETTINGS
    given_ground, weight = scores[0].softmax(0), dual_softmax(scores)[0].sum(0)
    found = []
    for row, column, bearing in poses:
        places = aerial_places(GRID, torch.tensor([row, column]), torch.tensor(bearing))
        offset = (places - GRID.aerial[:, None]) / GRID.cell_m  # (A, G, 2)
        kernel = torch.exp(-0.5 * (offset / settings.bandwidth_cells).square().sum(-1))
        kernel[offset.abs().amax(-1) > settings.window_cells + 0.5] = 0
        density = (given_ground * kernel).sum(0) / (2 * math.pi * settings.bandwidth_cells ** 2)
        inside = places.abs().amax(-1) < GRID.aerial.max() + GRID.cell_m / 2
        found.append((weight * inside * torch.log1p(density / settings.floor)).sum())
    return torch.stack(found)


def poses_of(asked):
    """Return the poses of a window in the order of its values."""
    steps = np.arange(-asked.places, asked.places + 1) * GRID.cell_m / asked.parts
    return [(float(asked.camera[0, 0] + row), float(asked.camera[0, 1] + column),
             float(asked.bearing[0] + turn * asked.step_rad))
            for turn in range(-asked.headings, asked.headings + 1)
            for row in steps for column in steps]


def resemblance(scores):
    """Return how much is alike, as found with a window that holds the planted pose."""
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS)
    asked = window(camera=(1.0, -2.0), bearing=0.1, places=3)
    return float(dense.resemblance(asked, dense.evaluate(asked)))


def test_resemblance_tells_whether_there_is_anything_alike():
    """It is absolute: less if all cells match less, or some do; hidden ones do not count."""
    scores, cells = frame(), torch.arange(len(GRID.ground))
    usual = resemblance(scores)
    assert resemblance(scores - 2.0) == pytest.approx(usual - 2.0, abs=1e-4)
    some = torch.where(cells % 4 == 0, scores - 4.0, scores)
    assert resemblance(some) == pytest.approx(usual - 1.0, abs=0.2)
    hidden = torch.where(cells % 4 == 0, -torch.inf, scores)
    assert resemblance(hidden) == pytest.approx(usual, abs=0.4)


def test_resemblance_is_of_cells_that_lie_in_the_patch():
    """Beside the patch nothing can be found, which says nothing against the place."""
    camera = (0.35 * GRID.extent_m, 0.0)
    scores = frame(camera=camera, bearing=0.0)
    places = aerial_places(GRID, torch.tensor(camera), torch.tensor(0.0))
    beside = (places.abs() > GRID.extent_m / 2).any(-1)
    assert beside.float().mean() > 0.2
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS)
    asked = window(camera=camera, places=2)
    found = float(dense.resemblance(asked, dense.evaluate(asked)))
    assert found == pytest.approx(float(scores.logsumexp(1)[0, ~beside].mean()), abs=0.05)


def test_is_exact_where_ground_cells_fall_on_aerial_cells():
    """Whole cells and right angles need no rounding: every value is the exact likelihood's."""
    asked = window(camera=(GRID.cell_m, -2 * GRID.cell_m))
    scores = frame()
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS).evaluate(asked)
    torch.testing.assert_close(
        dense.flatten(), exact(scores, poses_of(asked)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('parts', [1, 2])
def test_interpolation_follows_it_elsewhere(parts):
    """Between cells the values go along with the exact ones; interpolation only smooths them."""
    asked = window((0.3, -0.4), 0.07, places=parts, headings=2, parts=parts, step_rad=0.1)
    scores = frame()
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS).evaluate(asked)
    truth = exact(scores, poses_of(asked))
    assert np.corrcoef(dense.flatten(), truth)[0, 1] > 0.98
    assert 0.8 < dense.std() / truth.std() < 1.05


def test_frames_of_a_batch_do_not_meet():
    """Each frame of a batch has the values that it has alone, around its own pose."""
    scores = torch.cat([frame(1), frame(2, camera=(-2.0, 1.0))])
    both = PoseWindow(torch.tensor([[0.5, 0.0], [-2.0, 1.4]]), torch.tensor([0.0, 0.3]), 2, 2, 2,
                      0.1)
    together = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS).evaluate(both)
    for index in range(2):
        alone = PoseWindow(both.camera[index:index + 1], both.bearing[index:index + 1], 2, 2, 2,
                           0.1)
        one = scores[index:index + 1]
        single = DenseLikelihood(one, dual_softmax(one), GRID, SETTINGS).evaluate(alone)
        torch.testing.assert_close(together[index], single[0])


def test_peaks_at_the_planted_pose():
    """The largest value is at the pose that was planted."""
    scores = frame(camera=(2 * GRID.cell_m, -GRID.cell_m), bearing=0.2)
    asked = window(places=5, headings=4, step_rad=0.1)
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS).evaluate(asked)
    assert np.unravel_index(int(dense[0].argmax()), dense.shape[1:]) == (6, 7, 4)


def test_one_certain_cell_gives_the_kernel():
    """A single match that is certain makes a Gaussian of the camera's place, in closed form."""
    cell, aerial = 11 * GRID.cells + 9, 12 * GRID.cells + 9
    scores = torch.full((1, len(GRID.aerial), len(GRID.ground)), -torch.inf)
    scores[0, aerial, cell] = 0.0
    probabilities = torch.zeros_like(scores)
    probabilities[0, aerial, cell] = 1.0
    asked = window(places=2, headings=0)
    dense = DenseLikelihood(scores, probabilities, GRID, SETTINGS).evaluate(asked)[0, 0]
    sigma, floor = SETTINGS.bandwidth_cells, SETTINGS.floor
    row, column = np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing='ij')
    squares = (row - 1) ** 2 + column ** 2
    density = np.exp(-squares / (2 * sigma ** 2)) / (2 * math.pi * sigma ** 2)
    np.testing.assert_allclose(dense, np.log1p(density / floor), rtol=1e-4)


def test_poses_far_outside_the_patch_say_nothing():
    """Where no ground cell lies on the patch the value is zero, and nothing fails."""
    scores = frame()
    far = window(camera=(10 * GRID.cells * GRID.cell_m, 0.0))
    dense = DenseLikelihood(scores, dual_softmax(scores), GRID, SETTINGS).evaluate(far)
    assert not dense.any()
