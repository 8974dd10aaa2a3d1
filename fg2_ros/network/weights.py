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
Weights on disk and weights of others.

Own weights are safetensors files which carry the network's configuration and free metadata (both
JSON). Published weights come as state dicts under their authors' names.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
import math
from pathlib import Path
from typing import Any

from fg2_ros.files import replacing
from fg2_ros.network import FG2Config, FG2Network
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import Tensor

_FLOATS, _INTEGERS = ('F64', 'F32', 'F16', 'BF16'), ('I64', 'I32')
_LARGEST = 1e12  # of a weight; its square still is a number in any precision but fp16
PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


def save_weights(network: FG2Network, path: str | Path, metadata: dict) -> None:
    """
    Write a network's tensors with its configuration and metadata; replaces the file at once.

    :param path: of the safetensors file; its folder must exist.
    :param metadata: JSON-ready values, read back with ``read_metadata``.
    """
    save_tensors(network.state_dict(), network.config, path, metadata)


def save_tensors(
        tensors: Mapping[str, Tensor], config: FG2Config, path: str | Path,
        metadata: dict) -> None:
    """Write the tensors of a network of a configuration; see `save_weights`."""
    with replacing(Path(path)) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {
            'config': json.dumps(config.to_dict()), 'metadata': json.dumps(metadata)})
        partial.chmod(0o644)  # safetensors makes it unreadable to others


def with_metadata(path: str | Path, out: str | Path, added: dict) -> None:
    """
    Write a copy of a weights file with more metadata, which may be the file itself.

    :param added: JSON-ready values; they replace those of the same name.
    :raises ValueError: if the file is missing, damaged or not from this package.
    """
    metadata, config = read_metadata(path), read_config(path)
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    save_tensors(tensors, config, out, metadata | added)


def read_metadata(path: str | Path) -> dict:
    """
    Return the metadata that was saved with weights.

    :raises ValueError: if the file is missing, damaged or not from this package.
    """
    metadata = _parsed(path, 'metadata', 'unreadable metadata')
    if not isinstance(metadata, dict):
        raise ValueError(f'{path} holds unreadable metadata: they are no table of values')
    return metadata


def read_config(path: str | Path) -> FG2Config:
    """
    Return the configuration of the network in a weights file.

    :raises ValueError: naming the file, if it is missing, damaged, not from this package, or if
        its configuration makes no sense.
    """
    values = _parsed(path, 'config', 'an unusable configuration')
    try:
        return FG2Config.from_dict(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{path} holds an unusable configuration: {error}') from error


def _parsed(path: str | Path, key: str, problem: str) -> Any:
    """Return what the header holds as JSON under a key."""
    try:
        return json.loads(_read_header(path)[key])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'{path} holds {problem}: {error}') from error


def load_network(
        path: str | Path, device: str | torch.device = 'cpu',
        dtype: torch.dtype = torch.float32) -> FG2Network:
    """
    Return the network saved at ``path``, in evaluation mode.

    No more than the network itself is held in memory, already on its device and in its precision.

    :raises ValueError: naming the file, and the tensor where one is at fault, if the file is
        missing, damaged, not from this package, does not fit its own configuration, or holds
        numbers that no network has.
    """
    config = read_config(path)
    try:
        network = network_without_weights(config)
    except ValueError as error:
        raise ValueError(f'{path} holds an unusable configuration: {error}') from error
    own = network.state_dict()
    with _open(path) as file:
        shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}
        require_shapes(shapes_of(own), shapes, str(path))
        tensors = {name: _checked(file, name, tensor, dtype, path).to(
            device, dtype if tensor.is_floating_point() else tensor.dtype, copy=True)
            for name, tensor in own.items()}
    network.load_state_dict(tensors, assign=True)
    return network.to(device=device, dtype=dtype).eval()


def _checked(file: Any, name: str, own: Tensor, dtype: torch.dtype, path: str | Path) -> Tensor:
    """
    Return a tensor of a file after a look at its numbers.

    :param own: the network's, of its usual type.
    :param dtype: what it is to become if it holds floating point numbers.
    """
    stored = file.get_slice(name).get_dtype()
    if stored not in (_FLOATS if own.is_floating_point() else _INTEGERS):
        raise ValueError(f'{path}: tensor {name} holds numbers of type {stored}, which no weights '
                         'have')
    tensor = file.get_tensor(name)
    low, high = (float(extreme) for extreme in tensor.aminmax())
    largest = min(_LARGEST, torch.finfo(dtype).max) if own.is_floating_point() else 2.0 ** 63
    if math.isnan(low) or math.isinf(low) or math.isinf(high):
        raise ValueError(f'{path}: tensor {name} holds numbers that are not finite')
    if max(-low, high) > largest:
        raise ValueError(f'{path}: tensor {name} holds numbers up to {max(-low, high):.3g}, which '
                         f'is more than {largest:.3g}')
    if low < 0 and name.endswith('running_var'):
        raise ValueError(f'{path}: tensor {name} holds a negative variance, {low:.3g}')
    return tensor


def network_without_weights(config: FG2Config) -> FG2Network:
    """Return a network whose weights have names, shapes and types but take no memory."""
    with torch.device('meta'):
        return FG2Network(config)


def require_shapes(
        wanted: Mapping[str, torch.Size], given: Mapping[str, torch.Size], source: str) -> None:
    """Raise a ValueError that names every tensor that is missing, extra or of another shape."""
    problems = [
        f'it {problem} tensor{"s" * (len(names) > 1)} {", ".join(sorted(names))}'
        for problem, names in (
            ('lacks', set(wanted) - set(given)), ('has the unknown', set(given) - set(wanted)))
        if names]
    problems += [
        f'tensor {name} has shape {tuple(given[name])}, not {tuple(shape)}'
        for name, shape in wanted.items() if name in given and given[name] != shape]
    if problems:
        raise ValueError(f'{source} does not fit the network: {"; ".join(problems)}')


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the tensors' shapes by name."""
    return {name: tensor.shape for name, tensor in tensors.items()}


def _open(path: str | Path):
    if not Path(path).is_file():
        raise ValueError(f'there is no weights file {path}')
    try:
        return safe_open(path, 'pt')
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise ValueError(
            f'{path} is damaged or not a safetensors file: {str(error)[:300]}') from error


def _read_header(path: str | Path) -> dict[str, str]:
    with _open(path) as file:
        header = file.metadata() or {}
    if not {'config', 'metadata'} <= set(header):
        raise ValueError(f'{path} holds no FG2 configuration: it was not saved by this package')
    return header


def usable_device(name: str) -> torch.device:
    """
    Return the torch device of a name; 'auto' is the GPU if there is one.

    :raises ValueError: if there is no such device here.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {name!r} cannot be used here: {error}') from error
    return device


def usable_precision(name: str, device: torch.device) -> torch.dtype:
    """
    Return the type of a network's numbers: 'fp32', 'fp16', 'bf16' or 'auto'.

    'auto' is bf16 on a processor that has instructions for it, where it is a third faster, and
    fp32 everywhere else.

    :raises ValueError: if there is no such precision.
    """
    if name == 'auto':
        capabilities: Mapping[str, Any] = (  # not every torch tells
            torch.cpu.get_capabilities() if hasattr(torch.cpu, 'get_capabilities') else {})
        has_bfloat16 = device.type == 'cpu' and capabilities.get('avx512_bf16', False)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    if name not in PRECISIONS:
        raise ValueError(f'precision {name!r} is not one of auto, {", ".join(PRECISIONS)}')
    return PRECISIONS[name]


def is_same_file(first: str | Path, second: str | Path) -> bool:
    """Return whether two paths lead to one file."""
    return Path(first).exists() and Path(second).exists() and Path(first).samefile(second)
