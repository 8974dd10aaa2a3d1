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

"""The losses: against the reference, and against loops."""

import math
from test.helpers import reference_weights

from fg2_ros.training.vigor_kitti.losses import (
    dense_info_nce, info_nce, virtual_correspondence_error, virtual_points)
import numpy as np
import pytest
import torch

EXTENT_M, CELLS = 8.0, 5


@pytest.fixture(scope='module')
def expected():
    return reference_weights.expected('losses')


def pose(yaw_deg=25.0, down_m=1.3, right_m=-0.6):
    yaw = math.radians(yaw_deg)
    rotation = torch.tensor([[
        [math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]])
    return rotation, torch.tensor([[down_m, right_m]])


def test_virtual_points(expected):
    torch.testing.assert_close(virtual_points(), expected['grid_points'][0])


def test_virtual_correspondence_error(expected):
    found = virtual_correspondence_error(
        expected['R_pred'], expected['t_pred'][:, 0], expected['R_gt'], expected['t_gt'][:, 0])
    torch.testing.assert_close(found, expected['vce'], atol=1e-5, rtol=0)


def test_info_nce(expected):
    scores = 2 * np.random.default_rng(51).standard_normal((3, 1681, 1681))
    found = info_nce(
        torch.from_numpy(scores.astype(np.float32)), expected['R_gt'], expected['t_gt'][:, 0],
        aerial_index=expected['sat_index'], ground_index=expected['grd_index'], extent_m=71.0)
    torch.testing.assert_close(found, expected['infonce'], atol=1e-5, rtol=0)


def dense_by_loops(scores, rotation, translation, mask):
    """Return the dense loss of one item, cell by cell."""
    axis = torch.linspace(-EXTENT_M / 2, EXTENT_M / 2, CELLS, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    directions = []
    for towards_ground in (True, False):
        losses = []
        for source, point in enumerate(points):
            if towards_ground:
                partner = rotation @ point + translation
                row_scores = scores[source].masked_fill(~mask, -torch.inf)
                usable = mask
            else:
                partner = rotation.T @ (point - translation)
                row_scores = scores[:, source]
                usable = torch.ones(len(points), dtype=torch.bool)
                if not mask[source]:
                    continue
            tent = (1 - (points - partner).abs() / (EXTENT_M / (CELLS - 1))).clamp(min=0).prod(-1)
            inside = (partner.abs() <= EXTENT_M / 2).all()
            if inside and usable[tent > 0].all():
                chosen = tent > 0
                losses.append(
                    row_scores.logsumexp(0) - (tent[chosen] * row_scores[chosen]).sum())
        directions.append(torch.stack(losses).mean())
    return sum(directions) / 2


@pytest.mark.parametrize('hidden', [(), (0, 7, 12)])
def test_dense_loss_equals_loops(hidden):
    torch.manual_seed(8)
    scores = torch.randn(1, 25, 25, dtype=torch.float64)
    mask = torch.ones(1, 25, dtype=torch.bool)
    mask[0, list(hidden)] = False
    rotation, translation = (value.double() for value in pose())
    found = dense_info_nce(scores, rotation, translation, EXTENT_M, mask)
    expected = dense_by_loops(scores[0], rotation[0], translation[0], mask[0])
    torch.testing.assert_close(found[0].double(), expected, atol=1e-5, rtol=1e-5)


def test_dense_loss_takes_invisible_cells_from_the_scores():
    scores = torch.randn(1, 25, 25)
    mask = torch.rand(1, 25) > 0.2
    masked = scores.masked_fill(~mask[:, None], -torch.inf).requires_grad_()
    found = dense_info_nce(masked, *pose(), EXTENT_M)
    torch.testing.assert_close(found, dense_info_nce(scores, *pose(), EXTENT_M, mask))
    found.sum().backward()
    assert masked.grad.isfinite().all()


def test_sampled_loss_leaves_out_invisible_cells():
    scores = torch.randn(1, 25, 25)
    scores[..., 12] = -torch.inf
    scores.requires_grad_()
    everything = torch.arange(25)[None]
    loss = info_nce(scores, *pose(), everything, everything, EXTENT_M)
    loss.sum().backward()
    assert loss.isfinite().all() and scores.grad.isfinite().all()


def test_dense_loss_of_the_identity_wants_the_diagonal():
    identity = torch.eye(2)[None], torch.zeros(1, 2)
    perfect = 30 * torch.eye(25)[None]
    assert dense_info_nce(perfect, *identity, EXTENT_M) < 1e-3
    assert dense_info_nce(perfect.roll(1, dims=2), *identity, EXTENT_M) > 20


def test_dense_loss_wants_to_know_where_within_a_cell():
    """With the truth 0.3 cells down, a split of 0.7 to 0.3 is better than any other."""
    identity, shift = torch.eye(2)[None], torch.tensor([[0.3 * EXTENT_M / (CELLS - 1), 0.0]])
    losses = {}
    for part in (0.01, 0.2, 0.3, 0.4, 0.6):
        matrix = torch.full((25, 25), 1e-6)
        matrix.diagonal().fill_(1 - part)
        matrix.diagonal(CELLS).fill_(part)
        losses[part] = dense_info_nce(matrix.log()[None], identity, shift, EXTENT_M).item()
    assert min(losses, key=losses.get) == 0.3


def test_pinhole_ground_grid_holds_the_first_rows_only():
    scores = torch.randn(1, 25, 15)
    loss = dense_info_nce(scores, *pose(), EXTENT_M)
    everything = torch.arange(15)[None]
    sampled = info_nce(scores, *pose(), everything, everything, EXTENT_M)
    assert loss.isfinite().all() and sampled.isfinite().all()


def test_nothing_in_common_costs_nothing():
    scores = torch.randn(1, 25, 25, requires_grad=True)
    loss = dense_info_nce(scores, *pose(down_m=500.0), EXTENT_M)
    assert loss.item() == 0.0
