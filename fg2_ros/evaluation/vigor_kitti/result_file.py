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

"""Results that survive an interruption: a JSON line for each part, appended as it is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

FILE = 'results.jsonl'


class ResultFile:
    """
    The results of a run, by index of the frame or name of the drive.

    A run in the same folder goes on with those there are.

    Of a file that ends in the middle of a line, as after ``kill -9``, that line is dropped.

    :param folder: of the run, made if missing; None keeps the results in memory.
    :param settings: JSON-ready; what the results depend on.
    :raises ValueError: if the folder holds results of other settings, or a damaged file.
    """

    def __init__(self, folder: Path | None, settings: dict):
        self.results: dict[int | str, dict] = {}
        self._file: BinaryIO | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._open(folder / FILE, settings)

    def add(self, index: int | str, result: dict) -> None:
        """Keep a result; it is on its way to the disk when this returns."""
        self.results[index] = result
        if self._file:
            _append(self._file, result)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _open(self, path: Path, settings: dict) -> BinaryIO:
        """Return the file, ready to be appended to; what it holds already is read."""
        file = path.open('a+b')
        file.seek(0)
        whole = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b'\n'):
                break
            whole += len(line)
            self._take(path, number, line, settings)
        file.truncate(whole)
        if not whole:
            _append(file, {'settings': settings})
        return file

    def _take(self, path: Path, number: int, line: bytes, settings: dict) -> None:
        try:
            values = json.loads(line)
            if number > 1:
                self.results[values['index']] = values
                return
            before = values['settings']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}, line {number} is damaged: {error!r}') from error
        changed = sorted(
            name for name in before.keys() | settings.keys()
            if before.get(name) != settings.get(name))
        if changed:
            was = ', '.join(f'{name} was {before.get(name)!r}' for name in changed)
            raise ValueError(
                f'{path} holds results of other settings ({was}): choose another folder')


def _append(file: BinaryIO, values: dict) -> None:
    file.write(json.dumps(values).encode() + b'\n')
    file.flush()
