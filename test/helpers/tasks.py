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

"""Tasks at the top of a module, so that they can be pickled."""

from __future__ import annotations

import logging
import os
from pathlib import Path
import time

import numpy as np


def sums(path: Path) -> str:
    """Write numbers that depend on threads and seeds; return a word of the file's name."""
    numbers = np.random.default_rng(1).normal(size=(400, 400)).astype(np.float32)
    words = ' '.join({f'word {index}' for index in range(9)})
    path.write_text(f'{float((numbers @ numbers).sum())!r} {words}')
    print('whatever a library prints')
    logging.getLogger('a.library').warning('%s is small', path.stem)
    return path.stem


def refuses(path: Path) -> str:
    """Raise what a user is told of."""
    raise ValueError(f'{path.name} is broken')


def kills_itself(path: Path) -> str:
    """End like a process that the memory does not suffice for."""
    os.kill(os.getpid(), 9)
    return path.name


def as_named(path: Path) -> str:
    """Do what the name of a file says."""
    return {'broken': refuses, 'killed': kills_itself}.get(path.stem, sums)(path)


def waits_for_ever(path: Path) -> None:
    """Tell that it runs, and run on."""
    path.write_text(str(os.getpid()))
    while True:
        time.sleep(60)
