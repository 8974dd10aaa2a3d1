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

"""Projection of the lifted points, and height selection."""

from dataclasses import replace
from test.helpers import reference_weights

from fg2_ros.network import FG2Config
from fg2_ros.network.lifting import (
    grid_points, GroundLifting, project_to_panorama, project_to_pinhole, RefinementStage)
import pytest
import torch

SMALL = replace(
    FG2Config.preset('sim'), channels=16, grid_cells=7, height_count=3, feedforward_channels=8)


def test_panorama_projection_equals_the_reference():
    expected = reference_weights.expected('panorama_projection')
    relative = project_to_panorama(grid_points(FG2Config.preset('vigor')))
    column, row = relative.view(41, 41, 11, 2)[::4, ::4].unbind(-1)
    torch.testing.assert_close(column, expected['col'], atol=1e-9, rtol=0)
    torch.testing.assert_close(row, expected['row'], atol=1e-9, rtol=0)


def test_pinhole_projection():
    camera_k = torch.tensor([[[100.0, 0, 60], [0, 100.0, 20], [0, 0, 1]]])
    points = torch.tensor([
        [[-10.0, 2.0, 1.0], [-10.0, 2.0, -9.0]],  # ahead, right: above the axis and too low
        [[-10.0, 9.0, 0.0], [-10.0, -9.0, 0.0]],  # outside on either side
        [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]])  # beside the camera and in it
    relative, visible = project_to_pinhole(points, camera_k, (40, 120))
    torch.testing.assert_close(relative[0, 0, 0], torch.tensor([80 / 120, 10 / 40]))
    assert relative.isfinite().all()
    assert visible.tolist() == [[True, False, False]]


def test_pinhole_projection_keeps_its_precision_under_autocast():
    camera_k = torch.tensor([[[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1]]])
    config = FG2Config.preset('kitti')
    inputs = grid_points(config).float(), camera_k, config.ground_image_hw
    expected, expected_visible = project_to_pinhole(*inputs)
    with torch.autocast('cpu', torch.bfloat16):
        relative, visible = project_to_pinhole(*inputs)
    torch.testing.assert_close(relative, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(visible, expected_visible)


def test_points_start_ahead_on_the_left_below():
    points = grid_points(FG2Config.preset('kitti'))
    assert points.shape == (21 * 41, 11, 3)
    assert points[0, 0].tolist() == [-49.5, -49.5, -12.5]
    assert points[-1, -1].tolist() == [0.0, 49.5, 12.5]


@torch.no_grad()
def test_height_selection_equals_attending_once_a_height():
    torch.manual_seed(2)
    stage = RefinementStage(SMALL)
    torch.nn.init.normal_(stage.cross_attention.output_proj.bias)
    bev, tokens = torch.randn(2, 49, 16), torch.randn(2, 16, 6, 12)
    columns = torch.rand(49, 3, 2)
    pooled, height_index = stage.select_height(bev, tokens, columns)
    features = torch.stack([
        stage.cross_attention(bev, tokens, columns[:, k]) for k in range(3)], dim=2)
    scores = stage.height_score(features)[..., 0]
    expected = (scores.softmax(dim=-1)[..., None] * features).sum(dim=2)
    torch.testing.assert_close(
        stage.cross_attention.attend(pooled, bev), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(height_index, scores.argmax(dim=-1))


def without_offsets(config):
    """Return a lifting whose attention looks exactly where the points project."""
    lifting = GroundLifting(config)
    for stage in lifting.stages:
        torch.nn.init.zeros_(stage.cross_attention.sampling_offsets.bias)
    return lifting


@pytest.mark.parametrize('wrap, seamless', [(0, False), (4, True)])
@torch.no_grad()
def test_wrapped_panorama_has_no_seam_behind_the_camera(wrap, seamless):
    config = replace(SMALL, panorama_wrap_tokens=wrap)
    lifting = without_offsets(config)
    tokens, columns, _ = lifting.projections(torch.ones(1, 16, 8, 16), None)
    attention = lifting.stages[0].cross_attention
    gathered = attention.gather(torch.zeros(1, 49, 16), tokens, columns)
    middle = gathered[0, :, 1]  # neither zenith nor nadir
    behind, ahead = middle[:, 6 * 7 + 3], middle[:, 3]
    assert torch.allclose(behind, ahead, atol=1e-5) == seamless


@torch.no_grad()
def test_wrapping_keeps_where_points_project():
    column = torch.arange(16).expand(1, 16, 8, 16) / 16
    places = []
    for wrap in (0, 4):
        lifting = without_offsets(replace(SMALL, panorama_wrap_tokens=wrap))
        lifting.stages[0].cross_attention.value_proj.weight.copy_(torch.eye(16))
        tokens, columns, _ = lifting.projections(column, None)
        gathered = lifting.stages[0].cross_attention.gather(
            torch.zeros(1, 49, 16), tokens, columns)
        places.append(gathered[0, :, 1].view(16, 7, 7)[:, :3])  # ahead, far from the seam
    torch.testing.assert_close(*places)


def test_grids_stay_exact_in_half_precision():
    lifting = GroundLifting(SMALL)
    exact = lifting.panorama_columns.clone()
    lifting.to(torch.bfloat16)
    assert lifting.queries.dtype == torch.bfloat16
    assert torch.equal(lifting.panorama_columns, exact)


def test_pinhole_needs_intrinsics():
    lifting = GroundLifting(replace(SMALL, camera='pinhole'))
    with pytest.raises(ValueError, match='intrinsics'):
        lifting(torch.zeros(1, 16, 8, 16))
