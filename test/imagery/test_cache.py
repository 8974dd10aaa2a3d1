"""The disk cache: a valid MBTiles file, bounded, and hard to break."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading

from fg2_ros.imagery.cache import CacheError, TileCache
from fg2_ros.imagery.sources import TileId
from http_stub import encoded
import numpy as np
import pytest

SOURCE = 'https://h/{z}/{x}/{y}'


def tile_data(seed: int) -> bytes:
    """Return a PNG tile of about 200 kB that nothing compresses."""
    return encoded(np.random.default_rng(seed).integers(0, 255, (256, 256, 3), np.uint8))


@pytest.fixture
def cache(tmp_path):
    cache = TileCache(tmp_path / 'c.mbtiles', 10_000_000, SOURCE)
    yield cache
    cache.close()


def rows(path, query):
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_what_is_put_in_comes_out(cache):
    cache.put(TileId(18, 5, 7), tile_data(0), '"tag"', 123.0)
    found = cache.get(TileId(18, 5, 7))
    assert (found.data, found.etag, found.expires) == (tile_data(0), '"tag"', 123.0)
    assert cache.get(TileId(18, 7, 5)) is None
    cache.refresh(TileId(18, 5, 7), 456.0)
    assert cache.get(TileId(18, 5, 7)).expires == 456.0
    cache.remove(TileId(18, 5, 7))
    assert cache.get(TileId(18, 5, 7)) is None


def test_the_file_is_mbtiles(cache):
    cache.put(TileId(1, 0, 0), tile_data(0), '', 0.0)
    cache.put(TileId(2, 1, 1), tile_data(1), '', 0.0)
    assert rows(cache.path, 'SELECT zoom_level, tile_column, tile_row FROM tiles ORDER BY 1') == [
        (1, 0, 1), (2, 1, 2)]  # rows are counted from the south
    metadata = dict(rows(cache.path, 'SELECT name, value FROM metadata'))
    assert metadata['format'] == 'png' and metadata['name'] == 'c'
    assert (metadata['minzoom'], metadata['maxzoom']) == ('1', '2')
    bounds = [float(value) for value in metadata['bounds'].split(',')]
    np.testing.assert_allclose(bounds, (-180, 0, 0, 85.0511288), atol=1e-6)
    assert rows(cache.path, 'PRAGMA application_id') == [(0x4D504258,)]


def test_the_size_is_bounded_and_the_least_recently_used_go(cache):
    for i in range(100):  # 20 MB into 10 MB
        cache.put(TileId(18, i, 0), tile_data(i), '', 0.0)
        cache.get(TileId(18, 0, 0))
        assert cache.path.stat().st_size < 10_500_000
    assert cache.get(TileId(18, 0, 0)) is not None  # the oldest, but always in use
    assert cache.get(TileId(18, 99, 0)) is not None
    assert cache.get(TileId(18, 5, 0)) is None
    kept, = rows(cache.path, 'SELECT count(*) FROM tiles')[0]
    assert 40 < kept < 51
    assert rows(cache.path, 'SELECT count(*) FROM fg2_tiles') == [(kept,)]


WRITER = """
import sys
from fg2_ros.imagery.cache import TileCache
from fg2_ros.imagery.sources import TileId
data = open(sys.argv[2], 'rb').read()
cache = TileCache(sys.argv[1], 5_000_000, 'https://h/{z}/{x}/{y}')
for i in range(1_000_000):
    cache.put(TileId(18, i, 0), data, '', 0.0)
    print(i, flush=True)
"""


def start_writer(path, tmp_path) -> subprocess.Popen:
    (tmp_path / 'tile').write_bytes(tile_data(0))
    return subprocess.Popen(
        [sys.executable, '-c', WRITER, path, tmp_path / 'tile'], stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path):
    path = tmp_path / 'c.mbtiles'
    for writes in (3, 40):  # the second one is killed while it evicts
        with start_writer(path, tmp_path) as writer:
            for _ in range(writes):
                last = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        cache = TileCache(path, 5_000_000, SOURCE)
        assert cache.get(TileId(18, last, 0)).data == tile_data(0)
        cache.close()
        assert rows(path, 'PRAGMA integrity_check') == [('ok',)]
        assert rows(path, 'SELECT count(*) FROM tiles') == rows(
            path, 'SELECT count(*) FROM fg2_tiles JOIN tiles'
            ' USING (zoom_level, tile_column, tile_row)')


def test_two_processes_and_many_threads_share_a_file(tmp_path, cache):
    with start_writer(cache.path, tmp_path) as writer:
        writer.stdout.readline()
        threads = [threading.Thread(target=lambda y=y: [
            cache.put(TileId(17, x, y), tile_data(x), '', 0.0) or cache.get(TileId(18, x, 0))
            for x in range(5)]) for y in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.kill()
    assert rows(cache.path, 'PRAGMA integrity_check') == [('ok',)]
    assert cache.get(TileId(17, 4, 2)).data == tile_data(4)


@pytest.mark.parametrize('content, sentence', [
    (b'this is no database, and long enough to be looked at' * 100, 'cannot be used'),
    (b'SQLite format 3\0' + bytes(5000), 'cannot be used')])
def test_a_corrupt_file_is_reported(tmp_path, content, sentence):
    path = tmp_path / 'c.mbtiles'
    path.write_bytes(content)
    with pytest.raises(CacheError, match=sentence) as error:
        TileCache(path, 1_000_000, SOURCE)
    assert str(path) in str(error.value)


def test_a_file_of_another_source_is_refused(cache):
    with pytest.raises(CacheError, match='holds the tiles of another source'):
        TileCache(cache.path, 1_000_000, 'https://elsewhere/{z}/{x}/{y}')


def test_somebody_else_s_mbtiles_file_is_not_touched(tmp_path):
    path = tmp_path / 'theirs.mbtiles'
    database = sqlite3.connect(path)
    database.executescript('CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data);'
                           'CREATE TABLE metadata (name, value);')
    database.close()
    before = path.read_bytes()
    with pytest.raises(CacheError, match='is left as it is'):
        TileCache(path, 1_000_000, SOURCE)
    assert path.read_bytes() == before


def test_trouble_in_use_is_logged_once_and_looks_like_an_absent_tile(cache, caplog):
    cache.put(TileId(1, 0, 0), tile_data(0), '', 0.0)
    database = sqlite3.connect(cache.path)
    database.execute('DROP TABLE tiles')
    database.close()
    for _ in range(5):
        assert cache.get(TileId(1, 0, 0)) is None
        cache.put(TileId(1, 0, 0), tile_data(0), '', 0.0)
    sentences = [record.getMessage() for record in caplog.records]
    assert len(sentences) == 2
    assert 'could not be read' in sentences[0] and 'could not be written' in sentences[1]
