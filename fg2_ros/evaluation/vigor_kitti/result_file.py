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

"""Results that survive an interruption: one JSON line for each frame, appended as it is done."""

from __future__ import annotations

import json
from pathlib import Path

FILE = 'results.jsonl'


class ResultFile:
    """
    The results of a run, by frame index; a run in the same folder goes on with those there are.

    Of a file that ends in the middle of a line, as after ``kill -9``, that line is dropped.

    :param folder: of the run, made if missing; None keeps the results in memory.
    :param settings: JSON-ready; what the results depend on.
    :raises ValueError: if the folder holds results of other settings, or a damaged file.
    """

    def __init__(self, folder: Path | None, settings: dict):
        """Read what there is."""
        self.results: dict[int, dict] = {}
        self._file = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self._file = self.path.open('a+b')
        whole = self._read(settings)
        self._file.truncate(whole)
        if not whole:
            self._append({'settings': settings})

    def add(self, index: int, result: dict) -> None:
        """Keep a result; it is on its way to the disk when this returns."""
        self.results[index] = result
        if self._file:
            self._append(result)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _append(self, values: dict) -> None:
        self._file.write(json.dumps(values).encode() + b'\n')
        self._file.flush()

    def _read(self, settings: dict) -> int:
        """Read the results and return the number of bytes that are whole lines."""
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b'\n'):
                break
            whole += len(line)
            self._take(number, line, settings)
        return whole

    def _take(self, number: int, line: bytes, settings: dict) -> None:
        try:
            values = json.loads(line)
            if number > 1:
                self.results[values['index']] = values
                return
            before = values['settings']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.path}, line {number} is damaged: {error!r}') from error
        changed = sorted(
            name for name in before.keys() | settings.keys()
            if before.get(name) != settings.get(name))
        if changed:
            was = ', '.join(f'{name} was {before.get(name)!r}' for name in changed)
            raise ValueError(
                f'{self.path} holds results of other settings ({was}): choose another folder')
