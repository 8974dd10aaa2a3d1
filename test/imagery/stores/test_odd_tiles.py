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

"""Tile pyramids as programs really write them: odd tiles, stale metadata, all sorts of packing."""

from contextlib import closing
import gzip
import sqlite3
import struct
from test.helpers.http_stub import encoded
from test.helpers.local_files import plain_tiles, TILE_WRITERS, write_mbtiles, write_pmtiles

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores import mbtiles, mbtiles_index
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
from pmtiles.tile import Compression, deserialize_header, serialize_header
import pytest

PLACE = (-33.9, 151.2)  # far from the equator: rows of the wrong direction are elsewhere
ZOOM = 18
KINDS = sorted(TILE_WRITERS)
BOUNDS = {'bounds': '151.1,-34.0,151.3,-33.8'}


def patch_of(path, size_m=50.0, size_px=128):
    """Return the patch around the place."""
    with closing(open_local(path)) as imagery:
        return imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), size_m, size_px))


def grey(shade=99, zoom=ZOOM, reach=2):
    return plain_tiles(PLACE, zoom, shade, reach)


def picture(shade=99, side_px=256, image_format='PNG') -> bytes:
    return encoded(np.full((side_px, side_px, 3), shade, np.uint8), image_format)


def south_up(tiles):
    """Return tiles under the addresses that a file has which counts rows from the north."""
    return {(z, x, 2 ** z - 1 - y): data for (z, x, y), data in tiles.items()}


def assert_grey(patch, shade=99, resolution_m=0.5):
    assert patch.valid is None and np.all(np.abs(patch.image.astype(int) - shade) <= 1)
    assert patch.native_resolution_m == pytest.approx(resolution_m, rel=0.02)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('odd', [picture(0, 1), b'', b'no picture', picture(0, 100)])
def test_an_odd_tile_says_nothing_of_the_others(kind, odd, tmp_path):
    tiles = {(0, 0, 0): odd or b' ', (ZOOM, 0, 0): odd or b' ', **grey()}
    assert_grey(patch_of(TILE_WRITERS[kind](tmp_path / 'a', tiles)))


@pytest.mark.parametrize('kind', KINDS)
def test_a_finer_zoom_serves_where_the_wanted_one_was_left_out(kind, tmp_path):
    tiles = {**grey(55, zoom=3), **grey(zoom=19, reach=4)}
    path = TILE_WRITERS[kind](tmp_path / 'a', tiles)
    assert_grey(patch_of(path), resolution_m=0.248)


@pytest.mark.parametrize('stated', [
    ('0', '14'), ('14', '16'), ('19', '22'), ('5', '1'), ('', 'all'), ('-3', '99')])
def test_the_zooms_are_those_of_the_tiles_whatever_is_written(stated, tmp_path):
    zooms = dict(zip(('minzoom', 'maxzoom'), stated))
    assert_grey(patch_of(write_mbtiles(
        tmp_path / 'a', {**grey(), **grey(55, ZOOM - 1)}, **zooms)))
    header = {'min_zoom': 0, 'max_zoom': 3}
    assert_grey(patch_of(write_pmtiles(tmp_path / 'b', grey(), header=header)))


@pytest.mark.parametrize('metadata', [
    {'scheme': 'xyz'}, BOUNDS, {'scheme': 'xyz', **BOUNDS},
    {'scheme': 'xyz', 'bounds': '-180,-85,180,85'}])
def test_rows_may_be_counted_from_the_north_and_that_is_said(metadata, tmp_path, caplog):
    path = write_mbtiles(tmp_path / 'a', south_up(grey()), **metadata)
    assert_grey(patch_of(path))
    said, = caplog.records
    assert 'counts its rows from the north' in said.message and str(path) in said.message
    north_most = min(y for _, _, y in grey())
    assert read_mbtiles_index(path).at(ZOOM).rows.min() == north_most


@pytest.mark.parametrize('metadata', [
    {}, {'scheme': 'tms'}, BOUNDS, {'scheme': 'xyz', **BOUNDS}, {'bounds': '1,2,3'}])
def test_rows_are_counted_from_the_south_where_they_fit_only_so(metadata, tmp_path, caplog):
    assert_grey(patch_of(write_mbtiles(tmp_path / 'a', grey(), **metadata)))
    assert not caplog.records


@pytest.mark.parametrize('bounds', [
    '0,0,0,0', '5,45,10,48', '-33.9,151.1,-33.8,151.3', 'nan,1,2,3'])
def test_bounds_in_which_no_tile_lies_are_not_believed(bounds, tmp_path):
    edges = 'min_lon_e7', 'min_lat_e7', 'max_lon_e7', 'max_lat_e7'
    numbers = np.nan_to_num(np.array(bounds.split(','), float)) * 1e7
    header = dict(zip(edges, numbers.astype(int).tolist()))
    for path in (write_mbtiles(tmp_path / 'a', grey(), bounds=bounds),
                 write_pmtiles(tmp_path / 'b', grey(), header=header)):
        with closing(open_local(path)) as imagery:
            imagery.request(PatchView(MapFrame(*PLACE), (0.0, 0.0), 50.0, 128))


@pytest.mark.parametrize('kind', KINDS)
def test_formats_may_be_mixed_and_wrapped_in_gzip(kind, tmp_path):
    formats = ['PNG', 'JPEG', 'WEBP']
    tiles = {tile: picture(image_format=formats[number % 3])
             for number, tile in enumerate(grey())}
    tiles |= {tile: gzip.compress(data) for tile, data in list(tiles.items())[::2]}
    assert_grey(patch_of(TILE_WRITERS[kind](tmp_path / 'a', tiles)))


@pytest.mark.parametrize('kind', KINDS)
def test_a_tile_that_unpacks_to_too_much_is_damaged(kind, tmp_path, caplog):
    tiles = dict.fromkeys(grey(reach=1), gzip.compress(bytes((1 << 24) + 1)))
    tiles[ZOOM, 0, 0] = picture()
    with pytest.raises(ImageryError, match='has no tiles there'):
        patch_of(TILE_WRITERS[kind](tmp_path / 'a', tiles))
    assert 'has a damaged tile' in caplog.text


@pytest.mark.parametrize('kind', KINDS)
def test_tiles_may_be_1024_pixels_wide(kind, tmp_path):
    tiles = dict.fromkeys(grey(zoom=16), picture(side_px=1024))
    assert_grey(patch_of(TILE_WRITERS[kind](tmp_path / 'a', tiles)))


def rewritten(path, header: dict, behind: bytes = b''):
    """Change fields of an archive's header, and put something at its end."""
    data = path.read_bytes()
    fields = {**deserialize_header(data[:127]), **header}
    path.write_bytes(serialize_header(fields) + data[127:] + behind)
    return path


def test_directories_of_an_archive_need_not_be_packed(tmp_path):
    path = write_pmtiles(tmp_path / 'a', grey(), attribution='(c) Town')
    data = path.read_bytes()
    header = deserialize_header(data[:127])
    parts = {part: gzip.decompress(data[header[f'{part}_offset']:][:header[f'{part}_length']])
             for part in ('root', 'metadata')}
    places = {'root_offset': len(data), 'metadata_offset': len(data) + len(parts['root']),
              **{f'{part}_length': len(part_data) for part, part_data in parts.items()}}
    rewritten(path, {**places, 'internal_compression': Compression.NONE}, b''.join(parts.values()))
    patch = patch_of(path)
    assert_grey(patch)
    assert patch.attribution == '(c) Town'


def test_tiles_of_an_archive_may_be_packed(tmp_path):
    tiles = {tile: gzip.compress(data) for tile, data in grey().items()}
    path = write_pmtiles(tmp_path / 'a', tiles, header={'tile_compression': Compression.GZIP})
    assert_grey(patch_of(path))


@pytest.mark.parametrize('field, what', [
    ('internal_compression', 'directories'), ('tile_compression', 'tiles')])
@pytest.mark.parametrize('packing', [Compression.BROTLI, Compression.ZSTD])
def test_packing_that_cannot_be_read_is_named(field, what, packing, tmp_path):
    path = rewritten(write_pmtiles(tmp_path / 'a', grey()), {field: packing})
    sentence = f'the {what} of .* packed with {packing.name}'
    with pytest.raises(ImageryError, match=sentence) as error:
        open_local(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('version', [1, 2])
def test_an_archive_of_an_old_version_is_called_one(version, tmp_path):
    (tmp_path / 'a').write_bytes(b'PM' + struct.pack('<HIH', version, 2, 0) + b'{}' + bytes(600))
    with pytest.raises(ImageryError, match=f'of version {version}: "pmtiles convert"'):
        open_local(tmp_path / 'a')


@pytest.mark.parametrize('field', [
    'root_offset', 'root_length', 'metadata_offset', 'metadata_length', 'leaf_directory_offset',
    'tile_data_offset'])
@pytest.mark.parametrize('value', [10 ** 7, 2 ** 63, 2 ** 64 - 1])
def test_places_beyond_the_end_of_an_archive_are_damage(field, value, tmp_path):
    tiles = grey()
    if field == 'leaf_directory_offset':
        rng = np.random.default_rng(0)
        places = rng.integers(5, 900, (9000, 3)).tolist()
        tiles |= {(19, x, y): rng.bytes(size) for x, y, size in places}
    path = rewritten(write_pmtiles(tmp_path / 'a', tiles), {field: value})
    with pytest.raises(ImageryError, match='is damaged or cannot be read') as error:
        open_local(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('directory', [
    b'', b'\x80', b'\xff' * 30, b'\xff' * 11 + b'\x01', b'\x05\x01', b'\x02' + b'\x00' * 8])
def test_directories_that_are_none_are_damage(directory, tmp_path):
    path = write_pmtiles(tmp_path / 'a', grey())
    packed = gzip.compress(directory)
    rewritten(path, {'root_offset': path.stat().st_size, 'root_length': len(packed)}, packed)
    with pytest.raises(ImageryError, match='is damaged or cannot be read'):
        open_local(path)


def test_metadata_nested_without_end_are_damage(tmp_path):
    path = write_pmtiles(tmp_path / 'a', grey())
    packed = gzip.compress(b'[' * 1_000_000)
    rewritten(
        path, {'metadata_offset': path.stat().st_size, 'metadata_length': len(packed)}, packed)
    with pytest.raises(ImageryError, match='is damaged or cannot be read'):
        open_local(path)


ENDLESS = ('WITH RECURSIVE forever(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM forever)'
           ' SELECT {columns} FROM forever {condition}')


@pytest.mark.parametrize('table, columns, condition', [
    ('tiles', 'n AS zoom_level, n AS tile_column, n AS tile_row, n AS tile_data', 'WHERE n < 0'),
    ('tiles', '18 AS zoom_level, n AS tile_column, n AS tile_row, n AS tile_data', ''),
    ('metadata', 'n AS name, n AS value', 'WHERE n < 0')])
def test_views_that_never_end_are_left_after_a_while(
        table, columns, condition, tmp_path, monkeypatch):
    monkeypatch.setattr(mbtiles, '_LONGEST_S', 0.2)
    monkeypatch.setattr(mbtiles_index, '_LONGEST_S', 0.2)
    path = write_mbtiles(tmp_path / 'a', grey())
    with closing(sqlite3.connect(path)) as database:
        query = ENDLESS.format(columns=columns, condition=condition)
        database.executescript(f'DROP TABLE {table}; CREATE VIEW {table} AS {query};')
    for read in (open_local, read_mbtiles_index):
        with pytest.raises((ImageryError, ValueError), match='takes longer|no JPEG') as error:
            read(path)
        assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('data', ['zeroblob(500000000)', 'randomblob(500000000)'])
def test_tiles_too_large_for_memory_are_never_read(data, tmp_path):
    path = write_mbtiles(tmp_path / 'a', grey())
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f'DROP TABLE tiles; CREATE VIEW tiles AS SELECT {ZOOM} AS zoom_level,'
            f' 1 AS tile_column, 1 AS tile_row, {data} AS tile_data;')
    with pytest.raises(ImageryError, match='too big|no JPEG, PNG or WebP') as error:
        open_local(path)
    assert str(path) in str(error.value)


def test_a_long_attribution_is_cut(tmp_path):
    path = write_mbtiles(tmp_path / 'a', grey(), attribution='<' * 90_000)
    assert 0 < len(patch_of(path).attribution) <= 2000
