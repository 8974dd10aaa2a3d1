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

"""Options of the commands that distribute bags over processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
import logging
from pathlib import Path
import sys
from typing import Any

from fg2_ros.settings import setting
from fg2_ros.tasks.isolated import Outcome

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskOptions:
    """Where bags are processed."""

    workers: int = setting(
        1, 'Processes of this machine, each for one bag at a time.', between=(1, 1024))
    on: str = setting(
        '', 'A cluster that takes the bags instead: ray://host:10001 (Ray), or tcp://host:8786 '
        '(the scheduler of Dask). All its machines need this package, and see the files under the '
        'same paths.', option={'metavar': 'ADDRESS'})

    def is_wanted_for(self, bags: int) -> bool:
        """Return whether bags go to processes of their own."""
        return bags > 1 or self.workers > 1 or bool(self.on)

    def outcomes(self, command: str, function: Callable[[Any], Any],
                 done: Callable[[Any], Any], tasks: Mapping[str, Any]) -> dict[str, Outcome]:
        """
        Run a function on tasks, show the progress, and report which ones fail.

        :param command: its name in messages.
        :param function: at the top of a module.
        :param done: returns the outcome of a task that was done before, or None if it was not.
        :param tasks: by their names in messages; each writes into its ``folder``.
        :return: their outcomes by name, in the order of the tasks.
        :raises ValueError: if there is no such cluster.
        """
        found = {name: outcome for name, task in tasks.items()
                 if (outcome := _before(done, task)) is not None}
        self._run(command, function, {
            name: task for name, task in tasks.items() if name not in found}, found)
        for name in tasks:
            if found[name].failure:
                print(f'fg2 {command}: {name}: {found[name].failure}', file=sys.stderr)
        return {name: found[name] for name in tasks}

    def _run(self, command: str, function: Callable[[Any], Any], tasks: Mapping[str, Any],
             found: dict[str, Outcome]) -> None:
        """Run a function on tasks that are not done, and add what becomes of them."""
        from fg2_ros.tasks.executors import open_executor
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm
        names, total = list(tasks), len(tasks) + len(found)
        with closing(open_executor(self.on, self.workers)) as executor, logging_redirect_tqdm(
                [logging.getLogger()]), tqdm(
                    total=total, initial=len(found), desc=command, unit='bag',
                    dynamic_ncols=True) as bar:
            for index, outcome in executor.outcomes(function, list(tasks.values())):
                name = names[index]
                found[name] = _if_it_is_here(outcome, tasks[name].folder)
                for note in outcome.notes:
                    _log.warning('%s: %s', name, note)
                bar.update()


def _before(done: Callable[[Any], Any], task: Any) -> Outcome | None:
    """Return the outcome of a task that was done before; None if it is to be done."""
    try:
        value = done(task)
    except (OSError, ValueError) as error:
        return Outcome(failure=str(error))
    return None if value is None else Outcome(value)


def _if_it_is_here(outcome: Outcome, folder: Path) -> Outcome:
    """Return the outcome of a task, which failed if its files cannot be seen from here."""
    if outcome.failure or folder.is_dir():
        return outcome
    return Outcome(failure=f'{outcome.host} has done it, but {folder} is not there on this '
                           'machine: all machines must see the files under the same paths')
