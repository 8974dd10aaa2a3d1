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

"""The head against outputs of the published implementation."""

from test.helpers import reference_weights

import pytest
import torch

NARROW = {'grid_cells': 9, 'height_count': 5, 'channels': 64}


def assert_equals(matching, expected, row_step, column_step):
    scores = matching.scores[:, ::row_step, ::column_step]
    seen = ~expected['score'].isnan()
    assert torch.equal(scores == -torch.inf, ~seen)
    torch.testing.assert_close(scores[seen], expected['score'][seen], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        matching.probabilities[:, ::row_step, ::column_step], expected['match'],
        atol=1e-12, rtol=1e-3)
    torch.testing.assert_close(
        matching.probabilities.sum(dim=(1, 2)), expected['match_sum'], atol=0, rtol=1e-4)


def assert_same_heights(matching, expected):
    same = matching.height_index == expected['height_index']
    assert same.float().mean() >= 0.999


@pytest.mark.parametrize('name, shapes, changes, seeds, batch, step', [
    ('narrow', reference_weights.narrow_shapes('vigor', 9, 64), NARROW, (11, 12), 2, 1),
    ('full', reference_weights.official_shapes('vigor'), {}, (21, 22), 1, 40)])
@torch.inference_mode()
def test_panorama_head(name, shapes, changes, seeds, batch, step):
    network = reference_weights.head('vigor', shapes, **changes)
    channels = network.config.channels
    expected = reference_weights.expected(f'head_vigor_{name}')
    matching = network.head(
        reference_weights.tokens(seeds[0], (batch, channels, 51, 102)),
        reference_weights.tokens(seeds[1], (batch, channels, 45, 45)))
    assert_equals(matching, expected, step, step)
    assert_same_heights(matching, expected)
    assert matching.visible.all()


@pytest.mark.parametrize('name, shapes, changes, seeds, batch, steps', [
    ('narrow', reference_weights.narrow_shapes('kitti', 9, 64), NARROW, (31, 32), 2, (1, 1)),
    ('full', reference_weights.official_shapes('kitti'), {}, (33, 34), 1, (40, 20))])
@torch.inference_mode()
def test_pinhole_head(name, shapes, changes, seeds, batch, steps):
    network = reference_weights.head('kitti', shapes, **changes)
    channels = network.config.channels
    expected = reference_weights.expected(f'head_kitti_{name}')
    matching = network.head(
        reference_weights.tokens(seeds[0], (batch, channels, 26, 88)),
        reference_weights.tokens(seeds[1], (batch, channels, 36, 36)), expected['camera_k'])
    assert_equals(matching, expected, *steps)
    assert torch.equal(matching.visible, expected['visible'])
