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
The BEV queries that published checkpoints lack.

A head trained on a GPU was saved without its queries: there they were a plain tensor that stayed
at its random initial value. That value follows from seed 0 and from what the construction of the
backbone, a DINOv2 ViT-L/14, draws before it. The same draws are made here and thrown away.
"""

from __future__ import annotations

import hashlib
import logging

from fg2_ros.network import dinov2
import torch
from torch import nn, Tensor

SHA256 = {  # shape: of the float32 bytes
    (41, 41, 1024): 'fb724880a5feea3d868928886deadcc6cf5f2922c5d8c41c77f559f40fc45a05',
    (21, 41, 1024): 'e0c941e0b23c78bceb7423def4fd8a88e28bc4e50acabdb73b4928b8147e0a26'}

_logger = logging.getLogger(__name__)


def reproduce_queries(shape: tuple[int, int, int]) -> Tensor:
    """
    Return the (rows, columns, C) queries of a published head; takes several seconds.

    :raises ValueError: if no published head has queries of this shape, or if this version of
        torch draws other random numbers.
    """
    if shape not in SHA256:
        raise ValueError(f'no published head has queries of shape {shape}')
    _logger.info('the checkpoint lacks its queries: making the ones it was trained with')
    with torch.random.fork_rng(devices=[]), torch.device('cpu'):
        torch.manual_seed(0)
        _draw_backbone('dinov2_vitl14')
        queries = torch.rand(shape)
    if hashlib.sha256(queries.numpy().tobytes()).hexdigest() != SHA256[shape]:
        raise ValueError(
            f'torch {torch.__version__} draws other random numbers than the checkpoint was '
            'trained with: add its queries to the checkpoint with another version')
    return queries


def _draw_backbone(name: str) -> None:
    """Draw the random numbers of a DINOv2's initialisation, in its order."""
    channels, blocks = dinov2.SIZES[name]
    layers = blocks * (  # inputs and outputs
        (channels, 3 * channels), (channels, channels), (channels, 4 * channels),
        (4 * channels, channels))
    nn.Conv2d(3, channels, dinov2.PATCH_PX)
    for inputs, outputs in layers:
        nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(torch.empty(1, dinov2.PRETRAINED_GRID**2 + 1, channels), std=0.02)
    nn.init.normal_(torch.empty(1, 1, channels), std=1e-6)
    for inputs, outputs in layers:
        nn.init.trunc_normal_(torch.empty(outputs, inputs), std=0.02)
