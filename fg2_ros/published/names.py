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

"""The authors' tensor names of the network's head."""

from __future__ import annotations

import re

from fg2_ros.network.fg2 import FG2Network
import torch

QUERIES = 'grd_grid_queries'
_VIEWS = {'ground': 'grd', 'aerial': 'sat'}
_NORMS = {'self': 1, 'cross': 2, 'output': 3}
_FEEDFORWARD_LAYERS = {'0': 'layers.0.0', '2': 'layers.1'}
_RULES = (  # a pattern of our names, and the official name of a match
    (r'dustbin_score', lambda: 'dustbin_score'),
    (r'lifting\.queries', lambda: QUERIES),
    (r'lifting\.stages\.(\d+)\.(self|cross)_attention\.(.+)', lambda stage, kind, rest:
        f'grd_attention_{kind}{int(stage) + 1}.grd_attention_{kind}.{rest}'),
    (r'lifting\.stages\.(\d+)\.height_score\.(.+)', lambda stage, rest:
        f'grd_attention_cross{int(stage) + 1}.projector.{rest}'),
    (r'lifting\.stages\.(\d+)\.(\w+)_norm\.(.+)', lambda stage, kind, rest:
        f'grd_layer_norm{int(stage) + 1}{_NORMS[kind]}.{rest}'),
    (r'lifting\.feedforwards\.(\d+)\.(\d)\.(.+)', lambda index, layer, rest:
        f'grd_ffn{index}.{_FEEDFORWARD_LAYERS[layer]}.{rest}'),
    (r'(ground|aerial)_head\.blocks\.(\d+)\.shortcut\.(.+)', lambda view, block, rest:
        f'{_VIEWS[view]}_projector.resblock{int(block) + 1}.shortcut.0.{rest}'),
    (r'(ground|aerial)_head\.blocks\.(\d+)\.(.+)', lambda view, block, rest:
        f'{_VIEWS[view]}_projector.resblock{int(block) + 1}.{rest}'),
    (r'(ground|aerial)_head\.layers\.(.+)', lambda view, rest:
        f'{_VIEWS[view]}_projector.att_layer.layers.{rest}'),
)


def official_names(network: FG2Network) -> dict[str, str]:
    """Return official name -> our name of every tensor of the network's head."""
    last_block = len(network.config.descriptor_widths)
    names = [name for name in network.state_dict() if 'backbone.' not in name]
    return {
        _official_name(name.replace('final_block', f'blocks.{last_block}')): name
        for name in names}


def unused_shapes(network: FG2Network) -> dict[str, torch.Size]:
    """Return the official tensors that exist but act nowhere: feed-forwards no stage uses."""
    used = network.config.ffn_of_iteration
    pattern = network.lifting.feedforwards[str(used[0])].state_dict()
    return {
        _official_name(f'lifting.feedforwards.{index}.{name}'): tensor.shape
        for index in range(1, network.config.iterations + 1) if index not in used
        for name, tensor in pattern.items()}


def _official_name(name: str) -> str:
    for pattern, official in _RULES:
        if match := re.fullmatch(pattern, name):
            return official(*match.groups())
    raise AssertionError(f'no official name for {name}')
