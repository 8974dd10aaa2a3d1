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

"""The main program of an isolated task: reads it from standard input, writes its outcome."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
from typing import BinaryIO

from fg2_ros.processes import begin_worker
from fg2_ros.tasks.isolated import Outcome


class _Notes(logging.Handler):
    """Collects warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


def _attempt(question: BinaryIO) -> Outcome:
    notes = _Notes()
    logging.getLogger().addHandler(notes)
    try:
        function, task = pickle.load(question)
        _end_with(question)
        value = function(task)
    except (OSError, ValueError) as error:
        return Outcome(failure=str(error), notes=tuple(notes.sentences))
    except Exception as error:  # of one task; the others go on
        logging.getLogger(__name__).debug('a task failed', exc_info=True)
        return Outcome(failure=f'{type(error).__name__}: {error}', notes=tuple(notes.sentences))
    return Outcome(value, notes=tuple(notes.sentences))


def _end_with(pipe: BinaryIO) -> None:
    """End the process as soon as nobody holds the other end of a pipe any more."""
    def wait() -> None:
        pipe.read(1)
        os._exit(1)
    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Run the task that comes through the standard input; write its outcome to the output."""
    with os.fdopen(os.dup(1), 'wb') as answers:
        os.dup2(2, 1)  # so that nothing a task prints gets into the outcome
        begin_worker()
        pickle.dump(_attempt(sys.stdin.buffer), answers)
        answers.flush()
        os._exit(0)  # threads that a library left do not keep it


if __name__ == '__main__':
    main()
