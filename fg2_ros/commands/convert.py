"""
Convert published checkpoints into one weights file.

The head is a state dict of FG2's authors, the backbone Meta's DINOv2; both stay under their
authors' licences, which the file notes. Nothing that a checkpoint may want to run is run. The
covariances of a published network are not calibrated: multiply them (localizer.covariance_scale)
by the ANEES that `fg2 evaluate` finds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import textwrap


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        '--head', type=Path, required=True, help='state dict of the head (model.pt)')
    parser.add_argument(
        '--backbone', type=Path, required=True,
        help='state dict of DINOv2 (dinov2_vitl14_pretrain.pth)')
    parser.add_argument(
        '--preset', choices=['vigor', 'kitti'], required=True,
        help='the data set that the head was trained on')
    parser.add_argument(
        '--backbone-name', default='',
        help='if it is not the published one: dinov2_vits14, dinov2_vitb14 or dinov2_vitl14')
    parser.add_argument(
        '--out', type=Path, required=True, help='safetensors file; replaced if there is one')


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was made of what."""
    from fg2_ros.published.convert import convert, published_config
    config = published_config(args.preset, args.backbone_name)
    done = convert(args.head, args.backbone, config, args.out)
    for part, origin in done.metadata['origin'].items():
        print(f'{part}: {origin["file"]}, SHA-256 {origin["sha256"]}')
    print(f'queries: {done.metadata["queries"]}')
    print(f'not used by the network: {", ".join(done.metadata["unused"])}')
    print(textwrap.fill(done.metadata['licence_note'], 99))
    print(f'{args.out}: {done.tensors} tensors, {args.out.stat().st_size / 1e6:.0f} MB')
    return 0
