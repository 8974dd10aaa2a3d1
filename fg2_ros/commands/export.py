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

"""Write a network as ONNX files, for ONNX Runtime or TensorRT."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, MISSING
import json
from pathlib import Path

from fg2_ros.commands.options import add_options
from fg2_ros.files import sha256_of
from fg2_ros.settings import setting, SHIPPED_WEIGHTS


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how."""

    out: Path = setting(
        MISSING, 'Gets ground.onnx, aerial.onnx and network.json, which says what goes in and '
        'out.', of=Path, option={'metavar': 'FOLDER'})
    format: str = setting('onnx', 'Of the files.', choices=('onnx',))  # noqa: A003, the option
    weights: Path = setting(SHIPPED_WEIGHTS, 'File of the network.')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_options(parser, run, ExportSettings)


def run(settings: ExportSettings) -> int:
    """Export both branches and describe them in a JSON file."""
    from fg2_ros.network.weights import load_network, read_metadata
    from fg2_ros.network.export import branches_of, export_onnx, OPSET, require_packages
    from fg2_ros.network.inference import optimise_for_inference
    require_packages()
    network = optimise_for_inference(load_network(settings.weights))
    settings.out.mkdir(parents=True, exist_ok=True)
    files = {}
    for branch in branches_of(network):
        path = settings.out / f'{branch.name}.onnx'
        difference = export_onnx(branch, path)
        print(f'{path}: descriptors within {difference:.1g} of the network in ONNX Runtime')
        files[path.name] = described(branch) | {'largest_difference': difference}
    (settings.out / 'network.json').write_text(json.dumps({
        'format': settings.format, 'opset': OPSET, 'files': files,
        'scores': 'aerial descriptors times ground descriptors, divided by the temperature',
        'temperature': network.config.temperature,
        'dustbin_score': network.dustbin_score.item(),
        'config': network.config.to_dict(),
        'weights': {
            'file': settings.weights.name,
            'sha256': sha256_of(settings.weights),
            'metadata': read_metadata(settings.weights)}}, indent=2) + '\n')
    return 0


def described(branch) -> dict:
    """Return names, shapes and types of what goes into a branch and what comes out of it."""
    outputs = zip(branch.outputs, branch.module(*branch.inputs.values()))
    return {
        side: {name: {'shape': list(value.shape), 'type': str(value.dtype).removeprefix('torch.')}
               for name, value in values}
        for side, values in (('inputs', branch.inputs.items()), ('outputs', outputs))}
