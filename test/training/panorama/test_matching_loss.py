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

"""The memory-saving loss equals the plain one, gradients included."""

from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import alignment_from_camera
from fg2_ros.training.panorama.matching_loss import dense_loss, matched_cells, swapped
from fg2_ros.training.vigor_kitti.losses import dense_info_nce
import torch
import torch.nn.functional as F

CELLS, EXTENT_M, TEMPERATURE = 9, 20.0, 0.1


def grid() -> BevGrid:
    axis = torch.linspace(-EXTENT_M / 2, EXTENT_M / 2, CELLS)
    points = torch.cartesian_prod(axis, axis)
    return BevGrid(points, points, CELLS, EXTENT_M / (CELLS - 1))


def descriptors(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return F.normalize(torch.randn(3, CELLS ** 2, 8), dim=-1).requires_grad_()


def truth():
    return alignment_from_camera(
        torch.tensor([[1.3, -2.0], [0.4, 5.1], [-3.0, 0.2]]), torch.tensor([0.1, -0.2, 0.3]))


def test_info_nce_equals_the_plain_loss_with_its_gradients():
    pose = truth()
    gradients, values = [], []
    for plain in (True, False):
        aerial, ground = descriptors(1), descriptors(2)
        if plain:
            scores = aerial @ ground.mT / TEMPERATURE
            loss = dense_info_nce(scores, pose.rotation, pose.translation, EXTENT_M)
        else:
            loss = dense_loss(
                matched_cells(aerial, ground, TEMPERATURE), pose, grid(), TEMPERATURE)
        values.append(loss.detach())
        gradients.append(torch.autograd.grad(loss.sum(), (aerial, ground)))
    torch.testing.assert_close(*values)
    for expected, found in zip(*gradients):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_sums_over_either_side_are_those_of_the_scores():
    cells = matched_cells(descriptors(3), descriptors(4), TEMPERATURE)
    scores = cells.aerial @ cells.ground.mT / TEMPERATURE
    torch.testing.assert_close(cells.over_ground, scores.logsumexp(2))
    torch.testing.assert_close(cells.over_aerial, scores.logsumexp(1))


def test_cells_of_the_neighbours_place_are_further_ones_not_to_match():
    """The loss is that of one larger patch and one larger panorama, of which a half is right."""
    pose = alignment_from_camera(torch.tensor([[1.3, -2.0], [0.4, 5.1]]), torch.tensor([.1, -.2]))
    aerial, ground = (descriptors(seed)[:2].detach() for seed in (1, 2))
    found = dense_loss(
        matched_cells(aerial, ground, TEMPERATURE), pose, grid(), TEMPERATURE,
        elsewhere=matched_cells(swapped(aerial), ground, TEMPERATURE))
    here = dense_loss(matched_cells(aerial, ground, TEMPERATURE), pose, grid(), TEMPERATURE)
    scores = torch.einsum('iad,jgd->iajg', aerial, ground) / TEMPERATURE
    inside = [grid_points_inside(matrix, shift) for matrix, shift in (
        (pose.rotation, pose.translation),
        (pose.rotation.mT, -(pose.translation[:, None] @ pose.rotation)[:, 0]))]
    for sample in range(2):
        over_ground = (scores[sample].flatten(1).logsumexp(1)
                       - scores[sample, :, sample].logsumexp(1))
        over_aerial = (scores[:, :, sample].flatten(0, 1).logsumexp(0)
                       - scores[sample, :, sample].logsumexp(0))
        more = (over_ground[inside[0][sample]].mean() + over_aerial[inside[1][sample]].mean()) / 2
        torch.testing.assert_close(found[sample] - here[sample], more)


def grid_points_inside(rotation: torch.Tensor, translation: torch.Tensor) -> torch.Tensor:
    """Return (B, cells) which points lie in the other grid."""
    return ((grid().aerial @ rotation.mT + translation[:, None]).abs() <= EXTENT_M / 2).all(-1)
