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

"""Drawn matches, their pose's gradient, and features that are computed once."""

from dataclasses import replace
import math
from test.helpers.vigor_kitti_tiny import make_network, PANORAMA

from fg2_ros.network.matching import Matching
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import alignment_from_camera, weighted_procrustes
from fg2_ros.training.vigor_kitti.loss import (
    Batch, CrossViewLoss, differentiable_procrustes, draw_matches)
from fg2_ros.training.vigor_kitti.losses import virtual_correspondence_error
import pytest
import torch

GRID = BevGrid.of(PANORAMA)


def true_poses(rotation, translation):
    """Return the batch of frames that are matched already: only their true poses count."""
    return Batch(
        None, None, rotation, translation, camera_k=None, seeds=range(4, 4 + len(rotation)))


def test_matches_of_a_frame_depend_on_its_seed_only():
    probabilities = torch.rand(3, 25, 25, generator=torch.Generator().manual_seed(1))
    together = draw_matches(probabilities, 40, [5, 6, 7])
    alone = draw_matches(probabilities[1:2], 40, [6])
    for values, expected in zip(alone, together):
        assert torch.equal(values[0], expected[1])
    pairs = together[0] * 25 + together[1]
    assert all(len(set(frame.tolist())) == 40 for frame in pairs)
    assert not torch.equal(pairs[0], pairs[1])


def test_weights_of_matches_are_their_probabilities_and_carry_gradients():
    probabilities = torch.rand(2, 25, 25).requires_grad_()
    aerial, ground, weight = draw_matches(probabilities, 30, [1, 2])
    assert torch.equal(weight[1], probabilities[1, aerial[1], ground[1]])
    weight.sum().backward()
    assert probabilities.grad.sum() == 60 and set(probabilities.grad.unique().tolist()) == {0, 1}


def test_a_frame_without_a_pose_has_no_gradient_and_spoils_no_other():
    """The points of the second frame lie on one spot."""
    aerial, ground = (torch.rand(2, 12, 2) for _ in range(2))
    aerial[1], ground[1] = 1.0, 2.0
    weight = torch.rand(2, 12).requires_grad_()
    found = differentiable_procrustes(aerial, ground, weight, GRID)
    expected = weighted_procrustes(aerial, ground, weight)
    assert found.ok.tolist() == [True, False]
    assert torch.equal(found.rotation[0], expected.rotation[0])
    identity = torch.eye(2).expand(2, 2, 2), torch.zeros(2, 2)
    error = virtual_correspondence_error(found.rotation, found.translation, *identity)
    torch.where(found.ok, error, 0.0).sum().backward()
    assert weight.grad.isfinite().all()
    assert weight.grad[0].abs().sum() > 0 and not weight.grad[1].any()


@pytest.mark.parametrize('yaw_deg, shift', [(0.0, (0.0, 0.0)), (90.0, (4.0, -4.0))])
def test_scores_of_the_truth_cost_nothing(yaw_deg, shift):
    """Whole cells: every one of them has its true partner in the middle of another."""
    yaw = math.radians(yaw_deg)
    rotation = torch.tensor([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    translation = torch.tensor(shift)
    partner = GRID.aerial @ rotation.T + translation
    scores = -50 * torch.cdist(partner, GRID.ground)[None].square()
    matching = Matching(scores, torch.tensor(-20.0), None, torch.ones(1, 25, dtype=torch.bool))
    batch = true_poses(rotation[None], translation[None])
    losses = CrossViewLoss(make_network(), 625).losses_of(matching, batch)
    assert losses.ok.all() and losses.correspondence_m.item() == pytest.approx(0, abs=1e-3)
    torch.testing.assert_close(losses.rotation[0], rotation, atol=1e-4, rtol=0)


def test_mixed_precision_leaves_the_losses_alone():
    """On the published grid, whose cells are finer than half precision at its rim."""
    config = replace(PANORAMA, grid_cells=41, grid_extent_m=71.0)
    scores = 3 * torch.randn(1, 1681, 1681, generator=torch.Generator().manual_seed(2))
    rotation = alignment_from_camera(torch.zeros(1, 2), torch.tensor([0.7])).rotation
    matching = Matching(scores, torch.tensor(1.0), None, torch.ones(1, 1681, dtype=torch.bool))
    batch = true_poses(rotation, torch.tensor([[7.3, -4.1]]))
    loss = CrossViewLoss(make_network(config), 1024)
    expected = loss.losses_of(matching, batch)
    with torch.autocast('cpu', torch.bfloat16):
        found = loss.losses_of(replace(matching), batch)  # without what is computed once
    for value, truth in zip(found, expected):
        torch.testing.assert_close(value, truth, rtol=1e-6, atol=1e-6)
