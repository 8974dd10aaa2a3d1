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

"""State dicts in files of `torch.save`, read without running what such a file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import pickle
import re
from typing import Any, TypeGuard
import zipfile

import torch
from torch import Tensor

WRAPPINGS = ('state_dict', 'model_state_dict', 'model', 'teacher')  # where trainers put it
PREFIXES = ('module.', '_orig_mod.')  # of DistributedDataParallel and torch.compile


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """
    Return the tensors of a checkpoint by name; they stay on disk until they are used.

    What a trainer wrapped around the state dict, and the prefixes that wrapped modules give to
    its names, are taken off.

    :raises ValueError: naming the file, if it is missing or damaged, if it wants to run code, or
        if there is no state dict in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'there is no checkpoint {path}')
    is_archive = zipfile.is_zipfile(path)  # older checkpoints are not
    if is_archive:
        _require_checksums(path)
    try:
        content = torch.load(path, map_location='cpu', weights_only=True, mmap=is_archive)
    except Exception as error:  # damaged files make torch raise almost anything
        raise ValueError(_problem(path, error)) from error
    return _without_prefixes(_unwrapped(content, path))


def _require_checksums(path: Path) -> None:
    """Look at the checksums, which torch ignores; this reads the whole file."""
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError) as error:
        raise ValueError(f'{path} is damaged: {error}') from error
    if wrong:
        raise ValueError(f'{path} is damaged: the checksum of its part {wrong} is wrong')


def _problem(path: Path, error: Exception) -> str:
    text = ' '.join(str(error).split())
    wanted = re.search(r'(?:GLOBAL|class|function) ([\w.]+)', text)  # as versions of torch say it
    if isinstance(error, pickle.UnpicklingError) and wanted:
        return (f'{path} is refused: it wants to call {wanted[1]}, and no code of a checkpoint is '
                'run here; a state dict holds nothing but tensors')
    return (f'{path} is damaged or not a checkpoint of torch.save '
            f'({type(error).__name__}: {text.partition(". ")[0]})')


def _unwrapped(content: Any, path: Path) -> Mapping[str, Tensor]:
    """Return the state dict, which is the content or one of its entries."""
    if not isinstance(content, Mapping):
        raise ValueError(f'{path} holds a {type(content).__name__}, not a state dict')
    for candidate in (content, *(content.get(key) for key in WRAPPINGS)):
        if _is_state_dict(candidate):
            return candidate
    raise ValueError(
        f'{path} holds no state dict, but: {", ".join(map(str, content)) or "nothing"}')


def _is_state_dict(candidate: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(candidate, Mapping) and len(candidate) > 0 and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in candidate.items())


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by names without a prefix that all of them have."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _without_prefixes(
                {name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return dict(tensors)
