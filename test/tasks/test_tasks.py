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

"""Tasks give the same results wherever they run; one that fails leaves the others."""

import os
from pathlib import Path
import socket
import subprocess
import sys
from test.helpers import tasks
from test.helpers.processes import ended, join_all, lines_until, running
import threading

from fg2_ros.tasks.executors import open_executor, Processes
from fg2_ros.tasks.isolated import run_isolated
import pytest

PATIENCE_S = 60.0
GOOD = ('one.txt', 'two.txt', 'three.txt')


@pytest.fixture(scope='module')
def ray_address():
    """Return the address of a Ray cluster of two processors."""
    pytest.importorskip('ray')
    patch = pytest.MonkeyPatch()
    patch.setenv('RAY_AUTH_MODE', 'disabled')  # it would keep a token in the home folder
    command = [sys.executable, '-m', 'ray.scripts.scripts', 'start', '--head', '--block',
               '--num-cpus=2', '--port=0', '--include-dashboard=false', '--disable-usage-stats']
    with socket.socket() as port:
        port.bind(('127.0.0.1', 0))
        number = port.getsockname()[1]
    with running([*command, f'--ray-client-server-port={number}'], stdout=subprocess.PIPE,
                 env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}) as head:
        lines_until('Ray runtime started', head.stdout, head)
        yield f'ray://127.0.0.1:{number}'
        head.terminate()
        ended(head)
    patch.undo()


def all_outcomes(executor, folder: Path, names=GOOD):
    """Return what becomes of the tasks of some files, by name."""
    folder.mkdir()
    paths = [folder / name for name in names]
    try:
        return {paths[index].name: outcome
                for index, outcome in executor.outcomes(tasks.as_named, paths)}
    finally:
        executor.close()


def contents(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(folder: Path):
    """Return what a process makes of the tasks."""
    folder.mkdir()
    for name in GOOD:
        assert run_isolated(tasks.sums, folder / name).value == Path(name).stem
    return contents(folder)


def test_processes_do_the_same(tmp_path):
    outcomes = all_outcomes(Processes(2), tmp_path / 'two', (*GOOD, 'broken.txt', 'killed.txt'))
    assert contents(tmp_path / 'two') == expected(tmp_path / 'alone')
    assert {name: outcome.value for name, outcome in outcomes.items()} == {
        'one.txt': 'one', 'two.txt': 'two', 'three.txt': 'three', 'broken.txt': None,
        'killed.txt': None}
    assert outcomes['one.txt'].notes == ('one is small',)
    assert outcomes['broken.txt'].failure == 'broken.txt is broken'
    assert outcomes['killed.txt'].failure == 'its process ended by SIGKILL before it was done'


def test_dask_does_the_same(dask_address, tmp_path):
    outcomes = all_outcomes(
        open_executor(dask_address, 1), tmp_path / 'dask', (*GOOD, 'broken.txt'))
    assert contents(tmp_path / 'dask') == expected(tmp_path / 'alone')
    assert outcomes['two.txt'].value == 'two'
    assert outcomes['broken.txt'].failure == 'broken.txt is broken'


def test_ray_does_the_same(ray_address, tmp_path):
    outcomes = all_outcomes(
        open_executor(ray_address, 1), tmp_path / 'ray', (*GOOD, 'broken.txt'))
    assert outcomes['one.txt'].failure == ''
    assert contents(tmp_path / 'ray') == expected(tmp_path / 'alone')
    assert outcomes['two.txt'].value == 'two'
    assert outcomes['broken.txt'].failure == 'broken.txt is broken'


def test_tasks_that_run_end_with_their_engine(tmp_path):
    path = tmp_path / 'running'
    os.mkfifo(path)  # whose reading waits until the task runs
    executor = Processes(1)
    asking = threading.Thread(
        target=lambda: list(executor.outcomes(tasks.waits_for_ever, [path])))
    asking.start()
    pid = int(path.read_text())
    executor.close()
    join_all(asking)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_task_ends_with_whoever_started_it(tmp_path):
    path = tmp_path / 'running'
    os.mkfifo(path)
    started = threading.Event()
    processes = []

    def remember(process):
        processes.append(process)
        started.set()

    outcomes = []
    asking = threading.Thread(target=lambda: outcomes.append(
        run_isolated(tasks.waits_for_ever, path, started=remember)))
    asking.start()
    assert started.wait(PATIENCE_S)
    path.read_text()
    processes[0].stdin.close()
    join_all(asking)
    assert outcomes[0].failure == 'its process ended with code 1 before it was done'


def test_other_versions_are_refused(tmp_path):
    outcome = run_isolated(tasks.sums, tmp_path / 'one.txt', version='0.0.1')
    assert 'not 0.0.1: install the same everywhere' in outcome.failure
    assert not list(tmp_path.iterdir())


def test_an_address_of_neither_is_refused():
    with pytest.raises(ValueError, match='neither a Ray cluster'):
        open_executor('http://somewhere', 1)


def test_a_scheduler_that_is_not_there_is_told(monkeypatch, free_address):
    pytest.importorskip('distributed')
    monkeypatch.setattr('fg2_ros.tasks.executors.CONNECT_S', 0.5)
    with pytest.raises(ValueError, match=f'there is no scheduler of Dask at {free_address}'):
        open_executor(free_address, 1)


@pytest.fixture
def free_address():
    """Return an address at which nobody listens: a socket holds it."""
    with socket.socket() as held:
        held.bind(('127.0.0.1', 0))
        yield f'tcp://127.0.0.1:{held.getsockname()[1]}'
