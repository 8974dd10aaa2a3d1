"""
Weights on disk and weights of others.

Own weights are safetensors files which carry the network's configuration and free metadata (both
JSON). Published weights come as state dicts under their authors' names.
"""

from __future__ import annotations

import json
from pathlib import Path

from fg2_ros.network import FG2Config, FG2Network, reference_names
from fg2_ros.network.reference_names import QUERIES
from fg2_ros.network.reference_queries import reproduce_queries, SHA256
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor


def save_weights(network: FG2Network, path: str | Path, metadata: dict) -> None:
    """
    Write a network's tensors with its configuration and metadata; replaces the file at once.

    :param path: of the safetensors file; its folder must exist.
    :param metadata: JSON-ready values, read back with ``read_metadata``.
    """
    path = Path(path)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    partial = path.with_name(path.name + '.partial')
    save_file(tensors, partial, {
        'config': json.dumps(network.config.to_dict()), 'metadata': json.dumps(metadata)})
    partial.chmod(0o644)  # safetensors makes it unreadable to others
    partial.replace(path)


def read_metadata(path: str | Path) -> dict:
    """
    Return the metadata that was saved with weights.

    :raises ValueError: if the file is missing, damaged or not from this package.
    """
    try:
        return json.loads(_read_header(path)['metadata'])
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} holds unreadable metadata: {error}') from error


def load_network(
        path: str | Path, device: str | torch.device = 'cpu',
        dtype: torch.dtype = torch.float32) -> FG2Network:
    """
    Return the network saved at ``path``, in evaluation mode.

    :raises ValueError: naming the file, and the tensor where one is at fault, if the file is
        missing, damaged, not from this package, or does not fit its own configuration.
    """
    header = _read_header(path)
    try:
        network = FG2Network(FG2Config.from_dict(json.loads(header['config'])))
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path} holds an unusable configuration: {error}') from error
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    _load_strictly(network, tensors, str(path))
    return network.to(device=device, dtype=dtype).eval()


def load_reference_head(network: FG2Network, state_dict: dict[str, Tensor]) -> None:
    """
    Load an official head, a state dict under its authors' names; all or nothing.

    The queries which checkpoints trained on a GPU lack are made as they were in training.

    :raises ValueError: naming the tensor that is missing, extra or of another shape.
    """
    names = reference_names.official_names(network)
    own = network.state_dict()
    shapes = {official: own[name].shape for official, name in names.items()}
    shapes |= reference_names.unused_shapes(network)
    queries = shapes[QUERIES]
    if QUERIES not in state_dict and queries in SHA256:
        state_dict = state_dict | {QUERIES: reproduce_queries(queries)}
    _check(shapes, state_dict, 'the reference head')
    network.load_state_dict(
        {name: state_dict[official] for official, name in names.items()}, strict=False)


def load_reference_backbone(network: FG2Network, state_dict: dict[str, Tensor]) -> None:
    """
    Load a DINOv2 backbone, a state dict under DINOv2's names.

    :raises ValueError: naming the tensor that is missing, extra or of another shape.
    """
    _load_strictly(network.backbone, state_dict, 'the reference backbone')


def _open(path: str | Path):
    if not Path(path).is_file():
        raise ValueError(f'there is no weights file {path}')
    try:
        return safe_open(path, 'pt')
    except (OSError, SafetensorError) as error:
        raise ValueError(f'{path} is damaged or no safetensors file: {error}') from error


def _read_header(path: str | Path) -> dict[str, str]:
    with _open(path) as file:
        header = file.metadata() or {}
    if not {'config', 'metadata'} <= set(header):
        raise ValueError(f'{path} holds no FG2 configuration: it was not saved by this package')
    return header


def _load_strictly(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    _check(shapes, tensors, source)
    module.load_state_dict(tensors)


def _check(shapes: dict[str, torch.Size], tensors: dict[str, Tensor], source: str) -> None:
    """Raise a ValueError unless names and shapes are exactly the wanted ones."""
    missing, extra = set(shapes) - set(tensors), set(tensors) - set(shapes)
    for problem, names in (('lacks', missing), ('has the unknown', extra)):
        if names:
            more = f' (and {len(names) - 1} more)' if len(names) > 1 else ''
            raise ValueError(
                f'{source} does not fit the network: it {problem} tensor {min(names)}{more}')
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(
                f'{source} does not fit the network: tensor {name} has shape '
                f'{tuple(tensors[name].shape)}, not {tuple(shape)}')
