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
Convert published checkpoints into one weights file.

The head is a state dict of FG2's authors, the backbone Meta's DINOv2; both stay under their
authors' licences, which the file notes. Nothing that a checkpoint may want to run is run. The
covariances of a published network are not calibrated: they claim 1.5 m at least.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
from pathlib import Path
import textwrap

from fg2_ros.commands.options import add_options
from fg2_ros.settings import setting


@dataclass(frozen=True)
class ConvertSettings:
    """What is converted into what."""

    head: Path = setting(MISSING, 'State dict of the head (model.pt).', of=Path)
    backbone: Path = setting(
        MISSING, 'State dict of DINOv2 (dinov2_vitl14_pretrain.pth).', of=Path)
    preset: str = setting(
        MISSING, 'The data set that the head was trained on.', of=str,
        choices=('vigor', 'kitti'))
    out: Path = setting(MISSING, 'Safetensors file; replaced if there is one.', of=Path)
    backbone_name: str = setting(
        '', 'If it is not the published one: dinov2_vits14, dinov2_vitb14 or dinov2_vitl14.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, ConvertSettings)


def run(settings: ConvertSettings) -> int:
    """Convert, and say what was made of what."""
    from fg2_ros.published.convert import convert, published_config
    config = published_config(settings.preset, settings.backbone_name)
    done = convert(settings.head, settings.backbone, config, settings.out)
    for part, file in done.metadata['origin'].items():
        print(f'{part}: {file["file"]}, SHA-256 {file["sha256"]}')
    print(f'queries: {done.metadata["queries"]}')
    print(f'not used by the network: {", ".join(done.metadata["unused"])}')
    print(textwrap.fill(done.metadata['licence_note'], 99))
    print(f'{settings.out}: {done.tensors} tensors, {settings.out.stat().st_size / 1e6:.0f} MB')
    return 0
