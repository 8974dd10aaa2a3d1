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

It reads lines of JSON (kind, number) from its input and answers each with two: when the input is
made, and what happened. The one who asks ends it when it takes too long between the two.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
import resource
import sys
import tempfile
from test.fuzz.kinds import Kind, KINDS, REFUSALS, require_sentence
import time
import traceback
from typing import Any, TextIO
import warnings

LONGEST_S = 10.0
MOST_BYTES = 2_000_000_000  # in use at once, beyond what the libraries have
# What is asked for but never written to takes none of the machine's: this is only to stop it.
ADDRESS_BYTES = 3 * MOST_BYTES


def main() -> None:
    """Answer until there is no more to read."""
    answers = os.fdopen(os.dup(1), 'w')  # what libraries print goes elsewhere
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter('ignore')
    _load_libraries()
    _bound_memory()
    _say(answers, 'ready')
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        for line in sys.stdin:
            name, number = json.loads(line)
            path = Path(folder) / f'input{KINDS[name].suffix}'
            path.write_bytes(KINDS[name].case(name, number))
            _say(answers, 'made')
            _say(answers, _outcome(KINDS[name], path))
            for file in Path(folder).iterdir():
                file.unlink()


def _say(answers: TextIO, what: Any) -> None:
    json.dump(what, answers)
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
    most = pages * resource.getpagesize() + ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _outcome(kind: Kind, path: Path) -> dict:
    """Return what becomes of an input: 'ok', 'refused' or a finding."""
    start_s, before, outcome, text = time.process_time(), _most_bytes(anew=True), 'ok', ''
    try:
        try:
            kind.use(path)
        except REFUSALS as error:
            require_sentence(error)
            outcome = 'refused'
    except BaseException as error:
        outcome, text = 'finding', f'{type(error).__name__}: {str(error)[:300]}\n' + ''.join(
            traceback.format_tb(error.__traceback__)[-3:])
    if (used := _most_bytes() - before) > MOST_BYTES:
        outcome, text = 'finding', f'it took {used / 1e9:.1f} GB'
    seconds = time.process_time() - start_s  # others may keep the processor busy meanwhile
    if seconds > LONGEST_S:
        outcome, text = 'finding', f'it took {seconds:.0f} s'
    return {'outcome': outcome, 'text': text, 'seconds': seconds}


def _most_bytes(anew: bool = False) -> int:
    """Return the most memory that was in use at once, since it was last asked anew."""
    if anew:
        Path('/proc/self/clear_refs').write_text('5')
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(dict(line.split(':', 1) for line in lines)['VmHWM'].split()[0])


if __name__ == '__main__':
    main()
