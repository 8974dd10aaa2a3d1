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

"""The folder of a training run: its checkpoint, log and curves."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

from fg2_ros.files import replacing
from fg2_ros.published.files import read_checkpoint
import torch

CurvesWriter = Callable[[Path, list[dict]], None]


class RunFolder:
    """
    What a run writes, and all it needs to go on after a kill.

    ``checkpoint.pt`` is complete at any moment, ``log.jsonl`` has one record a line and
    ``curves.html`` shows them.

    :param path: is made if it does not exist.
    :param identity: what must not differ between a run and its continuation.
    :param draw: writes ``curves.html`` from its path and what was logged; None for no such file.
    """

    def __init__(self, path: Path, identity: str, draw: CurvesWriter | None = None):
        """Make the folder."""
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._identity = identity
        self._draw = draw
        self._checkpoint = path / 'checkpoint.pt'
        self._log = path / 'log.jsonl'

    def start(self, resume: bool) -> dict[str, Any] | None:
        """
        Return the state of the last checkpoint, or None for a new run; later records are dropped.

        :raises ValueError: if there is a run which is not to be resumed, or which differs.
        """
        saved = None
        if self._checkpoint.exists():
            saved = self._read_checkpoint(resume)
        kept = [record for record in self.records() if saved and record['step'] <= saved['step']]
        self._log.write_text(''.join(json.dumps(record) + '\n' for record in kept))
        return saved

    def write_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint by a state with its ``step``, at once."""
        with replacing(self._checkpoint) as partial:
            torch.save({'run': self._identity} | state, partial)

    def records(self) -> list[dict]:
        """Return what was logged so far."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def log(self, record: dict) -> None:
        """Append a record, which has its ``step``."""
        with open(self._log, 'a') as file:
            file.write(json.dumps(record) + '\n')

    def write_curves(self) -> None:
        """Draw what was logged so far, if anything is to be drawn."""
        if self._draw:
            self._draw(self.path / 'curves.html', self.records())

    def _read_checkpoint(self, resume: bool) -> dict[str, Any]:
        if not resume:
            raise ValueError(f'{self.path} holds a run already: resume it or name another folder')
        saved = read_checkpoint(self._checkpoint)
        if saved['run'] != self._identity:
            raise ValueError(f'{self._checkpoint} was written by a run with other settings')
        return saved
