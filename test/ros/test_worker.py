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

"""What the worker thread's memory costs, and how it ends."""

import ctypes
import sys
from test.helpers.processes import run_to_its_end
import threading

from fg2_ros.ros.worker import is_busy, Worker
import pytest

BLOCKS_IN_A_THREAD = """
from fg2_ros.ros.worker import keep_memory
import numpy as np
import resource, sys, threading

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    for round in range(6):
        blocks = [np.ones(2_800_000, np.float32) for _ in range(4)]
        del blocks
        if round == 1:
            before = page_faults()
    print(page_faults() - before)

if sys.argv[1] == 'keep':
    keep_memory()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def page_faults(how: str) -> int:
    """Return the page faults of a thread that makes and drops the same large blocks."""
    return int(run_to_its_end(
        [sys.executable, '-c', BLOCKS_IN_A_THREAD, how], check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallopt'), reason='not glibc')
def test_large_blocks_of_a_thread_are_kept_for_the_next():
    assert page_faults('keep') < 100 < page_faults('as is')


def test_worker_that_nobody_can_interrupt_is_not_waited_for_without_end():
    """After Ctrl-C the process ends although an image is being worked on."""
    entered, proceed = threading.Event(), threading.Event()

    def process(item):
        entered.set()
        assert proceed.wait(60.0)
    worker = Worker(process)
    worker.mailbox.put('an image')
    assert entered.wait(60.0)
    assert not worker.stop(patience_s=0.01) and is_busy()
    proceed.set()
    assert worker.stop() and not is_busy()
