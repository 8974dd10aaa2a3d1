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

"""Child processes that end with their parent, and whose failures are noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import time

GRACE_S = 4.0
TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1


class ChildError(ChildProcessError):
    """A child does not do what it should; says which, and what it said last."""


class Children:
    """
    Starts processes, each in a group of its own with a log file; ends them all on exit.

    :param log_folder: gets one ``<name>.log`` for each child.
    :param environment: of the children.
    """

    def __init__(self, log_folder: Path, environment: Mapping[str, str]):
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Children:
        """Return self."""
        return self

    def __exit__(self, *_) -> None:
        """End all children: first politely, all at once, then for good."""
        processes = list(self._processes.values())
        for process in processes:
            _signal(process, signal.SIGINT)
        deadline_s = time.monotonic() + GRACE_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            _signal(process, signal.SIGKILL)  # grandchildren too
            process.wait()
            if process.stdout:
                process.stdout.close()

    def start(self, name: str, command: Sequence[str], answers: bool = False) -> None:
        """
        Start a child.

        :param answers: whether it says something on its standard output for `answer`; otherwise
            that goes to its log, as its standard error always does.
        """
        with self.log(name).open('wb') as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if answers else log,
                stderr=log, env=self._environment, start_new_session=True, text=answers,
                preexec_fn=_end_with_parent)

    def log(self, name: str) -> Path:
        """Return where a child's log is."""
        return self._log_folder / f'{name.replace(" ", "_")}.log'

    def answer(self, name: str) -> str:
        """
        Wait for a child's next line on its standard output.

        :raises ChildError: if it ends without one.
        """
        answers = self._processes[name].stdout
        line = answers.readline() if answers else ''
        if not line:
            self._processes[name].wait()
            self._complain(name)
        return line.strip()

    def check(self) -> None:
        """
        Look after the children; one that ended with code 0 was simply done.

        :raises ChildError: if one failed.
        """
        for name, process in self._processes.items():
            if process.poll():
                self._complain(name)

    def is_done(self, name: str) -> bool:
        """Return whether a child has ended."""
        return self._processes[name].poll() is not None

    def blame(self, name: str, what: str) -> None:
        """
        Say that a child is at fault, and what it said last.

        :raises ChildError: always.
        """
        lines = self.log(name).read_text(errors='replace').splitlines()[-TAIL_LINES:]
        last = f'; the end of {self.log(name)} is:\n  ' + '\n  '.join(lines) if lines else ''
        raise ChildError(f'the {name} {what}{last}')

    def _complain(self, name: str) -> None:
        code = self._processes[name].returncode
        how = f'with code {code}' if code >= 0 else f'by {signal.Signals(-code).name}'
        self.blame(name, f'ended {how}')


def _signal(process: subprocess.Popen, number: int) -> None:
    """Signal a child and whatever it started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _end_with_parent() -> None:
    """Ask Linux to end this child when its parent is killed and cannot do so itself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
