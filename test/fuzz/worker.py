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
A process that uses changed inputs, one after the other, within bounds.

It reads lines of JSON (kind, number) from its input and answers each with one of what happened.
The one who asks ends it when it takes too long.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
import resource
import sys
import tempfile
from test.fuzz.kinds import KINDS, REFUSALS, require_sentence
import time
import traceback
import warnings

MEMORY_BYTES = 2_000_000_000


def main() -> None:
    """Answer until there is no more to read."""
    answers = os.fdopen(os.dup(1), 'w')  # what libraries print goes elsewhere
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter('ignore')
    _load_libraries()
    _bound_memory()
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        for line in sys.stdin:
            name, number = json.loads(line)
            json.dump(_outcome(name, number, Path(folder)) if name in KINDS else {}, answers)
            answers.write('\n')
            answers.flush()


def _load_libraries() -> None:
    """Import what takes long, so that it counts for no input."""
    import cv2  # noqa: F401
    from fg2_ros.localizer import Localizer  # noqa: F401
    import rasterio  # noqa: F401
    import torch
    torch.set_num_threads(1)


def _bound_memory() -> None:
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _outcome(name: str, number: int, folder: Path) -> dict:
    """Return what became of an input: 'ok', 'refused' or a finding."""
    kind = KINDS[name]
    path = folder / f'input{kind.suffix}'
    path.write_bytes(kind.case(name, number))
    start_s, outcome, text = time.monotonic(), 'ok', ''
    try:
        try:
            kind.use(path)
        except REFUSALS as error:
            require_sentence(error)
            outcome = 'refused'
    except BaseException as error:
        outcome, text = 'finding', f'{type(error).__name__}: {str(error)[:300]}\n' + ''.join(
            traceback.format_tb(error.__traceback__)[-3:])
    for file in folder.iterdir():
        file.unlink()
    return {'outcome': outcome, 'text': text, 'seconds': time.monotonic() - start_s}


if __name__ == '__main__':
    main()
