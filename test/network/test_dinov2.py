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

"""DINOv2 against outputs of the published implementation."""

from test.helpers import reference_weights

from fg2_ros.network.dinov2 import DinoV2
import numpy as np
import pytest
import torch


def backbone(name):
    network = DinoV2(name).eval()
    network.load_state_dict({
        key: reference_weights.tensor(key, value.shape)
        for key, value in network.state_dict().items()})
    return network


@pytest.fixture(scope='module')
def small():
    return backbone('dinov2_vits14')


@pytest.fixture(scope='module')
def large():
    return backbone('dinov2_vitl14')


@torch.inference_mode()
def assert_same_tokens(network, reference):
    expected = reference_weights.expected(reference)
    shape = (1, 3, *expected['image_hw'].tolist())
    image = np.random.default_rng(5).uniform(0, 1, shape).astype(np.float32)
    tokens = network(torch.from_numpy(image))
    assert tokens.shape[2:] == (shape[2] // 14, shape[3] // 14)
    flat = tokens.flatten(2).transpose(1, 2)
    torch.testing.assert_close(flat[:, ::7], expected['tokens'], atol=2e-3, rtol=0)
    torch.testing.assert_close(flat.std(), expected['token_std'], atol=1e-4, rtol=0)


@pytest.mark.parametrize('reference', ['dinov2_small', 'dinov2_small_sat'])
def test_small_tokens(small, reference):
    assert_same_tokens(small, reference)


def test_large_tokens(large):
    assert len(large.state_dict()) == 343
    assert_same_tokens(large, 'dinov2_large')


def test_large_position_embedding(large):
    expected = reference_weights.expected('dinov2_large_pos_embed')
    for name, (rows, columns) in {'ground': (51, 102), 'aerial': (45, 45)}.items():
        found = large.position_embedding(rows, columns)[0, ::97, :64]
        torch.testing.assert_close(found, expected[name], atol=1e-6, rtol=0)


def test_position_embedding_is_made_once_a_size_and_anew_for_other_weights():
    network = DinoV2('dinov2_vits14')
    first = network.position_embedding(9, 9)
    network.position_embedding(9, 18)
    assert network.position_embedding(9, 9) is first
    network.load_state_dict({
        name: value + 1 for name, value in network.state_dict().items()})
    torch.testing.assert_close(network.position_embedding(9, 9), first + 1)


def test_backbone_is_frozen(small):
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_image_of_broken_patches_is_refused(small):
    with pytest.raises(ValueError, match='30 x 28 .* multiples of 14'):
        small(torch.zeros(1, 3, 28, 30))
