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

"""Processes that tests start: they end with the test, and none is waited for without end."""

from __future__ import annotations

from contextlib import contextmanager
import subprocess
import threading
from typing import Iterator, TextIO

import pytest

PATIENCE_S = 900.0


@contextmanager
def running(command: list, **options) -> Iterator[subprocess.Popen]:
    """Start a process whose pipes carry text; what is left of it at the end is killed."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen, given: str | None = None) -> tuple[str, str]:
    """Wait for a process to end by itself; return what came on its pipes."""
    try:
        return process.communicate(given, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as waited:
        process.kill()
        pytest.fail(f'a process has not ended: {waited}')


def run_to_its_end(command: list, **options) -> subprocess.CompletedProcess:
    """Run a process and return it with its output."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, **options)
    except subprocess.TimeoutExpired as waited:
        pytest.fail(f'a process has not ended: {waited}')


def lines_until(wanted: str, stream: TextIO, process: subprocess.Popen) -> list[str]:
    """Return the lines of a process' pipe up to the one that holds a text."""
    lines = []
    late = threading.Timer(PATIENCE_S, process.kill)  # which ends the pipe, too
    late.start()
    try:
        for line in stream:
            lines.append(line)
            if wanted in line:
                return lines
    finally:
        late.cancel()
    pytest.fail(f'{process.args} ended, or was killed after {PATIENCE_S:.0f} s, without having '
                f'said {wanted!r} but:\n{"".join(lines)}')


def join_all(*threads: threading.Thread) -> None:
    """Wait for threads to end."""
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), f'{thread} has not ended within {PATIENCE_S:.0f} s'
