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

"""The queries that published checkpoints lack, made again bit by bit."""

import hashlib

from fg2_ros.published.queries import reproduce_queries
import pytest
import torch

FIRST = (0.9837028, 0.53005344, 0.81148326, 0.9270982, 0.8349897, 0.12164515)


@pytest.mark.parametrize('shape, sha256', [
    ((41, 41, 1024), 'fb724880a5feea3d868928886deadcc6cf5f2922c5d8c41c77f559f40fc45a05'),
    ((21, 41, 1024), 'e0c941e0b23c78bceb7423def4fd8a88e28bc4e50acabdb73b4928b8147e0a26')],
    ids=['vigor', 'kitti'])
def test_queries_are_the_published_ones(shape, sha256):
    """And whoever draws random numbers goes on as if nothing had been drawn."""
    state = torch.get_rng_state()
    queries = reproduce_queries(shape)
    assert queries.shape == shape and queries.dtype == torch.float32
    assert queries.flatten()[:6].tolist() == pytest.approx(FIRST, abs=1e-7)
    assert hashlib.sha256(queries.numpy().tobytes()).hexdigest() == sha256
    assert torch.equal(torch.get_rng_state(), state)


def test_other_queries_were_never_published():
    with pytest.raises(ValueError, match=r'no published head .*\(9, 9, 64\)'):
        reproduce_queries((9, 9, 64))
