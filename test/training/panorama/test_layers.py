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

"""The layers are where the city has its things, and can be learned."""

from fg2_ros.simulation.city import City
from fg2_ros.simulation.layers import city_layers, coverage_at, NAMES, RESOLUTION_M
from fg2_ros.simulation.rasters import HALF_SIZE_M
from fg2_ros.training.panorama.layers import LayerReader
import numpy as np
import torch
import torch.nn.functional as F


def test_layers_cover_the_citys_things():
    city = City(3)
    layers = city_layers(city)
    assert layers.shape == (round(2 * HALF_SIZE_M / RESOLUTION_M),) * 2

    def at(place_m) -> set[str]:
        column = int((place_m[0] + HALF_SIZE_M) / RESOLUTION_M)
        row = int((HALF_SIZE_M - place_m[1]) / RESOLUTION_M)
        if not (0 <= row < len(layers) and 0 <= column < len(layers)):
            return set(NAMES)  # beyond the map nothing can be missing
        return {name for bit, name in enumerate(NAMES) if layers[row, column] >> bit & 1}
    assert all('building' in at(building.centre) for building in city.buildings)
    assert all('crown' in at(tree.position) for tree in city.trees)
    assert all('post' in at(post.position) for post in city.posts)
    middles = [road.polyline[len(road.polyline) // 2] for road in city.roads]
    assert np.mean(['street' in at(middle) for middle in middles]) > 0.9
    exclusive = [NAMES.index(name) for name in ('street', 'pavement', 'paved', 'green')]
    assert (sum(layers >> bit & 1 for bit in exclusive) == 1).all()


def test_coverage_is_the_share_of_a_cell():
    layers = np.zeros((40, 40), np.uint8)
    layers[:, 20:] = 1 << NAMES.index('building')
    columns = np.array([[5.0, 17.0, 19.5, 22.0, 35.0, 100.0]])
    found = coverage_at(layers, columns, np.full((1, 6), 20.0), 5.0)[0]
    assert np.abs(found[:, NAMES.index('building')] / 255 - [0, 0, 0.5, 1, 1, 0]).max() < 0.02
    assert not np.delete(found, NAMES.index('building'), axis=1).any()


def test_reader_learns_layers_that_the_descriptors_hold():
    torch.manual_seed(0)
    cells = F.normalize(torch.randn(2, 81, 16), dim=-1)
    coverage = (torch.stack([cells, cells], 1)[..., :len(NAMES)] > 0).byte() * 255
    reader = LayerReader(16, torch.randn(81, 2) * 10)
    optimizer = torch.optim.Adam(reader.parameters(), 0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(reader(cells, cells, coverage, torch.ones(2)))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_only_samples_whose_layers_are_known_count():
    torch.manual_seed(0)
    cells = F.normalize(torch.randn(2, 81, 16), dim=-1).requires_grad_()
    coverage = torch.randint(0, 256, (2, 2, 81, len(NAMES)), dtype=torch.uint8)
    reader = LayerReader(16, torch.randn(81, 2) * 10)
    loss = reader(cells, cells, coverage, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(
        loss, reader(cells[1:], cells[1:], coverage[1:], torch.ones(1)))
    gradient, = torch.autograd.grad(loss, cells)
    assert not gradient[0].any() and gradient[1].any()
    assert reader(cells, cells, coverage, torch.zeros(2)) == 0
