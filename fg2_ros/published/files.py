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

"""Reading state dicts from files of `torch.save` without executing code from them."""

from __future__ import annotations

from pathlib import Path
import pickle
import re
from typing import Any
import zipfile

from fg2_ros.published.unwrapping import state_dict_in
import torch
from torch import Tensor

OLDEST_TORCH = (2, 6)  # up to 2.5.1 a file can run code whatever one says (CVE-2025-32434)


class NumpyData:
    """
    Stands for a number or an array of NumPy beside the tensors.

    None of them is needed, so nothing of NumPy is called to make one.
    """

    def __new__(cls, *_args):
        """Take whatever a pickle gives."""
        return object.__new__(cls)

    def __setstate__(self, state):
        """Forget the values."""


# Under the names that NumPy 1 and 2 write into pickles.
_NUMPY_DATA: list = [type(name, (NumpyData,), {'__module__': module}) for module, name in (
    ('numpy', 'dtype'), ('numpy', 'ndarray'),
    *((f'numpy.{core}.multiarray', name) for core in ('core', '_core')
      for name in ('scalar', '_reconstruct')),
    *((f'numpy.{core}.numeric', '_frombuffer') for core in ('core', '_core')))]


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """
    Return the tensors of a checkpoint by name; they stay on disk until they are used.

    What a trainer wrapped around the state dict, and the prefixes that wrapped modules give to
    its names, are taken off.

    :raises ValueError: naming the file, if `read_checkpoint` refuses it or there is no state
        dict in it.
    """
    return state_dict_in(read_checkpoint(path), str(path))


def read_checkpoint(path: str | Path) -> Any:
    """
    Return what `torch.save` wrote; the tensors stay on disk until they are used.

    Numbers and arrays of NumPy are not among it: `NumpyData` stands for them.

    :raises ValueError: naming the file, if it is missing or damaged, if it wants to run code, or
        if torch is too old to read it safely.
    """
    path = Path(path)
    require_safe_torch(path)
    if not path.is_file():
        raise ValueError(f'there is no checkpoint {path}')
    is_archive = zipfile.is_zipfile(path)  # older checkpoints are not
    if is_archive:
        _require_sound_archive(path)
    try:
        with torch.serialization.safe_globals(_NUMPY_DATA):
            return torch.load(path, map_location='cpu', weights_only=True, mmap=is_archive)
    except Exception as error:  # damaged files make torch raise almost anything
        raise ValueError(_problem(path, error)) from error


def require_safe_torch(path: str | Path) -> None:
    """
    Refuse to read a pickle with a torch that may run what is in it.

    :raises ValueError: naming the file and the version that is needed.
    """
    version = tuple(map(int, re.findall(r'\d+', torch.__version__)[:2]))
    if version < OLDEST_TORCH:
        wanted = '.'.join(map(str, OLDEST_TORCH))
        raise ValueError(
            f'{path} is not read with torch {torch.__version__}, which runs code that a file may '
            f'hold even if told not to (CVE-2025-32434): pip install "torch>={wanted}"')


def _require_sound_archive(path: Path) -> None:
    """Look at sizes and checksums, which torch ignores; this reads the whole file."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked, there = sum(part.file_size for part in archive.filelist), path.stat().st_size
            if unpacked > there:  # torch.save packs nothing, and two parts share no byte
                raise ValueError(
                    f'{path} is no checkpoint of torch.save: its {there / 1e6:,.1f} MB claim to '
                    f'hold {unpacked / 1e6:,.1f} MB; if somebody packed it, unpack it first')
            wrong = archive.testzip()
    except ValueError as error:
        raise error if str(path) in str(error) else _damaged(path, error) from error
    except Exception as error:  # damaged archives make zipfile raise almost anything
        raise _damaged(path, error) from error
    if wrong:
        raise ValueError(f'{path} is damaged: the checksum of its part {wrong} is wrong')


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f'{path} is damaged: {error or type(error).__name__}')


def _problem(path: Path, error: Exception) -> str:
    text: Any = ' '.join(str(error).split())
    wanted = re.search(r'(?:GLOBAL|class|function) ([\w.]+)', text)  # as versions of torch say it
    if isinstance(error, pickle.UnpicklingError) and wanted:
        return (f'{path} is refused: it wants to call {wanted[1]}, and no code of a checkpoint is '
                'run here; a state dict holds nothing but tensors. Where it was made, save these '
                'alone: torch.save(model.state_dict(), FILE)')
    return (f'{path} is damaged or not a checkpoint of torch.save '
            f'({type(error).__name__}: {text.partition(". ")[0][:200]})')
