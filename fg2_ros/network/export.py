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
Networks as ONNX: one file for the ground image, one for the aerial patch, both with fixed shapes.

Descriptors come out of either; their products over the temperature are the scores. What runs the
files (ONNX Runtime, TensorRT) needs nothing of this package.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
import logging
from pathlib import Path
from typing import Iterator
import warnings

from fg2_ros.network.attention import DeformableAttention
from fg2_ros.network.fg2 import FG2Network
import torch
from torch import nn, Tensor

OPSET = 20  # GridSample as TensorRT and ONNX Runtime know it
PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
TOLERANCE = 1e-3  # of the exported descriptors, which have unit length
LARGEST_FILE = 1.8e9  # bytes of weights; protobuf ends at 2 GiB


class GroundBranch(nn.Module):
    """
    A ground image to what is matched of it.

    For panoramas: (1, 3, H, W) image in [0, 1] to (1, cells, d) descriptors and (1, rows, columns)
    int32 height indices. For pinhole cameras there are also the (1, 3, 3) intrinsics, and what
    comes out tells which (1, cells) are visible.
    """

    def __init__(self, network: FG2Network):
        super().__init__()
        self.network = network
        self.is_pinhole = network.config.camera == 'pinhole'

    def forward(self, image: Tensor, camera_k: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return descriptors, height indices and, of a pinhole camera, visibility."""
        ground = self.network.ground_descriptors(self.network.ground_tokens(image), camera_k)
        height_index = ground.height_index.int()
        if self.is_pinhole:
            return ground.descriptors, height_index, ground.visible
        return ground.descriptors, height_index


class AerialBranch(nn.Module):
    """An aerial patch, (1, 3, H, W) in [0, 1], to its (1, cells, d) descriptors."""

    def __init__(self, network: FG2Network):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Return the descriptors."""
        return self.network.aerial_descriptors(self.network.aerial_tokens(image)),


@dataclass(frozen=True)
class Branch:
    """
    A part of a network to be exported.

    :param inputs: by name, examples in their fixed shapes.
    :param outputs: their names.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def branches_of(network: FG2Network) -> list[Branch]:
    """Return both branches of a network, which samples as ONNX can from now on."""
    for module in network.modules():
        if isinstance(module, DeformableAttention):
            module.sparse = False
    generator = torch.Generator().manual_seed(0)
    ground, aerial = (
        {'image': torch.rand(1, 3, *hw, generator=generator)}
        for hw in (network.config.ground_image_hw, network.config.aerial_image_hw))
    outputs: tuple[str, ...] = 'descriptors', 'height_index'
    if network.config.camera == 'pinhole':
        height, width = network.config.ground_image_hw
        ground['camera_k'] = torch.tensor(
            [[[0.6 * width, 0, width / 2], [0, 0.6 * width, height / 2], [0, 0, 1]]])
        outputs += 'visible',
    return [Branch('ground', GroundBranch(network), ground, outputs),
            Branch('aerial', AerialBranch(network), aerial, outputs[:1])]


def require_packages() -> None:
    """Raise ValueError with a sentence unless the packages for exports are installed."""
    missing = [name for name in PACKAGES if not find_spec(name)]
    if missing:
        raise ValueError(
            f'exports need the packages {", ".join(missing)}: '
            'pip install -r requirements/export.txt')


@torch.no_grad()
def export_onnx(branch: Branch, path: Path) -> float:
    """
    Write a branch in float32; return how far ONNX Runtime's descriptors are from the network's.

    :raises ValueError: if they are further apart than rounding explains.
    """
    module, inputs = branch.module.eval(), tuple(branch.inputs.values())
    expected = module(*inputs)  # also makes what depends on the image's size only
    size = sum(parameter.nbytes for parameter in module.parameters())
    with _quiet():
        torch.onnx.export(
            module, inputs, path, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=list(branch.inputs), output_names=list(branch.outputs),
            external_data=size > LARGEST_FILE)
    difference = _difference(branch, path, expected)
    if not difference <= TOLERANCE:
        raise ValueError(
            f'the exported {branch.name} branch differs from the network by {difference:.2g}')
    return difference


def _difference(branch: Branch, path: Path, expected: tuple[Tensor, ...]) -> float:
    """Return the largest difference between descriptors, of unit length."""
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    found, = session.run(
        ['descriptors'], {name: value.numpy() for name, value in branch.inputs.items()})
    return float((torch.from_numpy(found) - expected[0]).abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about itself from the user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)
