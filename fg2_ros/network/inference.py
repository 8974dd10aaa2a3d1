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

"""Rewrites of a trained network that make its forward pass faster and change no result."""

from __future__ import annotations

from functools import cache
import logging
from typing import Any, Callable

from fg2_ros.network.cnn import ConvNorm
from fg2_ros.network.descriptors import BasicBlock
from fg2_ros.network.dinov2 import DinoV2
from fg2_ros.network.fg2 import FG2Network
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_logger = logging.getLogger(__name__)
COMPILED = ('ground_tokens', 'aerial_tokens', 'ground_descriptors', 'aerial_descriptors')


def optimise_for_inference(network: FG2Network) -> FG2Network:
    """
    Fold batch normalisation into the convolutions before it, in place; outputs stay the same.

    The network's tensors have other names afterwards: it can be neither trained nor saved.

    :return: the network, in evaluation mode.
    """
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, ConvNorm):
            _fold(module, 'conv', 'norm')
        elif isinstance(module, BasicBlock):
            _fold(module, 'conv1', 'bn1')
            _fold(module, 'conv2', 'bn2')
    return network


def compile_for_inference(
        network: FG2Network, backend: str | Callable = 'inductor') -> FG2Network:
    """
    Let `torch.compile` make code of a network's stages when each is first called, in place.

    A stage that cannot be compiled here (there is no compiler, or torch refuses to) runs as it
    is; the log says so, once.

    :return: the network.
    """
    stages = _Stages(network, backend)
    for name in COMPILED:
        setattr(network, name, stages.compiled(name))
    return network


class _Stages:
    """The stages of a network, compiled until that fails."""

    def __init__(self, network: FG2Network, backend: str | Callable):
        self._network, self._backend, self._works = network, backend, True

    def compiled(self, name: str) -> Callable[..., Any]:
        plain = getattr(self._network, name)

        @cache
        def fast():
            return torch.compile(plain, dynamic=False, backend=self._backend)

        def stage(*inputs):
            if self._works:
                try:
                    return fast()(*inputs)
                except Exception as error:  # noqa: B902, for backends raise whatever they like
                    result = plain(*inputs)  # raises if the inputs are at fault
                    self._works = False
                    _logger.warning('the network runs uncompiled: %s', _first_line(error))
                    return result
            return plain(*inputs)
        return stage


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def share_backbone(network: FG2Network, other: FG2Network) -> None:
    """Let a network use the frozen backbone of another if theirs are equal: half the memory."""
    mine, theirs = network.backbone, other.backbone
    if isinstance(mine, DinoV2) and network.config.backbone == other.config.backbone and all(
            torch.equal(*pair) for pair in zip(mine.parameters(), theirs.parameters())):
        network.backbone = theirs


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    if isinstance(getattr(module, norm), nn.Identity):
        return  # folded before
    fused = fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
    setattr(module, conv, fused.to(memory_format=torch.channels_last))
    setattr(module, norm, nn.Identity())
