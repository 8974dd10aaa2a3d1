"""
What all tests share: a ROS network of their own, and a clean shared memory afterwards.

The variables are set here, on import, since ROS 2 and torch read them when first imported.
"""

import fcntl
import os
from pathlib import Path
import socket

from hypothesis import settings
import pytest

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
