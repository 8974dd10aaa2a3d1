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

"""Scores, the dual softmax, and the aerial grid."""

from fg2_ros.network.matching import dual_softmax, match_scores, Matching, resize_map
import pytest
import torch


def with_real_dustbins(scores, dustbin):
    """Return the dual softmax of an extended matrix, as it is defined."""
    batch, rows, columns = scores.shape
    extended = torch.full((batch, rows + 1, columns + 1), dustbin)
    extended[:, :-1, :-1] = scores
    return (extended.softmax(dim=1) * extended.softmax(dim=2))[:, :-1, :-1]


@pytest.mark.parametrize('dustbin', [-3.0, 1.0, 25.0])
def test_dual_softmax_has_dustbins(dustbin):
    torch.manual_seed(4)
    scores = torch.rand(2, 30, 20) * 20 - 10
    found, log_partition = dual_softmax(scores, torch.tensor(dustbin))
    torch.testing.assert_close(found, with_real_dustbins(scores, dustbin), rtol=1e-4, atol=0)
    torch.testing.assert_close(log_partition, scores.logsumexp(1))


def test_invisible_cells_match_nothing_and_gradients_stay_finite():
    aerial, ground = torch.randn(1, 9, 4, requires_grad=True), torch.randn(1, 6, 4)
    visible = torch.tensor([[True, False, True, True, False, True]])
    scores = match_scores(aerial, ground, temperature=0.1, visible=visible)
    assert torch.equal(scores == -torch.inf, ~visible[:, None].expand(-1, 9, -1))
    matching = Matching(scores, torch.tensor(1.0), torch.zeros(1, 2, 3), visible)
    assert (matching.probabilities[..., ~visible[0]] == 0).all()
    matching.probabilities.sum().backward()
    assert aerial.grad.isfinite().all()


def test_scores_are_cosines_over_the_temperature():
    descriptor = torch.nn.functional.normalize(torch.randn(1, 4, 8), dim=-1)
    scores = match_scores(descriptor, descriptor, temperature=0.1)
    torch.testing.assert_close(scores.diagonal(dim1=1, dim2=2), torch.full((1, 4), 10.0))


def test_points_sampling_hits_the_grid_where_resizing_does_not():
    width = 64
    position = (torch.arange(width) + 0.5) / width  # of the token centres, 0 to 1 over the patch
    ramp = position.expand(1, 1, width, width)
    inner = slice(2, -2)  # the outermost tokens end half a token before the edge
    exact = torch.linspace(0, 1, 41)
    torch.testing.assert_close(
        resize_map(ramp, 41, 'points')[0, 0, 20, inner], exact[inner], atol=1e-5, rtol=0)
    shrunk = resize_map(ramp, 41, 'resize')[0, 0, 20]
    torch.testing.assert_close(
        shrunk[inner], ((torch.arange(41) + 0.5) / 41)[inner], atol=1e-5, rtol=0)
