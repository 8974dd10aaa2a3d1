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

"""A cache of image descriptors in a folder, for drives that are followed again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fg2_ros.files import replacing
from fg2_ros.network.fg2 import FG2Network
from fg2_ros.network.matching import GroundDescriptors
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]


def keep_descriptors(network: FG2Network, folder: Path) -> FG2Network:
    """
    Let a network keep in a folder what it makes of images, in place; it can no longer be trained.

    Descriptors are kept in half precision, and are used so from the first time on, so that the
    same images always give the same results. Networks with other weights find nothing of it.

    :return: the network.
    """
    whose = _digest(*network.state_dict().values(), about=repr(network.config))
    store = _Store(folder / f'descriptors-{whose}')
    ground_tokens, aerial_tokens = network.ground_tokens, network.aerial_tokens
    ground_descriptors = network.ground_descriptors
    aerial_descriptors = network.aerial_descriptors

    def of_ground(image: Tensor, camera_k: Tensor | None = None) -> GroundDescriptors:
        given = (image,) if camera_k is None else (image, camera_k)
        kept = store.get('ground', given)
        if kept is None:
            made = ground_descriptors(ground_tokens(image), camera_k)
            kept = store.put('ground', given, {
                'descriptors': made.descriptors, 'height': made.height_index.short(),
                'visible': made.visible})
        return GroundDescriptors(kept['descriptors'].to(image.dtype), kept['height'].long(),
                                 kept['visible'])

    def of_aerial(image: Tensor) -> Tensor:
        kept = store.get('aerial', (image,))
        if kept is None:
            kept = store.put('aerial', (image,), {
                'descriptors': aerial_descriptors(aerial_tokens(image))})
        return kept['descriptors'].to(image.dtype)
    # An image goes through untouched until its descriptors are asked for.
    for name, stage in (('ground_tokens', _untouched), ('aerial_tokens', _untouched),
                        ('ground_descriptors', of_ground), ('aerial_descriptors', of_aerial)):
        setattr(network, name, stage)
    return network


class _Store:
    """Files of tensors, named after what these were made of."""

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, kind: str, given: tuple[Tensor, ...]) -> Tensors | None:
        path = self._path(kind, given)
        return load_file(path, device=str(given[0].device)) if path.exists() else None

    def put(self, kind: str, given: tuple[Tensor, ...], made: Tensors) -> Tensors:
        """Keep tensors and return them as they are found again."""
        halved = {name: (each.half() if each.is_floating_point() else each).contiguous()
                  for name, each in made.items()}
        with replacing(self._path(kind, given)) as partial:
            save_file(halved, partial)
        return halved

    def _path(self, kind: str, given: tuple[Tensor, ...]) -> Path:
        return self._folder / f'{kind}-{_digest(*given)}.safetensors'


def _untouched(image: Tensor) -> Tensor:
    return image


def _digest(*tensors: Tensor, about: str = '') -> str:
    digest = hashlib.blake2b(about.encode(), digest_size=12)
    for tensor in tensors:
        digest.update(f'{tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()
