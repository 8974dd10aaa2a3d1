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
What all tests share: a ROS network of their own, and a clean shared memory afterwards.

The variables are set here, on import, since ROS 2 and torch read them when first imported.
"""

from contextlib import contextmanager
import fcntl
from importlib.util import find_spec
import os
from pathlib import Path
import signal
import socket

from hypothesis import settings
import pytest

LONGEST_TEST_S = 1200  # on a busy machine; whoever waits longer waits for what never comes
OPTIONAL = (  # neither needed by all that the package does nor installed by rosdep
    'distributed', 'embreex', 'mcap', 'onnx', 'onnxruntime', 'onnxscript', 'pmtiles', 'rasterio',
    'rclpy', 'rosbags', 'safetensors', 'tensorboardX', 'tf2_msgs', 'torch', 'trimesh')
MISSING = {name for name in OPTIONAL if find_spec(name) is None}
LAST_DOMAIN = 101  # beyond it, the ports of a domain collide with those Linux hands out
SHARED_MEMORY = Path('/dev/shm')

# Property tests judge results, not the speed of a busy machine, and the same ones every time;
# `pytest --hypothesis-profile=exploring` looks for others.
settings.register_profile('exploring', deadline=None)
settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')


def free_domain() -> int:
    """Return a ROS domain in which nobody is yet; another run of the tests may be under way."""
    first = os.getpid() % LAST_DOMAIN
    for domain in (number % LAST_DOMAIN + 1 for number in range(first, first + LAST_DOMAIN)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7410 + 250 * domain))  # of the first participant
            except OSError:
                continue
        return domain
    return first + 1


os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(free_domain())
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'  # an int in a float field is an error, not garbage

# Threads that wait for each other at every small step take many times as long as one where the
# machine has other work, too.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# Where a shell starts the tests in the background, Ctrl-C is ignored, by all that they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def in_time(item):
    """Let a test fail that waits for ever."""
    def give_up(*_):
        pytest.fail(f'{item.nodeid} has not ended within {LONGEST_TEST_S} s')

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST_TEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Limit the time of fixtures."""
    with in_time(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Limit the time of a test."""
    with in_time(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    """Limit the time of what fixtures clean up."""
    with in_time(item):
        return (yield)


def missing_package(error: BaseException | None) -> str | None:
    """Return the optional package for lack of which an error came about, if that is why."""
    while error is not None:
        if isinstance(error, ImportError):
            package = str(error.name).partition('.')[0]
            if package in MISSING:
                return package
        error = error.__cause__ or error.__context__
    return None


def skip_where_a_package_is_missing(call, report):
    """Turn the failure of what needs an optional package, where there is none, into a skip."""
    package = report.failed and missing_package(call.excinfo.value)
    if package:
        path, line, *_ = report.location if hasattr(report, 'location') else (report.nodeid, 0)
        report.outcome = 'skipped'
        report.longrepr = (path, (line or 0) + 1, f'Skipped: {package} is not installed')


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Look at what fails within a test or its fixtures."""
    report = yield
    skip_where_a_package_is_missing(call, report)
    return report


def pytest_exception_interact(call, report):
    """Look at what fails while a file with tests is imported."""
    if isinstance(report, pytest.CollectReport):
        skip_where_a_package_is_missing(call, report)


@pytest.fixture(scope='session', autouse=True)
def clean_shared_memory():
    """Remove, at the end, what killed processes left in the shared memory."""
    yield
    locked = {path.name.removesuffix('_el') for path in SHARED_MEMORY.glob('fastrtps_*_el')}
    for name in locked | own_ports():
        if not is_held(SHARED_MEMORY / f'{name}_el'):
            for leftover in (name, f'{name}_el', f'sem.{name}_mutex'):
                (SHARED_MEMORY / leftover).unlink(missing_ok=True)


def own_ports() -> set[str]:
    """Return the names that Fast DDS gives to the segments of the ports of the tests' domain."""
    first = 7400 + 250 * int(os.environ['ROS_DOMAIN_ID'])
    return {f'fastrtps_port{port}' for port in range(first, first + 250)}


def is_held(lock: Path) -> bool:
    """Return whether a living process holds the lock that Fast DDS keeps beside a segment."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@pytest.fixture
def one_thread():
    """Let torch use one thread for a test: for small tensors several cost more than they help."""
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def dask_address():
    """Return the address of a cluster of Dask with two workers, which all tests share."""
    from distributed import LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host='127.0.0.1',
                      dashboard_address=None) as cluster:
        yield cluster.scheduler_address
