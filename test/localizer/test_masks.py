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

"""Parts of a panorama that are no picture have no say in the pose."""

from test.helpers import tiny_network
from test.helpers.truthful_network import FRAME, orthophoto

from fg2_ros.geometry.pose_volume import PoseGrid
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.localizer import Localizer
from fg2_ros.localizer.views import GivenImage, PanoramaView
from fg2_ros.network.matching import GroundDescriptors
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow
from fg2_ros.tracker.inputs import SearchPlan
import numpy as np
import pytest
import torch

NETWORK = tiny_network.network('vigor')
CONFIG = NETWORK.config
CELLS = CONFIG.grid_cells ** 2
NOISE = np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8)


def visible_cells(seen, height):
    """Return (rows, columns) which cells are seen if all have chosen one height."""
    index = torch.full((1, CONFIG.grid_cells, CONFIG.grid_cells), height)
    return NETWORK.lifting.cells_seen(torch.from_numpy(seen), index)[0].view(
        CONFIG.grid_cells, -1).numpy()


def test_cells_in_a_direction_that_is_masked_are_not_seen():
    """Columns of the panorama's right half are the cells to the right."""
    seen = np.ones((64, 128), bool)
    seen[:, 64:] = False
    cells = visible_cells(seen, 0)
    middle = CONFIG.grid_cells // 2
    assert cells[:, :middle].all() and not cells[:, middle + 1:].any()


def test_near_ground_is_seen_in_the_lower_rows():
    """Of three heights the lowest is below the horizon everywhere, the highest above it."""
    seen = np.ones((64, 128), bool)
    seen[33:] = False
    assert not visible_cells(seen, 0).any()
    assert visible_cells(seen, 2).all()


def test_what_is_not_seen_has_no_say():
    """Such cells have no partners, and what the others see is weighed as before."""
    generator = torch.Generator().manual_seed(1)
    aerial, ground = (torch.nn.functional.normalize(
        torch.randn(1, CELLS, 16, generator=generator), dim=-1) for _ in range(2))
    visible = torch.rand(1, CELLS, generator=generator) > 0.4
    height = torch.zeros(1, CONFIG.grid_cells, CONFIG.grid_cells, dtype=torch.long)
    whole, masked = (NETWORK.match(aerial, GroundDescriptors(ground, height, visible, is_masked))
                     for is_masked in (False, True))
    assert (masked.probabilities[:, :, ~visible[0]] == 0).all()
    torch.testing.assert_close(
        masked.probabilities[:, :, visible[0]], whole.probabilities[:, :, visible[0]])
    window = PoseWindow(torch.zeros(1, 2), torch.zeros(1), 2, 1, 1, 0.1)
    values = [DenseLikelihood(
        each.scores, each.probabilities, BevGrid.of(CONFIG),
        log_partition=each.log_partition).evaluate(window) for each in (whole, masked)]
    assert values[1].std() > 0 and (values[1] <= values[0]).all()


def observed(seen):
    """Return the likelihoods of poses by a panorama of which parts are seen."""
    localizer = Localizer(NETWORK, orthophoto(), FRAME)
    grid = PoseGrid(Pose2(0.0, 0.0, 0.4), CONFIG.cell_m, 0.05, (3, 5, 5))
    return localizer.observe(
        NOISE, SearchPlan((grid,)), Pose2(0.0, 0.0, 0.0), seen=seen).volumes[0].values


def test_a_mask_that_hides_nothing_changes_nothing():
    np.testing.assert_allclose(observed(np.ones((32, 64), bool)), observed(None), atol=1e-5)


def test_a_mask_that_hides_half_leaves_less_to_be_said():
    seen = np.ones((32, 64), bool)
    seen[:, :32] = False
    assert (observed(seen) < observed(None)).all()


@pytest.mark.parametrize('seen, words', [
    (np.zeros((32, 64), bool), 'only 0% of the panorama'),
    (np.ones((32, 64)), 'bool array'), (np.ones(64, bool), 'bool array')])
def test_masks_that_cannot_be(seen, words):
    with pytest.raises(ValueError, match=words):
        observed(seen)


def test_the_mask_is_rolled_with_the_picture_and_what_it_hides_is_black():
    seen = np.ones((64, 128), bool)
    seen[:, 10:30] = False
    view = PanoramaView.of(GivenImage(NOISE, seen=seen), (64, 128), 'area', 0.3)
    hidden = view.image[~view.seen]
    assert len(hidden) == 64 * 20 and not hidden.any()
    whole = PanoramaView.of(GivenImage(NOISE), (64, 128), 'area', 0.3)
    np.testing.assert_array_equal(view.image[view.seen], whole.image[view.seen])
