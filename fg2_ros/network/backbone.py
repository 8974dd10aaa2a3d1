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

"""The choice of image backbones: (B, 3, H, W) images in [0, 1] to (B, C, h, w) token maps."""

from __future__ import annotations

from fg2_ros.network import dinov2
from fg2_ros.network.cnn import CompactBackbone
from fg2_ros.network.config import FG2Config
from torch import nn


def build_backbones(config: FG2Config) -> tuple[nn.Module, nn.Module | None]:
    """
    Return the ground backbone and the aerial one, which is None where both views share one.

    :raises ValueError: if the configuration names an unknown backbone or the wrong width.
    """
    if config.backbone == 'cnn':
        return (CompactBackbone(config.channels, wrap=config.camera == 'panorama'),
                CompactBackbone(config.channels, wrap=False))
    if config.backbone not in dinov2.SIZES:
        names = ', '.join(['cnn', *dinov2.SIZES])
        raise ValueError(f'no backbone {config.backbone!r}: choose from {names}')
    channels, _ = dinov2.SIZES[config.backbone]
    if channels != config.channels:
        raise ValueError(
            f'backbone {config.backbone} gives {channels} channels, not {config.channels}')
    return dinov2.DinoV2(config.backbone), None
