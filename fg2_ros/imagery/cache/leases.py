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
"""Leases on tiles, so that several processes on one cache fetch each tile once."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from uuid import uuid4

from fg2_ros.imagery.tiles.mbtiles import IS_TILE

TABLE = """
    CREATE TABLE IF NOT EXISTS fg2_leases (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, owner TEXT, until REAL,
        PRIMARY KEY (zoom_level, tile_column, tile_row));
"""


def new_owner() -> str:
    """Return a unique name for a process that fetches tiles."""
    return f'{socket.gethostname()} {os.getpid()} {uuid4().hex}'


def take(database: sqlite3.Connection, row: tuple[int, int, int], owner: str,
         lasts_s: float) -> bool:
    """
    Lease a tile unless another owner has it, and return whether it is ours.

    :param owner: from `new_owner`; who has the tile already keeps it for longer.
    :param lasts_s: how long it is kept unless it is given back; who is gone keeps nothing.
    """
    now = time.time()
    found = database.execute(
        f'SELECT owner, until FROM fg2_leases WHERE {IS_TILE}', row).fetchone()
    # A time far ahead was written by a clock that has been put back since.
    if found and found[0] != owner and now < found[1] < now + 10 * lasts_s and _lives(found[0]):
        return False
    database.execute('INSERT OR REPLACE INTO fg2_leases VALUES (?, ?, ?, ?, ?)',
                     (*row, owner, now + lasts_s))
    return True


def give_back(database: sqlite3.Connection, row: tuple[int, int, int]) -> None:
    """Release the lease of a tile."""
    database.execute(f'DELETE FROM fg2_leases WHERE {IS_TILE}', row)


def _lives(owner: str) -> bool:
    """Return whether an owner may still exist; one on another machine may."""
    host, process, _ = (owner.split() + ['', '', ''])[:3]
    if host != socket.gethostname() or not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is somebody else's
    return True
