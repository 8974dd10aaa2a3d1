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

"""The disk cache: a valid MBTiles file, bounded, and hard to break."""

from contextlib import closing
import sqlite3
from tempfile import TemporaryDirectory
from test.helpers.cache_kit import disk_bytes, MEMORY, rows, SOURCE, tile_data
from test.helpers.http_stub import encoded
import time

from fg2_ros.imagery.cache.cache import CachedAbsence, CachedTile, CacheError, TileCache
from fg2_ros.imagery.tiles.address import TileId, TileSource
from hypothesis import given, settings, strategies
import numpy as np
import pytest


@pytest.fixture
def cache(folder):
    cache = TileCache(folder / 'c.mbtiles', 2_000_000, SOURCE, 'Owner')
    yield cache
    cache.close()


def test_what_is_put_in_comes_out(cache):
    cache.put(TileId(18, 5, 7), tile_data(0), '"tag"', 123.0, 'Mon, 03 Feb 2025 10:00:00 GMT')
    assert cache.get(TileId(18, 5, 7)) == CachedTile(
        tile_data(0), '"tag"', 123.0, 'Mon, 03 Feb 2025 10:00:00 GMT')
    assert cache.get(TileId(18, 7, 5)) is None
    cache.refresh(TileId(18, 5, 7), 456.0)
    assert cache.get(TileId(18, 5, 7)).expires == 456.0
    cache.remove(TileId(18, 5, 7))
    assert cache.get(TileId(18, 5, 7)) is None


def test_absences_are_kept_until_they_expire_or_a_tile_comes(cache):
    here, there, then = TileId(18, 1, 0), TileId(18, 2, 0), time.time() + 100
    cache.put_absence(here, CachedAbsence('answered 404', then))
    cache.put_absence(there, CachedAbsence('answered 410', time.time() - 1))
    assert cache.get_absence(here) == CachedAbsence('answered 404', then)
    assert cache.get_absence(there) is None and cache.get_absence(TileId(18, 0, 0)) is None
    cache.put(here, tile_data(0), '', 0.0)
    assert cache.get_absence(here) is None
    cache.put_absence(here, CachedAbsence('answered 404', then))
    assert cache.get(here) is not None  # what was there once is better than nothing


def test_absences_do_not_fill_the_cache(cache, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.cache.cache._ABSENCES_KEPT', 50)
    for x in range(60):
        cache.put_absence(TileId(18, x, 0), CachedAbsence('answered 404', time.time() + 100 + x))
    assert rows(cache.path, 'SELECT count(*) FROM fg2_absent') == [(50,)]
    assert cache.get_absence(TileId(18, 59, 0)) and not cache.get_absence(TileId(18, 0, 0))


def test_the_file_is_mbtiles(cache):
    jpeg = encoded(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8), 'JPEG')
    assert dict(rows(cache.path, 'SELECT name, value FROM metadata'))['format'] == 'png'
    cache.put(TileId(1, 0, 0), jpeg, '', 0.0)
    cache.put(TileId(2, 1, 1), tile_data(1), '', 0.0)
    assert rows(cache.path, 'SELECT zoom_level, tile_column, tile_row FROM tiles ORDER BY 1') == [
        (1, 0, 1), (2, 1, 2)]  # rows are counted from the south
    metadata = dict(rows(cache.path, 'SELECT name, value FROM metadata'))
    assert metadata['format'] == 'jpg' and metadata['name'] == 'c'
    assert metadata['attribution'] == 'Owner' and metadata['type'] == 'baselayer'
    assert (metadata['minzoom'], metadata['maxzoom']) == ('1', '2')
    bounds = [float(value) for value in metadata['bounds'].split(',')]
    np.testing.assert_allclose(bounds, (-180, 0, 0, 85.0511288), atol=1e-6)
    centre = [float(value) for value in metadata['center'].split(',')]
    np.testing.assert_allclose(centre, (-90, 85.0511288 / 2, 2), atol=1e-6)
    assert rows(cache.path, 'PRAGMA application_id') == [(0x4D504258,)]


def test_closed_it_is_one_file_that_a_read_only_medium_can_hold(cache):
    cache.put(TileId(1, 0, 0), tile_data(0), '', 0.0)
    cache.close()
    assert [file.name for file in cache.path.parent.iterdir()] == ['c.mbtiles']
    with closing(sqlite3.connect(f'file:{cache.path}?immutable=1', uri=True)) as database:
        assert database.execute('PRAGMA journal_mode').fetchone() == ('delete',)
        assert database.execute('SELECT tile_data FROM tiles').fetchone() == (tile_data(0),)


def test_gdal_opens_it(folder):
    rasterio = pytest.importorskip('rasterio')
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    cache = TileCache(folder / 'c.mbtiles', 2_000_000, SOURCE)
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cache.put(TileId(17, 68000 + x, 46000 + y), encoded(pixels), '', 0.0)
    cache.put_absence(TileId(17, 1, 1), CachedAbsence('answered 404', time.time() + 100))
    cache.close()
    with rasterio.Env(), rasterio.open(cache.path) as picture:
        assert picture.driver == 'MBTiles' and picture.crs.to_epsg() == 3857
        assert (picture.width, picture.height) == (512, 512)
        np.testing.assert_array_equal(
            picture.read((1, 2, 3))[:, :256, 256:].transpose(1, 2, 0), pixels)


@settings(max_examples=6, deadline=None)
@given(operations=strategies.lists(strategies.tuples(
    strategies.booleans(), strategies.integers(0, 60), strategies.integers(1, 60_000)),
    min_size=40, max_size=70))
def test_the_size_is_bounded_and_the_least_recently_used_go(operations):
    bound = 500_000
    recency: dict[int, None] = {}
    with TemporaryDirectory(dir=MEMORY) as folder:
        cache = TileCache(f'{folder}/c.mbtiles', bound, SOURCE)
        for is_put, x, size in operations:
            if is_put or x not in recency:
                cache.put(TileId(18, x, 0), tile_data(x, 1000 + size), '', 0.0)
            else:
                assert cache.get(TileId(18, x, 0)) is not None
            recency.pop(x, None)
            recency[x] = None
            kept = {x for x, in rows(cache.path, 'SELECT tile_column FROM tiles')}
            assert kept == set(list(recency)[-len(kept):])
            recency = {x: None for x in recency if x in kept}
            assert disk_bytes(cache.path) <= bound
        assert rows(cache.path, 'SELECT count(*) FROM fg2_tiles') == [(len(recency),)]
        cache.close()


def test_a_cache_that_was_larger_shrinks_to_its_new_bound(folder, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.cache.size_limit._SHRINKING_S', 60.0)
    path = folder / 'c.mbtiles'
    large = TileCache(path, 8_000_000, SOURCE)
    for x in range(200):
        large.put(TileId(18, x, 0), tile_data(x), '', 0.0)
    large.close()
    small = TileCache(path, 1_000_000, SOURCE)
    small.put(TileId(18, 200, 0), tile_data(200), '', 0.0)
    assert disk_bytes(path) <= 1_000_000
    assert [small.get(TileId(18, x, 0)) is None for x in (0, 199, 200)] == [True, False, False]
    small.close()


def test_a_tile_that_is_large_for_the_cache_is_not_kept(cache, caplog):
    for x in range(3):
        cache.put(TileId(18, x, 0), tile_data(x, 400_000), '', 0.0)
    assert cache.get(TileId(18, 0, 0)) is None
    assert [record.getMessage() for record in caplog.records] == [
        f'the tile cache {cache.path} is too small for tiles of this size']


def test_what_is_used_now_counts_as_newest_although_the_clock_went_back(folder, monkeypatch):
    path = folder / 'c.mbtiles'
    for now, tiles in ((2e9, range(4)), (1e9, range(4, 8))):
        monkeypatch.setattr(time, 'time', lambda now=now: now)
        cache = TileCache(path, 1_000_000, SOURCE)
        for x in tiles:
            cache.put(TileId(18, x, 0), tile_data(x), '', 0.0)
        cache.get(TileId(18, 0, 0))
        cache.close()
    assert rows(path, 'SELECT tile_column FROM fg2_tiles ORDER BY last_used') == [
        (x,) for x in (1, 2, 3, 4, 5, 6, 7, 0)]


def test_a_file_of_the_first_version_is_brought_up_to_date(folder):
    path = folder / 'c.mbtiles'
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"""
            CREATE TABLE metadata (name TEXT NOT NULL PRIMARY KEY, value TEXT);
            CREATE TABLE tiles (
                zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB,
                PRIMARY KEY (zoom_level, tile_column, tile_row));
            CREATE TABLE fg2_tiles (
                zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER,
                etag TEXT, expires REAL, last_used REAL, bytes INTEGER,
                PRIMARY KEY (zoom_level, tile_column, tile_row));
            INSERT INTO metadata VALUES ('fg2_source', '{SOURCE}');
            INSERT INTO tiles VALUES (1, 0, 1, x'89');
            INSERT INTO fg2_tiles VALUES (1, 0, 1, 'tag', 7.0, 1.0, 1);
            """)
    cache = TileCache(path, 1_000_000, SOURCE)
    assert cache.get(TileId(1, 0, 0)) == CachedTile(b'\x89', 'tag', 7.0, '')
    cache.put(TileId(1, 1, 0), tile_data(0), '', 0.0)
    assert cache.get(TileId(1, 1, 0)).data == tile_data(0)
    cache.close()
    assert SOURCE.encode() not in path.read_bytes()


def test_a_file_of_another_source_is_refused(cache):
    with pytest.raises(CacheError, match=r'holds the tiles of another source \(h\)'):
        TileCache(cache.path, 1_000_000, 'https://elsewhere/{z}/{x}/{y}')


@pytest.mark.parametrize('template', [
    'https://h/v4/pk.S3CRET/{z}/{x}/{y}', 'https://h/{z}/{x}/{y};key=S3CRET',
    'https://h/{z}/{x}/{y}?S3CRET'])
def test_a_key_in_an_unusual_place_is_not_in_the_file_nor_told(template, folder, cache):
    path = folder / 'keyed.mbtiles'
    public = TileSource(template).public_template
    TileCache(path, 1_000_000, public).close()
    assert b'S3CRET' not in path.read_bytes()
    for source, file in ((public, cache.path), (SOURCE, path)):
        with pytest.raises(CacheError, match=r'another source \(h\)') as error:
            TileCache(file, 1_000_000, source)
        assert 'S3CRET' not in str(error.value)
    TileCache(path, 1_000_000, public).close()


def test_somebody_else_s_mbtiles_file_is_not_touched(folder):
    path = folder / 'theirs.mbtiles'
    database = sqlite3.connect(path)
    database.executescript('CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data);'
                           'CREATE TABLE metadata (name, value);')
    database.close()
    before = path.read_bytes()
    with pytest.raises(CacheError, match='is left as it is'):
        TileCache(path, 1_000_000, SOURCE)
    assert path.read_bytes() == before and list(folder.iterdir()) == [path]


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
