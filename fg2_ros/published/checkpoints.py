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

"""Loading published checkpoints under their authors' tensor names."""

from __future__ import annotations

from collections.abc import Mapping
import re

from fg2_ros.network import FG2Network
from fg2_ros.network.weights import require_shapes, shapes_of
from fg2_ros.published.names import official_names, QUERIES, unused_shapes
from fg2_ros.published.queries import reproduce_queries, SHA256
from torch import Tensor

_CHUNK = re.compile(r'^blocks\.\d+\.(?=\d+\.)')  # DINOv2's training numbers blocks within chunks


def load_reference_head(network: FG2Network, state_dict: Mapping[str, Tensor]) -> None:
    """
    Load an official head, a state dict under its authors' names; all or nothing.

    The queries which checkpoints trained on a GPU lack are made as they were in training.

    :raises ValueError: naming every tensor that is missing, extra or of another shape.
    """
    network.load_state_dict(
        head_tensors(network, state_dict, 'the reference head'), strict=False)


def load_reference_backbone(network: FG2Network, state_dict: Mapping[str, Tensor]) -> None:
    """
    Load a DINOv2 backbone, a state dict under DINOv2's names.

    :raises ValueError: naming every tensor that is missing, extra or of another shape.
    """
    network.backbone.load_state_dict(
        backbone_tensors(network, state_dict, 'the reference backbone'))


def head_tensors(
        network: FG2Network, state_dict: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """
    Return the tensors of an official head under their names in the network.

    :param network: says which ones it has; its own weights are not used.
    :param source: what messages call the state dict.
    :raises ValueError: naming every tensor that is missing, extra or of another shape.
    """
    names = official_names(network)
    own = network.state_dict()
    shapes = {official: own[name].shape for official, name in names.items()}
    shapes |= unused_shapes(network)
    given = dict(state_dict)
    if QUERIES not in given and shapes[QUERIES] in SHA256:
        require_shapes(shapes, shapes_of(given) | {QUERIES: shapes[QUERIES]}, source)
        given[QUERIES] = reproduce_queries(shapes[QUERIES])
    require_shapes(shapes, shapes_of(given), source)
    return {name: given[official] for official, name in names.items()}


def backbone_tensors(
        network: FG2Network, state_dict: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the tensors of a DINOv2 under their names in its module; see `head_tensors`."""
    given = {_CHUNK.sub('blocks.', name): tensor for name, tensor in state_dict.items()}
    require_shapes(shapes_of(network.backbone.state_dict()), shapes_of(given), source)
    return given
