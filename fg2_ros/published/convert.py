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

"""Conversion of published checkpoints, head and backbone, into one weights file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fg2_ros.files import sha256_of
from fg2_ros.network import dinov2, FG2Config, FG2Network
from fg2_ros.network.weights import network_without_weights, save_tensors
from fg2_ros.published.checkpoints import backbone_tensors, head_tensors
from fg2_ros.published.files import read_state_dict
from fg2_ros.published.names import QUERIES, unused_shapes
from fg2_ros.version import __version__
import torch
from torch import Tensor

DATA_SETS = {'vigor': 'VIGOR', 'kitti': 'KITTI'}  # that the published heads were trained on
UNUSED_BY_DINOV2 = 'mask_token'  # needed in its training only
LICENCE_NOTE = (
    'A note to check, no legal advice: the licence of the package that made this file does not '
    'cover these weights; they stay under the terms of those who trained them. To our knowledge '
    'the authors of FG2 publish their code and heads in a repository under GPL-3.0, and Meta '
    'publishes the DINOv2 backbones under Apache-2.0. Check both at the source before you pass '
    'the file on.')


@dataclass(frozen=True)
class Conversion:
    """
    What became of two checkpoints.

    :param config: of the network.
    :param metadata: that the file carries.
    :param tensors: how many it holds.
    """

    config: FG2Config
    metadata: dict
    tensors: int


def published_config(preset: str, backbone: str = '') -> FG2Config:
    """
    Return the configuration of a published network, with another DINOv2 if one is named.

    :raises ValueError: if there is no such preset or backbone.
    """
    if preset not in DATA_SETS:
        raise ValueError(f'no published network {preset!r}: choose from {", ".join(DATA_SETS)}')
    config = FG2Config.preset(preset)
    backbone = backbone or config.backbone
    if backbone not in dinov2.SIZES:
        raise ValueError(f'no backbone {backbone!r}: choose from {", ".join(dinov2.SIZES)}')
    return replace(config, backbone=backbone, channels=dinov2.SIZES[backbone][0])


def convert(
        head: str | Path, backbone: str | Path, config: FG2Config,
        out: str | Path) -> Conversion:
    """
    Write one self-contained file of an official head and a DINOv2, both as `torch.save` left them.

    The tensors go from file to file without being held in memory.

    :param config: of the network; see `published_config`.
    :param out: of the safetensors file; its folder is made.
    :raises ValueError: if a checkpoint cannot be used; every tensor at fault is named.
    """
    head, backbone, out = Path(head), Path(backbone), Path(out)
    if out.exists() and any(out.samefile(source) for source in (head, backbone)):
        raise ValueError(f'{out} would replace a checkpoint that it is made of')
    head_file, backbone_file = read_state_dict(head), read_state_dict(backbone)
    network = network_without_weights(config)
    in_backbone = backbone_tensors(network, backbone_file, str(backbone))
    tensors = head_tensors(network, head_file, str(head)) | {
        f'backbone.{name}': tensor for name, tensor in in_backbone.items()}
    _require_finite(tensors)
    metadata = {
        'trained_on': DATA_SETS.get(config.name, config.name),
        'converter': f'fg2_ros {__version__}',
        'origin': {'head': origin_of(head), 'backbone': origin_of(backbone)},
        'queries': 'of the checkpoint' if QUERIES in head_file else 'made as in training',
        'unused': unused_tensors(network), 'licence_note': LICENCE_NOTE}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(tensors, config, out, metadata)
    return Conversion(config, metadata, len(tensors))


def unused_tensors(network: FG2Network) -> list[str]:
    """Return the official names of the tensors that act nowhere in the network."""
    return sorted([*unused_shapes(network), UNUSED_BY_DINOV2])


def _require_finite(tensors: dict[str, Tensor]) -> None:
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(
            f'the checkpoints hold numbers that are not finite, in {", ".join(sorted(broken))}')


def origin_of(path: Path) -> dict[str, str]:
    """Return what tells later which file it was; no folder, which may say too much."""
    return {'file': path.name, 'sha256': sha256_of(path)}
