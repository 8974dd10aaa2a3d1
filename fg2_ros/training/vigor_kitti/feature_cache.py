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

"""A disk cache of the features of a frozen backbone."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from fg2_ros.files import replacing
from fg2_ros.network.fg2 import FG2Network
import numpy as np
import torch
from torch import nn, Tensor

_logger = logging.getLogger(__name__)


class FeatureCache:
    """
    A folder of token maps in half precision, one file an image.

    An image is known by its pixels: files that are renamed, resized or rolled are never mistaken
    for one another, and the aerial image that several panoramas share is kept once. It holds
    10.7 MB of a VIGOR panorama and 4.1 MB of its aerial image.

    :param folder: may be shared by runs, backbones and processes.
    :param backbone: tells backbones apart; see `backbone_hash`.
    """

    def __init__(self, folder: Path, backbone: str):
        self.folder = folder / backbone[:16]
        self.is_full = False

    def path(self, image: np.ndarray) -> Path:
        """Return the file of an (h, w, 3) uint8 image."""
        content = np.ascontiguousarray(image)
        digest = hashlib.sha256(repr(content.shape).encode() + content.data).hexdigest()
        return self.folder / digest[:2] / f'{digest[2:]}.npy'

    def read(self, path: Path) -> Tensor | None:
        """Return the (C, h, w) float16 map of a file; None if it is missing or damaged."""
        try:
            features = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            _logger.warning('%s is damaged and made anew: %s', path, error)
            return None
        return torch.from_numpy(features)

    def write(self, path: Path, features: Tensor) -> None:
        """Keep a map: complete or, when the disk is full, not at all and nothing further."""
        if self.is_full:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, open(partial, 'wb') as file:
                np.save(file, features.cpu().numpy())
        except OSError as error:
            self.is_full = True
            _logger.warning('no more features are kept on disk: %s', error)


def backbone_modules(network: FG2Network) -> dict[str, nn.Module]:
    """Return the one or two backbones of a network by the names their tensors begin with."""
    both = {'backbone': network.backbone, 'aerial_backbone': network.aerial_backbone}
    return {name: module for name, module in both.items() if module is not None}


def backbone_hash(network: FG2Network) -> str:
    """Return the SHA-256 of the names and values of the backbone's tensors."""
    digest = hashlib.sha256()
    for prefix, module in backbone_modules(network).items():
        for name, tensor in module.state_dict().items():
            digest.update(f'{prefix}.{name}'.encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
