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

"""The disk cache when things go wrong: killed processes, full disks, damage, no right to write."""

from contextlib import closing, contextmanager, ExitStack
import logging
import os
from pathlib import Path
import random
import resource
import sqlite3
import subprocess
import sys
from tempfile import TemporaryDirectory
from test.helpers.asking import ask, ask_until, is_patch
from test.helpers.cache_kit import disk_bytes, MEMORY, rows, SOURCE, tile_data, Writers
from test.helpers.http_stub import Reply
from test.helpers.processes import ended, join_all, lines_until, running
import threading

from fg2_ros.imagery.cache.cache import CacheError, TileCache
from fg2_ros.imagery.status import CacheStatus
from fg2_ros.imagery.tiles.address import TileId
from hypothesis import given, settings, strategies
import numpy as np
import pytest

NOBODY = 65534
ROOM = 100_000_000


def sentences(caplog, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def fill(path, count: int, bound: int = ROOM) -> None:
    """Make a cache with the tiles (18, 0, 0), (18, 1, 0), ..."""
    cache = TileCache(path, bound, SOURCE)
    for x in range(count):
        cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
    cache.close()


def require_sound(path) -> None:
    assert rows(path, 'PRAGMA integrity_check') == [('ok',)]
    for x, data in rows(path, 'SELECT tile_column, tile_data FROM tiles'):
        assert data == tile_data(x)
    assert rows(path, 'SELECT zoom_level, tile_column, tile_row FROM tiles EXCEPT'
                ' SELECT zoom_level, tile_column, tile_row FROM fg2_tiles') == []


@contextmanager
def as_nobody():
    """Give up the rights of root, which no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def unwritable(folder):
    """Let nobody write into a folder and its files."""
    entries = [folder, *folder.iterdir()]
    for entry in entries:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        with as_nobody():
            yield
    finally:
        for entry in entries:
            entry.chmod(0o755)


# Killed processes ------------------------------------------------------------------------------

def test_a_killed_writer_loses_nothing_that_it_had_written(folder):
    path, dice = folder / 'c.mbtiles', random.Random(0)
    written = set()
    with Writers(path, ROOM) as writers:
        for i in range(30):
            process = writers.start(1000 * i)
            for _ in range(dice.randrange(8)):
                written.add(writers.written())
            threading.Event().wait(dice.uniform(0, 0.003))  # at any moment of a write
            written |= set(writers.kill(process))
            kept = {x for x, in rows(path, 'SELECT tile_column FROM tiles')} if written else set()
            assert written <= kept and len(kept) <= len(written) + i + 1  # perhaps one unsaid
    require_sound(path)
    cache = TileCache(path, ROOM, SOURCE)
    for x in written:
        assert cache.get(TileId(18, x, 0)).data == tile_data(x)
    cache.close()


def test_a_writer_that_is_killed_while_it_evicts_leaves_a_sound_file(folder):
    path, dice = folder / 'c.mbtiles', random.Random(1)
    with Writers(path, 500_000) as writers:
        for i in range(15):
            process = writers.start(1000 * i)
            last = [writers.written() for _ in range(10 + dice.randrange(20))][-1]
            last = (writers.kill(process) or [last])[-1]
            assert rows(path, f'SELECT count(*) FROM tiles WHERE tile_column = {last}') == [(1,)]
            assert disk_bytes(path) < 520_000
    require_sound(path)


def test_processes_and_threads_share_a_file(folder):
    path = folder / 'c.mbtiles'
    cache = TileCache(path, 2_000_000, SOURCE)
    with Writers(path, 2_000_000) as one, Writers(path, 2_000_000) as another:
        processes = [(one, one.start(1000)), (another, another.start(5000))]
        for writers, _ in processes:
            writers.written()
        threads = [threading.Thread(target=lambda y=y: [
            cache.put(TileId(17, x, y), tile_data(x), '', 0.0) or cache.get(TileId(18, x, 0))
            for x in range(10)]) for y in range(3)]
        for thread in threads:
            thread.start()
        join_all(*threads)
        for writers, process in processes:
            writers.kill(process)
    cache.put(TileId(17, 9, 2), tile_data(9), '', 0.0)  # the writers may have made room of it
    assert disk_bytes(path) < 2_100_000  # SQLite's log may have been longer while they read
    assert cache.get(TileId(17, 9, 2)).data == tile_data(9)
    cache.close()
    require_sound(path)
    bounds = dict(rows(path, 'SELECT name, value FROM metadata'))
    assert (bounds['minzoom'], bounds['maxzoom']) == ('17', '18')


# A full disk -----------------------------------------------------------------------------------

@contextmanager
def files_limited_to(size: int):
    """Let no file of this process grow above a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_it_goes_on_without_writing(folder, caplog, monkeypatch):
    path = folder / 'c.mbtiles'
    fill(path, 50)
    cache = TileCache(path, ROOM, SOURCE)
    with files_limited_to(path.stat().st_size + 10_000):
        for x in range(50, 250):
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
            assert cache.get(TileId(18, x % 50, 0)).data == tile_data(x % 50)
        assert len(sentences(caplog)) == 1
        assert f'the tile cache {path} cannot be written' in sentences(caplog)[0]
        assert str(cache.status).startswith(f'{path} (not written: ')
        assert cache.get(TileId(18, 249, 0)) is None
        monkeypatch.setattr('fg2_ros.imagery.cache.cache._WRITE_PAUSE_S', 0.0)
        cache._write_again_s = 0.0  # the pause is over: once more, and in vain
        cache.put(TileId(18, 249, 0), tile_data(249), '', 0.0)
        assert len(sentences(caplog)) == 1
    cache.put(TileId(18, 249, 0), tile_data(249), '', 0.0)  # there is room again
    assert cache.get(TileId(18, 249, 0)).data == tile_data(249)
    assert cache.status == CacheStatus(path) and len(sentences(caplog)) == 1
    cache.close()
    require_sound(path)
    assert rows(path, 'SELECT count(*) FROM tiles WHERE tile_column < 50') == [(50,)]


def test_a_disk_that_is_full_at_the_start_leaves_what_was_there_to_read(folder, caplog):
    path = folder / 'c.mbtiles'
    fill(path, 20)
    before = path.read_bytes()
    with files_limited_to(0):
        cache = TileCache(path, ROOM, SOURCE)
        for x in range(40):
            found = cache.get(TileId(18, x, 0))
            assert found is None if x >= 20 else found.data == tile_data(x)
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
        assert len(sentences(caplog)) == 1 and 'cannot be written' in sentences(caplog)[0]
        with pytest.raises(CacheError, match='cannot be used'):
            TileCache(folder / 'new.mbtiles', ROOM, SOURCE)
    cache.close()
    assert path.read_bytes() == before


# No right to write -----------------------------------------------------------------------------

@pytest.mark.parametrize('killed', [False, True])
def test_a_cache_on_a_read_only_medium_is_used(folder, caplog, killed):
    folder.chmod(0o755)
    path, newest = folder / 'c.mbtiles', 59
    if killed:  # then the file is in write-ahead mode
        with Writers(path, 1_000_000) as writers:
            process = writers.start(0)
            while newest < 60:
                newest = writers.written()
            newest = (writers.kill(process) or [newest])[-1]  # it was ahead of its reports
        with closing(sqlite3.connect(path)) as database:
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    else:
        fill(path, 60)
    before = path.read_bytes()
    with unwritable(folder):
        cache = TileCache(path, 1_000_000, SOURCE)
        assert cache.get(TileId(18, newest, 0)).data == tile_data(newest)
        for x in range(400):
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
        cache.refresh(TileId(18, newest, 0), 9.0)
        cache.remove(TileId(18, newest, 0))
        assert cache.get(TileId(18, newest, 0)).data == tile_data(newest)
        assert len(sentences(caplog)) == 1 and 'cannot be written' in sentences(caplog)[0]
        with pytest.raises(CacheError, match='holds the tiles of another source'):
            TileCache(path, 1_000_000, 'https://elsewhere/{z}/{x}/{y}')
        cache.close()
    assert path.read_bytes() == before and set(folder.iterdir()) <= {
        path, folder / 'c.mbtiles-wal', folder / 'c.mbtiles-shm'}


def test_a_file_that_another_process_writes_for_long_is_read_and_written_later(
        folder, monkeypatch, caplog):
    monkeypatch.setattr('fg2_ros.imagery.cache.cache._WRITE_PAUSE_S', 0.0)
    monkeypatch.setattr('fg2_ros.imagery.tiles.mbtiles.BUSY_S', 0.05)
    path = folder / 'c.mbtiles'
    fill(path, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute('BEGIN IMMEDIATE')
        cache = TileCache(path, ROOM, SOURCE)
        assert cache.get(TileId(18, 2, 0)).data == tile_data(2)
        for x in (7, 8):
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
        assert 'not written: database is locked' in str(cache.status)
        other.execute('ROLLBACK')
    cache.put(TileId(18, 9, 0), tile_data(9), '', 0.0)
    assert cache.get(TileId(18, 9, 0)).data == tile_data(9)
    assert cache.get(TileId(18, 7, 0)) is None and cache.status == CacheStatus(path)
    assert len([each for each in sentences(caplog) if 'cannot be written' in each]) == 1
    cache.close()


def test_what_becomes_writable_is_written(folder, monkeypatch):
    folder.chmod(0o755)
    monkeypatch.setattr('fg2_ros.imagery.cache.cache._WRITE_PAUSE_S', 0.0)
    fill(folder / 'c.mbtiles', 3)
    with unwritable(folder):
        cache = TileCache(folder / 'c.mbtiles', ROOM, SOURCE)
        cache.put(TileId(18, 9, 0), tile_data(9), '', 0.0)
        assert cache.get(TileId(18, 9, 0)) is None
    cache.put(TileId(18, 9, 0), tile_data(9), '', 0.0)
    assert cache.get(TileId(18, 9, 0)).data == tile_data(9)
    cache.close()


def test_in_a_folder_that_nobody_may_write_it_works_without_a_cache(
        grey_server, open_imagery, folder, caplog):
    folder.chmod(0o755)
    with unwritable(folder):
        imagery = open_imagery(grey_server.template, folder / 'deep' / 'c.mbtiles')
    assert is_patch(ask_until(imagery, is_patch))
    assert str(imagery.status().caches[0]).startswith('off: the tile cache')
    assert len(sentences(caplog)) == 1 and 'kept in memory only' in sentences(caplog)[0]


# Damage ----------------------------------------------------------------------------------------

def set_aside(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if '.corrupt-' in file.name)


@pytest.mark.parametrize('damage', [
    lambda data: b'this is no database, and long enough to be looked at' * 100,
    lambda data: data[:16] + bytes(5000),
    lambda data: bytes(4096) + data[4096:],
    lambda data: data[:100] + random.Random(0).randbytes(2000) + data[2100:],
    lambda data: data[:700],
    lambda data: data.replace(b'fg2_absent', b'fg2_\xff\xfe\xfd\xfc\xfb\xfa'),
    lambda data: data.replace(b'REATE TABLE fg2_absent', b'REATE TABL\xff fg2_absent'),
], ids=['text', 'header only', 'zeroed header', 'noise in the first page', 'truncated',
        'a name that is no text', 'a statement that is no text'])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(folder, caplog, damage):
    path = folder / 'c.mbtiles'
    fill(path, 5)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    cache = TileCache(path, ROOM, SOURCE)
    cache.put(TileId(18, 7, 0), tile_data(7), '', 0.0)
    assert cache.get(TileId(18, 7, 0)).data == tile_data(7)
    cache.close()
    aside, = set_aside(folder)
    assert (folder / aside).read_bytes() == damaged
    assert len(sentences(caplog)) == 1
    assert f'the tile cache {path} is damaged' in sentences(caplog)[0]
    assert aside in sentences(caplog)[0]
    require_sound(path)


def test_damage_that_shows_up_in_use_sets_the_file_aside(folder, caplog):
    path = folder / 'c.mbtiles'
    fill(path, 100)
    cache = TileCache(path, ROOM, SOURCE)
    with open(path, 'r+b') as file:  # all but the schema, which is read by now
        file.seek(4096)
        file.write(b'\xff' * (path.stat().st_size - 4096))
    assert cache.get(TileId(18, 7, 0)) is None
    cache.put(TileId(18, 7, 0), tile_data(7), '', 0.0)
    assert cache.get(TileId(18, 7, 0)).data == tile_data(7) and cache.status == CacheStatus(path)
    cache.close()
    assert len(set_aside(folder)) == 1 and len(sentences(caplog)) == 1
    require_sound(path)


@settings(max_examples=20, deadline=None)
@given(places=strategies.lists(strategies.floats(0, 1), min_size=1, max_size=30),
       noise=strategies.binary(min_size=1, max_size=200))
def test_whatever_is_damaged_no_wrong_tile_comes_out(pristine, places, noise):
    damaged = bytearray(pristine)
    for place in places:
        start = int(place * (len(damaged) - len(noise)))
        damaged[start:start + len(noise)] = noise
    with TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / 'c.mbtiles'
        path.write_bytes(damaged)
        try:
            cache = TileCache(path, ROOM, SOURCE)
        except CacheError:
            return  # its schema is somebody else's by now
        require_no_wrong_tiles(cache)


def require_no_wrong_tiles(cache: TileCache) -> None:
    for x in range(10):
        found = cache.get(TileId(18, x, 0))
        assert found is None or found.data == tile_data(x)
    cache.put(TileId(18, 3, 0), tile_data(3), '', 0.0)
    cache.put(TileId(18, 3, 0), tile_data(3), '', 0.0)  # at the latest now in a new file
    assert cache.get(TileId(18, 3, 0)).data == tile_data(3)
    cache.close()


@pytest.fixture(scope='module')
def pristine():
    with TemporaryDirectory(dir=MEMORY) as folder:
        fill(Path(folder) / 'c.mbtiles', 10)
        return (Path(folder) / 'c.mbtiles').read_bytes()


def test_a_process_follows_when_another_sets_the_file_aside(folder):
    path = folder / 'c.mbtiles'
    fill(path, 3)
    one, another = TileCache(path, ROOM, SOURCE), TileCache(path, ROOM, SOURCE)
    one._handle(damage(), 'read')
    one.put(TileId(18, 8, 0), tile_data(8), '', 0.0)
    assert another.get(TileId(18, 8, 0)).data == tile_data(8)
    another.put(TileId(18, 9, 0), tile_data(9), '', 0.0)
    assert one.get(TileId(18, 9, 0)).data == tile_data(9)
    another._handle(damage(), 'read')
    one.close()
    another.close()
    assert len({name.removesuffix('-shm').removesuffix('-wal') for name in set_aside(folder)}) == 2
    require_sound(path)


def damage() -> sqlite3.DatabaseError:
    """Return the error that SQLite raises for a file that is none of its own."""
    error = sqlite3.DatabaseError('file is not a database')
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def test_damage_again_and_again_does_not_fill_the_disk(folder, caplog):
    cache = TileCache(folder / 'c.mbtiles', ROOM, SOURCE)
    for _ in range(4):
        cache.put(TileId(18, 0, 0), tile_data(0), '', 0.0)
        cache._handle(damage(), 'read')
    assert not cache.status.is_open and 'again and again' in cache.status.obstacle
    assert cache.get(TileId(18, 0, 0)) is None
    cache.put(TileId(18, 0, 0), tile_data(0), '', 0.0)
    cache.close()
    assert len(set_aside(folder)) == 3 and len(sentences(caplog)) == 4


def test_a_cache_that_is_deleted_while_in_use_is_made_anew(folder):
    path = folder / 'c.mbtiles'
    cache = TileCache(path, ROOM, SOURCE)
    cache.put(TileId(18, 0, 0), tile_data(0), '', 0.0)
    path.unlink()  # and not what SQLite has beside it
    assert cache.get(TileId(18, 0, 0)) is None
    cache.put(TileId(18, 1, 0), tile_data(1), '', 0.0)
    cache.close()
    require_sound(path)
    assert rows(path, 'SELECT tile_column FROM tiles') == [(1,)]


@pytest.mark.parametrize('name, content', [
    ('holiday.jpg', b'\xff\xd8\xff' * 100),
    ('theirs.mbtiles', b'SQLite format 3\0' + b'\1' * 90 + b'CREATE TABLE trips (day)' * 50),
    ('notes.sqlite', b'SQLite format 3\0' + bytes(5000)),
])
def test_what_may_be_somebody_else_s_is_not_touched_even_if_damaged(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(CacheError, match='left as it is'):
        TileCache(folder / name, ROOM, SOURCE)
    assert (folder / name).read_bytes() == content and len(list(folder.iterdir())) == 1


def test_imagery_goes_on_without_a_word_more_than_needed(
        grey_server, open_imagery, folder, caplog):
    path = folder / 'c.mbtiles'
    path.write_bytes(b'nonsense' * 1000)
    imagery = open_imagery(grey_server.template, path)
    assert np.all(ask(imagery, wait_s=60).image == 99)
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    status = imagery.status()
    imagery.close()
    assert status.caches == (CacheStatus(path),) and len(sentences(caplog)) == 1
    grey_server.reply = lambda path, headers: Reply(503)
    offline = open_imagery(grey_server.template, path)
    assert np.all(ask(offline, wait_s=60).image == 99)


def test_a_crowd_that_begins_together_makes_one_file(folder):
    """Several processes start where there is no file, or a damaged one."""
    code = ('import sys; from fg2_ros.imagery.tiles import mbtiles; mbtiles.BUSY_S = 60.0;'
            ' from fg2_ros.imagery.cache.cache import TileCache; sys.stdin.readline();'
            f' cache = TileCache(sys.argv[1], 10**7, {SOURCE!r});'
            ' print(cache.status, flush=True);'
            ' sys.stdin.readline(); cache.close()')
    path = folder / 'c.mbtiles'
    with ExitStack() as stack:
        crowd = [stack.enter_context(running(
            [sys.executable, '-c', code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)) for _ in range(3)]
        path.write_bytes(b'nonsense' * 1000)
        for process in crowd:
            process.stdin.write('go\n')
            process.stdin.flush()
        for process in crowd:
            assert lines_until('', process.stdout, process) == [f'{path}\n']
        for process in crowd:
            ended(process, 'end\n')
    assert len(set_aside(folder)) == 1
    require_sound(path)
