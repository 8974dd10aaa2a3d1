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
A task in an isolated process, with results that do not depend on where it runs.

The process computes with one thread and starts fresh; a crash ends this task only. When the pipe
from its parent closes, it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import os
import pickle
import platform
import signal
import subprocess
import sys
from typing import Any

from fg2_ros.version import __version__

Started = Callable[[subprocess.Popen], None]
# Sums depend on how many threads share them, and the order of sets on a seed.
_ENVIRONMENT = {
    **dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1'),
    'PYTHONHASHSEED': '0'}


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of a task.

    :param value: what it returned; None if it failed.
    :param failure: why it failed, a sentence; '' if it did not.
    :param notes: its warnings.
    :param host: the machine it ran on.
    """

    value: Any = None
    failure: str = ''
    notes: tuple[str, ...] = ()
    host: str = ''


def run_isolated(function: Callable[[Any], Any], task: Any, version: str = __version__,
                 folder: str = '.', started: Started = lambda process: None) -> Outcome:
    """
    Run a function in an isolated process.

    :param function: at the top of a module that can be imported; what it returns can be pickled.
    :param version: of this package on the machine that submits the task.
    :param folder: working directory, as on that machine.
    :param started: called with the process, which ends when its pipe is closed.
    """
    host = platform.node()
    if version != __version__:
        return Outcome(host=host, failure=f'{host} has fg2_ros {__version__}, not {version}: '
                                          'install the same everywhere')
    if not os.path.isdir(folder):
        return Outcome(host=host, failure=f'{host} has no folder {folder}: all machines must see '
                                          'the files under the same paths')
    environment = os.environ | _ENVIRONMENT | {'PYTHONPATH': os.pathsep.join(sys.path)}
    command = [sys.executable, '-m', 'fg2_ros.tasks.child']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=environment, cwd=folder, start_new_session=True) as process:
        started(process)
        answer = _asked(process, pickle.dumps((function, task)))
    return replace(answer or Outcome(failure=_end_of(process.returncode)), host=host)


def _asked(process: subprocess.Popen, question: bytes) -> Outcome | None:
    """Return what a process answers; None if it ends without."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(question)
        process.stdin.flush()
        return pickle.load(process.stdout)
    except (OSError, ValueError, EOFError, pickle.UnpicklingError):
        return None


def _end_of(code: int) -> str:
    how = f'by {signal.Signals(-code).name}' if code < 0 else f'with code {code}'
    return f'its process ended {how} before it was done'
