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

"""
Weights and inputs of the reference outputs in ``data/reference``.

Every tensor is a function of its official name and shape, so none of them has to be stored.
"""

from dataclasses import replace
import json
import math
from test.helpers.paths import REFERENCE
import zlib

from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.published.checkpoints import load_reference_head
import numpy as np
import torch


def values(name, shape):
    """Return the reference values of the tensor with an official name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    rules = (
        ('num_batches_tracked', lambda: np.zeros(shape, np.int64)),
        ('running_var', lambda: rng.uniform(0.5, 1.5, shape)),
        ('running_mean', lambda: 0.1 * rng.standard_normal(shape)),
        ('dustbin_score', lambda: np.ones(shape)),
        ('grd_grid_queries', lambda: rng.uniform(0, 1, shape)),
        ('sampling_offsets.bias', lambda: 2 * rng.standard_normal(shape)),
    )
    for ending, rule in rules:
        if name.endswith(ending):
            return rule()
    if len(shape) >= 2:
        return rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    if name.endswith('.weight'):
        return 1 + 0.1 * rng.standard_normal(shape)
    return 0.1 * rng.standard_normal(shape)


def tensor(name, shape):
    """Return the reference tensor with an official name."""
    array = values(name, tuple(shape))
    return torch.as_tensor(array if array.dtype == np.int64 else array.astype(np.float32))


def official_shapes(preset):
    """Return official name -> shape of a published head."""
    return json.loads((REFERENCE / f'{preset}_state_dict_shapes.json').read_text())


def narrow_shapes(preset, grid_cells, channels):
    """Return the official shapes for another grid and another width of the tokens."""
    config = replace(FG2Config.preset(preset), grid_cells=grid_cells)
    shapes = {
        name: [channels if size == 1024 and not _is_hidden(name, axis) else size
               for axis, size in enumerate(shape)]
        for name, shape in official_shapes(preset).items()}
    return shapes | {'grd_grid_queries': [config.ground_rows, grid_cells, channels]}


def _is_hidden(name, axis):
    """Return whether an axis of size 1024 is the hidden layer of a feed-forward."""
    if not name.startswith('grd_ffn'):
        return False
    return 'layers.0.0' in name and axis == 0 or name.endswith('layers.1.weight') and axis == 1


def head(preset, shapes, **changes):
    """Return a network of a preset, with changed fields, whose head has reference weights."""
    config = replace(FG2Config.preset(preset), backbone='cnn', **changes)
    network = FG2Network(config).eval()
    load_reference_head(network, {name: tensor(name, shape) for name, shape in shapes.items()})
    return network


def tokens(seed, shape):
    """Return a reference input."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def expected(name):
    """Return the arrays of a reference file as tensors."""
    with np.load(REFERENCE / f'{name}.npz') as file:
        return {key: torch.as_tensor(file[key]) for key in file}
