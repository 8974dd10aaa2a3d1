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

"""What the tests of the tile cache share: tiles, a look into the file, other processes."""

from __future__ import annotations

from contextlib import closing
import os
from pathlib import Path
import signal
import sqlite3
import subprocess
import sys
from test.helpers.http_stub import GREY_TILE
from test.helpers.paths import ROOT
from test.helpers.processes import lines_until, PATIENCE_S

from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.tiles.address import TileId
import numpy as np

SOURCE = 'https://h/{z}/{x}/{y}'
MEMORY = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None  # a disk is waited for often


def tile_data(seed: int, size: int = 20_000) -> bytes:
    """Return a PNG tile that nothing compresses; what follows its end is noise."""
    return GREY_TILE + np.random.default_rng(seed).bytes(size - len(GREY_TILE))


def rows(path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def disk_bytes(path) -> int:
    """Return what a cache takes on the disk, SQLite's log included."""
    return sum(file.stat().st_size for file in Path(path).parent.glob(f'{Path(path).name}*')
               if not file.name.endswith('-shm'))


class Writers:
    """
    Processes that write tiles until they are killed, one at a time; use as a context manager.

    A process writes the tiles (18, number, 0), number + 1, ... with `tile_data` of x, and closes
    and opens the file again and again.

    :param path: the cache.
    :param max_bytes: its bound.
    """

    def __init__(self, path: Path, max_bytes: int):
        self._nursery = subprocess.Popen(
            [sys.executable, '-m', 'test.helpers.cache_kit', path, str(max_bytes)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_) -> None:
        self._nursery.stdin.close()
        self._nursery.stdout.close()
        try:
            self._nursery.wait(PATIENCE_S)
        finally:
            self._nursery.kill()

    def start(self, number: int) -> int:
        """Start a process and return its id."""
        self._nursery.stdin.write(f'{number}\n')
        self._nursery.stdin.flush()
        return int(self._line())

    def written(self) -> int | None:
        """Wait for the next tile that is written and return its x; None if the process is dead."""
        line = self._line()
        return None if line == 'dead' else int(line)

    def _line(self) -> str:
        return lines_until('', self._nursery.stdout, self._nursery)[0].strip()

    def kill(self, process: int) -> list[int]:
        """Kill a process and return what it had written that was not asked for yet."""
        os.kill(process, signal.SIGKILL)
        return list(iter(self.written, None))


def say(text: str) -> None:
    os.write(1, f'{text}\n'.encode())


def write_tiles(path: str, max_bytes: int, x: int) -> None:
    say(str(os.getpid()))
    while True:
        cache = TileCache(path, max_bytes, SOURCE)
        for _ in range(6):
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
            say(str(x))
            x += 1
        cache.close()


def main() -> None:
    """Fork a writer for each number that comes in: a new interpreter would take much longer."""
    path, max_bytes = sys.argv[1], int(sys.argv[2])
    for line in sys.stdin:
        process = os.fork()
        if not process:
            write_tiles(path, max_bytes, int(line))
        os.waitpid(process, 0)
        say('dead')


if __name__ == '__main__':
    main()
