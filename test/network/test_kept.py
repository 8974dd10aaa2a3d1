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

"""Descriptors that are kept for the next time."""

from dataclasses import replace

from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.kept import keep_descriptors
import pytest
import torch

CONFIG = replace(
    FG2Config.preset('sim'), ground_image_hw=(32, 64), aerial_image_hw=(32, 32), grid_cells=5)


def network_of(seed=6):
    """Return a network whose weights are drawn by a seed."""
    torch.manual_seed(seed)
    return optimise_for_inference(FG2Network(CONFIG))


def images(seed=7):
    """Return a panorama and an aerial patch."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 3, 32, 64, generator=generator),
            torch.rand(1, 3, 32, 32, generator=generator))


def counted(network):
    """Return the network and a list that grows with each image that it describes."""
    described = []
    for name in ('ground_descriptors', 'aerial_descriptors'):
        def stage(*given, plain=getattr(network, name), name=name):
            described.append(name)
            return plain(*given)
        setattr(network, name, stage)
    return network, described


def matched(network, *given):
    """Return what the network makes of two images."""
    with torch.inference_mode():
        return network(*given)


def test_what_is_kept_is_what_would_be_found(tmp_path):
    """But for the half precision; the height of each cell and whether it is seen are kept too."""
    plain = matched(network_of(), *images())
    kept = matched(keep_descriptors(network_of(), tmp_path), *images())
    torch.testing.assert_close(kept.scores, plain.scores, atol=0.05, rtol=0)
    assert kept.scores.dtype == plain.scores.dtype
    for name in ('height_index', 'visible'):
        assert torch.equal(getattr(kept, name), getattr(plain, name))
        assert getattr(kept, name).dtype == getattr(plain, name).dtype


def test_the_same_images_are_described_once(tmp_path):
    """Also by another program; and the first time gives the same as every other, exactly."""
    network, described = counted(network_of())
    keep_descriptors(network, tmp_path)
    first, second = (matched(network, *images()).scores for _ in range(2))
    assert torch.equal(first, second)
    assert described == ['ground_descriptors', 'aerial_descriptors']
    again, described = counted(network_of())
    assert torch.equal(matched(keep_descriptors(again, tmp_path), *images()).scores, first)
    assert not described


@pytest.mark.parametrize('seed, pair', [(6, 8), (9, 7)])
def test_other_images_and_other_weights_find_nothing(tmp_path, seed, pair):
    """They are described themselves."""
    matched(keep_descriptors(network_of(), tmp_path), *images())
    network, described = counted(network_of(seed))
    plain = matched(network_of(seed), *images(pair)).scores
    found = matched(keep_descriptors(network, tmp_path), *images(pair)).scores
    assert len(described) == 2
    torch.testing.assert_close(found, plain, atol=0.05, rtol=0)
