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

"""Changed inputs given to a process that may hang, crash or die, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
import json
import math
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import tempfile
from test.fuzz.kinds import KINDS
from test.helpers.paths import ROOT
import time

HANGS_S = 12.0  # of the processor's time; a worker that comes to an end is stricter
WAITS_S = 120.0  # if it does not even use the processor, or others do
START_S = 600.0  # for the libraries, or to make an input


@dataclass
class Tally:
    """
    What became of the inputs of a kind.

    :param findings: (number of the input, what happened).
    """

    outcomes: Counter = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def runs(self) -> int:
        """Return how many inputs there were."""
        return sum(self.outcomes.values())


class Pool:
    """A worker, started anew after each that ended."""

    def __init__(self):
        """Wait for the first input."""
        self._worker: subprocess.Popen | None = None
        self._read, self._has_ended = b'', False
        self._folder = tempfile.TemporaryDirectory()

    def run(self, name: str, numbers: range) -> Tally:
        """Return what becomes of some inputs of a kind."""
        tally = Tally()
        for number in numbers:
            answer = self._answer(name, number)
            tally.outcomes[answer['outcome']] += 1
            tally.slowest_s = max(tally.slowest_s, answer['seconds'])
            if answer['outcome'] == 'finding':
                tally.findings.append((number, answer['text']))
        return tally

    def close(self) -> None:
        """End the worker."""
        if self._worker:
            self._worker.kill()
            self._worker.wait()
            self._forget()
        self._folder.cleanup()

    def _busy_s(self) -> float:
        """Return how long the worker has used the processor."""
        try:
            fields = Path(f'/proc/{self._worker.pid}/stat').read_text().rpartition(')')[2].split()
        except OSError:  # it has ended
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def _forget(self) -> None:
        self._worker.stdin.close()
        self._worker.stdout.close()
        self._worker = None

    def _answer(self, name: str, number: int) -> dict:
        worker = self._running()
        worker.stdin.write(json.dumps([name, number]).encode() + b'\n')
        worker.stdin.flush()
        line = self._line(START_S) and self._line(WAITS_S, HANGS_S)
        if line:
            return json.loads(line)
        if not self._has_ended:
            worker.kill()
            worker.wait()
            end = f'it took longer than {HANGS_S:g} s'
        else:
            code = worker.wait()
            end = f'the process died of {signal.Signals(-code).name}' if code < 0 else (
                f'the process ended with {code}')
        self._forget()
        return {'outcome': 'finding', 'text': end, 'seconds': HANGS_S}

    def _running(self) -> subprocess.Popen:
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, '-m', 'test.fuzz.worker', self._folder.name], cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | {'OMP_NUM_THREADS': '1'})
            self._read, self._has_ended = b'', False
            if not self._line(START_S):
                self.close()
                raise RuntimeError('the process that uses the inputs does not start')
        return self._worker

    def _line(self, timeout_s: float, busy_s: float = math.inf) -> str:
        """
        Return the next line of the worker, '' if it ended or takes too long.

        :param busy_s: how long it may use the processor.
        """
        end_s, most_s = time.monotonic() + timeout_s, self._busy_s() + busy_s
        while b'\n' not in self._read:
            ready, _, _ = select.select([self._worker.stdout], [], [], 1.0)
            more = os.read(self._worker.stdout.fileno(), 65536) if ready else b''
            self._read += more
            self._has_ended = bool(ready) and not more
            if self._has_ended or not ready and (
                    time.monotonic() > end_s or self._busy_s() > most_s):
                return ''
        line, _, self._read = self._read.partition(b'\n')
        return line.decode()


def table(tallies: dict[str, Tally]) -> Iterator[str]:
    """Yield the lines of a table of what was found."""
    yield f'{"kind":12} {"runs":>7} {"used":>7} {"refused":>7} {"findings":>8} {"slowest":>8}'
    for name, tally in tallies.items():
        yield (f'{name:12} {tally.runs:7} {tally.outcomes["ok"]:7} {tally.outcomes["refused"]:7} '
               f'{len(tally.findings):8} {tally.slowest_s:6.1f} s')


def saved(name: str, number: int, folder: Path) -> Path:
    """Return the file with an input, so that it can be looked at."""
    path = folder / f'{name.replace(" ", "_")}_{number}{KINDS[name].suffix}'
    path.write_bytes(KINDS[name].case(name, number))
    return path
