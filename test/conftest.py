"""
What all tests share: a ROS network of their own, and a clean shared memory afterwards.

The variables are set here, on import, since ROS 2 reads them when its modules are first imported.
"""

import fcntl
import os
from pathlib import Path

import pytest

LAST_DOMAIN = 101  # beyond it, the ports of a domain collide with those Linux hands out
SHARED_MEMORY = Path('/dev/shm')

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(os.getpid() % LAST_DOMAIN + 1)
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'  # an int in a float field is an error, not garbage


@pytest.fixture(scope='session', autouse=True)
def clean_shared_memory():
    """Remove, at the end, what killed processes left in the shared memory."""
    yield
    for lock in SHARED_MEMORY.glob('fastrtps_*_el'):
        if not is_held(lock):
            name = lock.name.removesuffix('_el')
            for leftover in (lock, lock.with_name(name), lock.with_name(f'sem.{name}_mutex')):
                leftover.unlink(missing_ok=True)


def is_held(lock: Path) -> bool:
    """Return whether a living process holds the lock that Fast DDS keeps beside a segment."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
