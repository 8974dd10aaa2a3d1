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

"""Executors of tasks: processes of this machine, or an existing cluster of Ray or Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed, ThreadPoolExecutor
import os
import subprocess
import threading
from typing import Any, Protocol

from fg2_ros.tasks.isolated import Outcome, run_isolated
from fg2_ros.version import __version__

Function = Callable[[Any], Any]
CONNECT_S = 20.0  # longest wait for a cluster
RAY, DASK = 'ray', ('tcp', 'tls', 'ws', 'wss', 'ucx')  # schemes of addresses


class Executor(Protocol):
    """Runs a function on tasks, each with `run_isolated`."""

    def outcomes(self, function: Function, tasks: Sequence[Any]
                 ) -> Iterator[tuple[int, Outcome]]:
        """
        Yield the index and the outcome of each task, in the order in which they end.

        Closing the iterator early cancels tasks that have not begun.

        :param function: at the top of a module; tasks and what it returns can be pickled.
        """

    def close(self) -> None:
        """Leave the cluster, or end the processes."""


def open_executor(on: str, workers: int) -> Executor:
    """
    Return the executor at an address.

    :param on: address of a Ray cluster (``ray://host:10001``) or of a scheduler of Dask
        (``tcp://host:8786``); '' for processes of this machine.
    :param workers: how many of these.
    :raises ValueError: if there is no such cluster, or the address is of neither.
    """
    scheme = on.partition('://')[0]
    if not on:
        return Processes(workers)
    if scheme == RAY:
        return RayCluster(on)
    if scheme in DASK:
        return DaskCluster(on)
    raise ValueError(f'{on} is neither a Ray cluster (ray://host:10001) nor a scheduler of Dask '
                     '(tcp://host:8786)')


class Processes(Executor):
    """
    Processes of this machine.

    :param workers: how many at a time.
    """

    def __init__(self, workers: int):
        """Start none yet."""
        self._pool = ThreadPoolExecutor(workers)
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen] = []
        self._closed = False

    def outcomes(self, function: Function, tasks: Sequence[Any]
                 ) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes; see `Executor.outcomes`."""
        futures = {self._pool.submit(run_isolated, function, task, started=self._remember): index
                   for index, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """End what is running."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _remember(self, process: subprocess.Popen) -> None:
        with self._lock:
            self._running = [each for each in self._running if each.poll() is None] + [process]
            if self._closed:
                process.kill()


class DaskCluster(Executor):
    """
    The workers of a scheduler of Dask; tasks that run when it is left come to their end.

    :raises ValueError: if it does not answer.
    """

    def __init__(self, address: str):
        """Connect."""
        import distributed
        try:
            self._client = distributed.Client(
                address, timeout=CONNECT_S, name='fg2')
        except (OSError, ValueError) as error:
            raise ValueError(f'there is no scheduler of Dask at {address}: {error}') from None

    def outcomes(self, function: Function, tasks: Sequence[Any]
                 ) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes; see `Executor.outcomes`."""
        import distributed
        futures = {
            self._client.submit(
                run_isolated, function, task, __version__, os.getcwd(), pure=False): index
            for index, task in enumerate(tasks)}
        try:
            for future in distributed.as_completed(futures):
                yield futures.pop(future), _result(future.result)
        finally:
            self._client.cancel(list(futures))

    def close(self) -> None:
        """Disconnect."""
        self._client.close()


class RayCluster(Executor):
    """
    The nodes of a Ray cluster, one processor for a task; those that run when it is left are ended.

    :raises ValueError: if it does not answer.
    """

    def __init__(self, address: str):
        """Connect."""
        import ray
        try:
            self._client = ray.init(address, allow_multiple=True, log_to_driver=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f'there is no Ray cluster at {address}: {error}') from None

    def outcomes(self, function: Function, tasks: Sequence[Any]
                 ) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes; see `Executor.outcomes`."""
        import ray
        with self._client:
            remote = ray.remote(num_cpus=1, max_retries=0)(run_isolated)
            futures = {remote.remote(function, task, __version__, os.getcwd()): index
                       for index, task in enumerate(tasks)}
            try:
                while futures:
                    (future,), _ = ray.wait(list(futures), num_returns=1)
                    yield futures.pop(future), _result(lambda: ray.get(future))
            finally:
                for future in futures:
                    ray.cancel(future)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()


def _result(get: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of a task; an error of the cluster counts as a failure of the task."""
    try:
        return get()
    except Exception as error:
        return Outcome(failure=f'the cluster lost it ({type(error).__name__}: {error})')
