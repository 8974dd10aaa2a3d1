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

"""Local files as sources: what is in them, what is missing, and what happens to them in use."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, ExitStack
import gzip
import os
from pathlib import Path
import sqlite3
import sys
from tempfile import TemporaryDirectory
from test.helpers.http_stub import encoded
from test.helpers.local_files import (
    add_to_mbtiles, GroundGrid, plain_tiles, TILE_WRITERS, write_folder, write_mbtiles,
    write_pmtiles)
import threading

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError
from fg2_ros.imagery.patch import Label, PatchView
from fg2_ros.imagery.stores.base import plain_text
from fg2_ros.imagery.stores.folder import FolderOfTiles
from fg2_ros.imagery.stores.local_tiles import LocalTiles
from fg2_ros.imagery.stores.mbtiles import MbtilesFile
from fg2_ros.imagery.stores.opening import open_local
from fg2_ros.imagery.tiles.decoding import decode_tile
from fg2_ros.imagery.tiles.pyramid import TileImagery
import numpy as np
import pytest

PLACE = (47.0, 8.5)
FRAME = MapFrame(*PLACE)
ZOOM = 18  # 0.41 m per pixel there
SIZE_M, SIZE_PX = 52.0, 128


def write_geotiff(path: Path, tiles) -> Path:
    """Write a GeoTIFF of the grey that the tiles have."""
    tile = decode_tile(next(iter(tiles.values())), 256)
    return GroundGrid('EPSG:2056', PLACE, 0.4, (300, 300)).write(
        path, np.full((300, 300, 3), tile[0, 0], np.uint8))


WRITERS = {**TILE_WRITERS, 'GeoTIFF': write_geotiff}


@pytest.fixture
def opened():
    """Return a function that opens a file and closes it at the end of the test."""
    with ExitStack() as stack:
        def open_one(path, **options):
            imagery = open_local(path, **options)
            stack.callback(imagery.close)
            return imagery

        yield open_one


@pytest.fixture(params=sorted(WRITERS))
def writer(request):
    """Return a function that writes imagery of each kind, in the place of what was there."""
    return WRITERS[request.param]


def ask(imagery, centre=(0.0, 0.0), size_m=SIZE_M):
    return imagery.patch(PatchView(FRAME, centre, size_m, SIZE_PX))


def grey(shade: int, zoom: int = ZOOM, place=PLACE, reach: int = 2):
    return plain_tiles(place, zoom, shade, reach)


def test_a_patch_says_where_it_is_from(writer, tmp_path, opened):
    imagery = opened(writer(tmp_path / 'a', grey(99)), name='Orthos', vintage='2023',
                     attribution='(c) Town')
    patch = ask(imagery)
    assert np.all(patch.image == 99) and patch.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert (patch.source, patch.vintage, patch.attribution) == ('Orthos', '2023', '(c) Town')
    assert patch.native_resolution_m == pytest.approx(0.407, abs=0.008)
    status = imagery.status()
    assert status.source == 'Orthos' and not status.offline and not status.errors
    assert status.hits + status.misses > 0 and not status.pending and not status.last_error


def test_the_name_of_the_file_is_enough(writer, tmp_path, opened):
    imagery = opened(str(writer(tmp_path / 'a.tif', grey(99))))
    assert imagery.status().source == 'a.tif'
    assert imagery.request(PatchView(FRAME, (0.0, 0.0), SIZE_M, SIZE_PX)) is None


def test_outside_is_an_error_and_beside_the_edge_a_mask(writer, tmp_path, opened):
    imagery = opened(writer(tmp_path / 'a', grey(99)), name='Orthos')
    with pytest.raises(ImageryError, match='Orthos (lacks 100%|has no tiles there at zoom 18)'):
        ask(imagery, (5000.0, 0.0))
    assert not imagery.status().offline, 'the file is as good as before'
    edge = next(east for east in range(0, 400, 5) if is_partial(imagery, (float(east), 0.0)))
    patch = ask(imagery, (float(edge), 0.0))
    assert patch.valid[:, 0].all() and not patch.valid[:, -1].any()
    assert np.all(patch.image[patch.valid] == 99) and np.all(patch.image[~patch.valid] == 0)


@pytest.mark.parametrize('kind', ['GeoTIFF', 'MBTiles', 'PMTiles'])
@pytest.mark.parametrize('longitude', [8.5, 179.9999])
def test_a_request_outside_the_bounds_of_a_file_is_refused(kind, longitude, tmp_path, opened):
    place = 47.0, longitude
    tiles = plain_tiles(place, ZOOM, 99)
    frame = MapFrame(*place)
    if kind == 'GeoTIFF':
        path = GroundGrid('EPSG:3857' if longitude > 170 else 'EPSG:2056', place, 0.4, (
            300, 300)).write(tmp_path / 'a', np.full((300, 300, 3), 99, np.uint8))
    elif kind == 'MBTiles':
        west, east = longitude - 0.001, longitude + 0.001
        path = write_mbtiles(tmp_path / 'a', tiles, bounds=f'{west},46.9999,{east},47.0001')
    else:
        degrees = dict(zip(('min_lon_e7', 'min_lat_e7', 'max_lon_e7', 'max_lat_e7'), (
            longitude - 0.001, 46.9999, longitude + 0.001, 47.0001)))
        path = write_pmtiles(tmp_path / 'a', tiles, header={
            edge: round(1e7 * value) for edge, value in degrees.items()})
    imagery = opened(path, name='Orthos')
    imagery.patch(PatchView(frame, (0.0, 0.0), SIZE_M, SIZE_PX))
    for centre in ((0.0, 0.0), (40.0, 0.0)):
        imagery.request(PatchView(frame, centre, SIZE_M, SIZE_PX))
    for centre in ((500.0, 0.0), (-500.0, 0.0), (0.0, 500.0), (0.0, -500.0)):
        with pytest.raises(ImageryError, match='Orthos has no imagery here: .* its bounds'):
            imagery.request(PatchView(frame, centre, SIZE_M, SIZE_PX))


def is_partial(imagery, centre) -> bool:
    return ask(imagery, centre).valid is not None


def test_beyond_the_mercator_limit_is_a_clear_error(writer, tmp_path, opened):
    imagery = opened(writer(tmp_path / 'a', grey(99)), name='Orthos')
    with pytest.raises(ImageryError, match='ends at 85.0511|lacks 100%|ends or tears there'):
        imagery.patch(PatchView(MapFrame(86.0, 8.5), (0.0, 0.0), SIZE_M, SIZE_PX))
    assert ask(imagery).valid is None


def test_the_status_does_not_wait_for_tiles_that_are_being_read(tmp_path):
    class Slow(FolderOfTiles):

        def read(self, tile):
            reading.set()
            go_on.wait(30)
            return super().read(tile)

    reading, go_on = threading.Event(), threading.Event()
    folder = Slow(write_folder(tmp_path / 'a', grey(99)))
    imagery = TileImagery(LocalTiles(folder, Label('Orthos')))
    with ThreadPoolExecutor(1) as pool:
        patch = pool.submit(ask, imagery)
        assert reading.wait(30)
        assert imagery.status().source == 'Orthos' and not patch.done()
        go_on.set()
    assert patch.result().source == 'Orthos'


@pytest.mark.parametrize('bombed', ['metadata', 'directory'])
def test_archives_that_unpack_to_too_much_are_damaged(bombed, tmp_path):
    from pmtiles.tile import deserialize_header, serialize_header
    path = write_pmtiles(tmp_path / 'a', grey(99))
    data = bytearray(path.read_bytes())
    header = deserialize_header(bytes(data[:127]))
    bomb = gzip.compress(bytes(1 << 25))
    part = 'root' if bombed == 'directory' else 'metadata'
    header |= {f'{part}_offset': len(data), f'{part}_length': len(bomb)}
    data[:127] = serialize_header(header)
    path.write_bytes(data + bomb)
    with pytest.raises(ImageryError, match='too large when unpacked'):
        open_local(path)


def test_a_closed_source_says_so(writer, tmp_path):
    imagery = open_local(writer(tmp_path / 'a', grey(99)))
    ask(imagery)
    imagery.close()
    with pytest.raises(ImageryError, match='is closed'):
        ask(imagery)


def test_what_vanishes_is_an_error_until_it_is_back(writer, tmp_path, opened):
    path = writer(tmp_path / 'a', grey(99))
    imagery = opened(path)
    ask(imagery)
    path.rename(tmp_path / 'b')
    for _ in range(2):
        with pytest.raises(ImageryError, match='No such file') as error:
            ask(imagery)
        assert str(path) in str(error.value)
    assert imagery.status().offline and 'No such file' in imagery.status().last_error
    (tmp_path / 'b').rename(path)
    assert np.all(ask(imagery).image == 99) and not imagery.status().offline


def test_what_is_replaced_is_read_anew(writer, tmp_path, opened):
    path = writer(tmp_path / 'a', grey(99))
    imagery = opened(path)
    assert np.all(ask(imagery).image == 99)
    writer(path, grey(55))
    assert np.all(ask(imagery).image == 55)


@pytest.mark.parametrize('kind', ['MBTiles', 'PMTiles', 'GeoTIFF'])
@pytest.mark.parametrize('damage', ['garbage', 'cut', 'empty'])
def test_what_is_damaged_in_use_is_an_error_until_it_is_mended(kind, damage, tmp_path, opened):
    path = WRITERS[kind](tmp_path / 'a', noisy_tiles())
    whole = path.read_bytes()
    imagery = opened(path)
    ask(imagery)
    path.write_bytes({'garbage': b'\x17' * len(whole), 'cut': whole[:600], 'empty': b''}[damage])
    with pytest.raises(ImageryError) as error:
        ask(imagery)
    assert str(path) in str(error.value) and '\n' not in str(error.value)
    path.write_bytes(whole)
    assert ask(imagery).valid is None


def noisy_tiles():
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    return dict.fromkeys(grey(0), encoded(noise))


@pytest.mark.parametrize('start, reason', [
    (b'hello world, this is no imagery', 'neither MBTiles nor PMTiles nor an orthophoto'),
    (b'', 'neither MBTiles nor PMTiles nor an orthophoto'),
    (b'SQLite format 3\0' + bytes(84), 'cannot be read as MBTiles'),
    (b'PMTiles\x03' + b'\xff' * 200, 'is damaged or cannot be read'),
    (b'PMTiles\x02' + bytes(200), 'is not of PMTiles version 3'),
    (b'PMTiles', 'is damaged or cannot be read'),
    (b'II*\0\x08\0\0\0' + bytes(100), 'is damaged or cannot be read')])
def test_files_that_are_no_imagery_are_named_in_one_sentence(start, reason, tmp_path):
    path = tmp_path / 'a.mbtiles'
    path.write_bytes(start)
    with pytest.raises(ImageryError, match=reason) as error:
        open_local(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_files_that_hold_no_pictures_are_named(tmp_path):
    vector = {(3, 1, 2): b'\x1f\x8b\x08 vector'}
    for path, reason in (
            (tmp_path / 'nothing', 'No such file'),
            (write_mbtiles(tmp_path / 'a', {}), 'holds no tiles'),
            (write_mbtiles(tmp_path / 'b', vector, format='pbf'), 'holds vector tiles'),
            (write_mbtiles(tmp_path / 'c', vector), 'no JPEG, PNG or WebP'),
            (write_pmtiles(tmp_path / 'd', vector, 'MVT'), 'holds MVT tiles'),
            (write_folder(tmp_path / 'e', {(3, 1, 2): tile_of(100)}), 'of 100 x 100 pixels'),
            (write_folder(tmp_path / 'f', vector, '.pbf'), 'holds no tiles named')):
        with pytest.raises(ImageryError, match=reason) as error:
            open_local(path)
        assert str(path) in str(error.value)


def tile_of(side_px: int) -> bytes:
    return encoded(np.full((side_px, side_px, 3), 99, np.uint8))


@pytest.mark.parametrize('kind, module', [('PMTiles', 'pmtiles'), ('GeoTIFF', 'rasterio')])
def test_a_missing_package_is_named_with_how_to_get_it(kind, module, tmp_path, monkeypatch):
    path = WRITERS[kind](tmp_path / 'a', grey(99))
    for name in list(sys.modules):
        if name.startswith(('fg2_ros.imagery.stores.pmtiles', 'fg2_ros.imagery.stores.ortho',
                            'fg2_ros.imagery.stores.bands')):
            monkeypatch.delitem(sys.modules, name)
    for name in (module, f'{module}.tile'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImageryError, match=f'pip install {module}') as error:
        open_local(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('image_format, suffix', [
    ('JPEG', '.jpg'), ('JPEG', '.jpeg'), ('PNG', '.png'), ('WEBP', '.webp')])
def test_folders_have_tiles_of_any_usual_format(image_format, suffix, tmp_path, opened):
    tile = encoded(np.full((256, 256, 3), 99, np.uint8), image_format)
    imagery = opened(write_folder(tmp_path / 'a', dict.fromkeys(grey(0), tile), suffix))
    np.testing.assert_allclose(ask(imagery).image, 99, atol=2)


def striped(scheme_rows):
    """Return tiles whose shade tells their row."""
    return {(z, x, y): encoded(np.full((256, 256, 3), 50 + 10 * (y % 16), np.uint8))
            for z, x, y in scheme_rows}


def test_folders_may_count_rows_from_the_south(tmp_path, opened):
    tiles = striped(grey(0))
    expected = ask(opened(write_folder(tmp_path / 'xyz', tiles))).image
    np.testing.assert_array_equal(
        ask(opened(write_folder(tmp_path / 'tms', tiles, scheme='tms'))).image, expected)
    gdal = write_folder(tmp_path / 'gdal', tiles, scheme='tms')
    (gdal / 'metadata.json').unlink()
    (gdal / 'tilemapresource.xml').write_text(
        '<TileMap version="1.0.0"><SRS>EPSG:3857</SRS><TileSets profile="mercator"/></TileMap>')
    np.testing.assert_array_equal(ask(opened(gdal)).image, expected)
    (gdal / 'tilemapresource.xml').write_text(
        '<TileMap version="1.0.0"><TileSets profile="geodetic"/></TileMap>')
    with pytest.raises(ImageryError, match="profile 'geodetic': only Web Mercator"):
        open_local(gdal)


def test_the_file_says_whom_it_belongs_to(tmp_path, opened):
    markup = '<a href="https://example.org">&copy; Town</a> and others'
    for path in (write_mbtiles(tmp_path / 'a', grey(99), attribution=markup),
                 write_pmtiles(tmp_path / 'b', grey(99), attribution=markup)):
        assert ask(opened(path)).attribution == '© Town and others'
    assert ask(opened(tmp_path / 'a', attribution='mine')).attribution == 'mine'


def test_an_attribution_of_any_length_is_made_plain():
    assert plain_text('<a href="x">(c) <b>Them</b></a> &amp; us') == '(c) Them & us'
    assert set(plain_text('<' * 3_000_000)) == {'<'}


def test_mbtiles_are_read_while_another_process_writes_them(tmp_path, opened):
    path = tmp_path / 'a.mbtiles'
    write_mbtiles(path, grey(99, reach=0), minzoom=str(ZOOM), maxzoom=str(ZOOM))
    writer = sqlite3.connect(path)
    writer.execute('PRAGMA journal_mode = WAL')
    imagery = opened(path)
    centre = middle_of_the_tile()
    with pytest.raises(ImageryError, match='lacks'):
        ask(imagery, centre, 400.0)
    add_to_mbtiles(writer, grey(55))
    assert np.all(ask(imagery, centre, 400.0).image == 55)
    writer.execute("UPDATE metadata SET value = '19' WHERE name = 'maxzoom'")
    add_to_mbtiles(writer, grey(77, zoom=19))
    assert np.all(imagery.patch(PatchView(FRAME, centre, 30.0, 128)).image == 77)
    writer.close()


def middle_of_the_tile() -> tuple[float, float]:
    x, y = mercator.world_pixel_from_geodetic(*PLACE, ZOOM, 1)
    return FRAME.map_from_geodetic(
        *mercator.geodetic_from_world_pixel(int(x) + 0.5, int(y) + 0.5, ZOOM, 1))


def test_a_locked_mbtiles_is_an_error_until_it_is_free(tmp_path, opened, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.tiles.mbtiles.BUSY_S', 0.05)
    path = write_mbtiles(tmp_path / 'a', grey(99))
    imagery = opened(path)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute('BEGIN EXCLUSIVE')
    with pytest.raises(ImageryError, match='locked'):
        ask(imagery)
    writer.execute('ROLLBACK')
    writer.close()
    assert np.all(ask(imagery).image == 99)


@contextmanager
def read_only(folder: Path):
    """Let nobody write to a folder, not even root."""
    os.chmod(folder, 0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        os.chmod(folder, 0o755)


def test_mbtiles_in_write_ahead_mode_are_read_where_nothing_can_be_written(opened):
    with TemporaryDirectory() as folder:  # pytest's own are closed to everybody else
        path = write_mbtiles(Path(folder) / 'a.mbtiles', grey(99))
        database = sqlite3.connect(path)
        database.execute('PRAGMA journal_mode = WAL')
        database.close()
        with read_only(Path(folder)):
            assert np.all(ask(opened(path)).image == 99)
            assert os.listdir(folder) == ['a.mbtiles']


def test_mbtiles_without_metadata_and_with_views_are_read(tmp_path, opened):
    path = tmp_path / 'a.mbtiles'
    database = sqlite3.connect(path)
    database.executescript(
        'CREATE TABLE map (zoom_level, tile_column, tile_row, tile_id);'
        'CREATE TABLE images (tile_id, tile_data);'
        'CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, tile_data'
        ' FROM map JOIN images USING (tile_id);')
    tiles = grey(99)
    database.executemany('INSERT INTO map VALUES (?, ?, ?, 1)',
                         [(z, x, 2 ** z - 1 - y) for z, x, y in tiles])
    database.execute('INSERT INTO images VALUES (1, ?)', (tile_of(256),))
    database.commit()
    database.close()
    assert np.all(ask(opened(path)).image == 99)


@pytest.mark.parametrize('kind', sorted(TILE_WRITERS))
def test_coarser_tiles_serve_where_finer_ones_are_missing(kind, tmp_path, opened):
    tiles = {**grey(99, zoom=ZOOM, reach=0), **grey(55, zoom=ZOOM - 2), **grey(7, zoom=3)}
    imagery = opened(TILE_WRITERS[kind](tmp_path / 'a', tiles, **zooms_of(kind)))
    fine = ask(imagery, middle_of_the_tile())
    assert np.all(fine.image == 99) and fine.native_resolution_m == pytest.approx(0.41, abs=0.01)
    coarse = ask(imagery, (300.0, 0.0))
    assert np.all(coarse.image == 55) and coarse.valid is None
    assert coarse.native_resolution_m == pytest.approx(1.63, abs=0.02)
    with pytest.raises(ImageryError, match=f'has no tiles there at zoom {ZOOM}'):
        ask(imagery, (20_000.0, 0.0))  # the whole world in a tile says nothing of a street


def zooms_of(kind: str) -> dict[str, str]:
    return {'minzoom': '3', 'maxzoom': str(ZOOM)} if kind == 'MBTiles' else {}


@pytest.mark.parametrize('kind', sorted(TILE_WRITERS))
def test_damaged_and_see_through_tiles_are_masked(kind, tmp_path, opened, caplog):
    tiles = grey(99)
    x, y = (int(value) for value in mercator.world_pixel_from_geodetic(*PLACE, ZOOM, 1))
    tiles[ZOOM, x, y] = tiles[ZOOM, x, y][:100]
    holes = np.full((256, 256, 4), 99, np.uint8)
    holes[..., 3] = np.where(np.arange(256) < 128, 9, 0)[:, None]  # the south is not there
    tiles[ZOOM, x, y - 1] = encoded(holes)
    imagery = opened(TILE_WRITERS[kind](tmp_path / 'a', tiles))
    patch = ask(imagery, middle_of_the_tile(), 300.0)
    share = patch.valid.mean()
    tile_m = 256 * mercator.ground_resolution_m(PLACE[0], ZOOM)
    assert share == pytest.approx(1 - 1.5 * (tile_m / 300.0) ** 2, abs=0.02)
    assert np.all(patch.image[patch.valid] == 99) and np.all(patch.image[~patch.valid] == 0)
    ask(imagery, middle_of_the_tile(), 300.0)
    assert imagery.status().errors == 1, 'it is not decoded again'
    assert f'{ZOOM}/{x}/{y}' in imagery.status().last_error
    assert len(caplog.records) == 1


def test_any_thread_may_ask_at_any_time(writer, tmp_path, opened):
    imagery = opened(writer(tmp_path / 'a', grey(99)))
    with ThreadPoolExecutor(4) as threads:
        patches = list(threads.map(lambda east: ask(imagery, (east, 0.0), 20.0), range(-12, 12)))
    assert all(np.all(patch.image == 99) for patch in patches)
    assert not imagery.status().errors


def test_folders_that_are_no_zooms_do_no_harm(tmp_path, opened):
    path = write_folder(tmp_path / 'a', grey(99))
    (path / '2023').mkdir()
    (path / str(ZOOM) / 'notes.txt').write_text('')
    (path / str(ZOOM) / '7').mkdir()
    assert np.all(ask(opened(path)).image == 99)


def test_mbtiles_with_senseless_contents_are_named(tmp_path):
    for zoom, data in ((99, tile_of(256)), ('eighteen', tile_of(256)), (ZOOM, 'text'),
                       (ZOOM, None)):
        path = write_mbtiles(tmp_path / 'a', {})
        database = sqlite3.connect(path)
        database.execute('INSERT INTO tiles VALUES (?, 1, 1, ?)', (zoom, data))
        database.commit()
        database.close()
        with pytest.raises(ImageryError, match='no usual zoom|no JPEG, PNG or WebP') as error:
            open_local(path)
        assert str(path) in str(error.value)


def test_pmtiles_may_have_directories_of_directories(tmp_path, opened):
    rng = np.random.default_rng(0)
    places = rng.integers(5, 900, (9000, 3)).tolist()
    others = {(19, x, y): rng.bytes(size) for x, y, size in places}
    path = write_pmtiles(tmp_path / 'a', {**grey(99), **others})
    assert int.from_bytes(path.read_bytes()[48:56], 'little') > 0, 'it has leaf directories'
    imagery = opened(path)
    assert ask(imagery).valid is None and np.all(ask(imagery).image == 99)


def test_tiles_are_decoded_once_and_memory_is_bounded(tmp_path, opened):
    path = write_mbtiles(tmp_path / 'a', grey(99, reach=4))
    imagery = TileImagery(
        LocalTiles(MbtilesFile(path), Label('a'), memory_bytes=9 * 3 * 256 ** 2))
    ask(imagery)
    misses = imagery.status().misses
    ask(imagery)
    assert imagery.status().misses == misses and imagery.status().hits == misses
    for east in range(-300, 301, 60):
        ask(imagery, (float(east), 0.0))
    assert imagery.status().memory_tiles == 9
    with pytest.raises(ImageryError, match='tiles of a, more than the 9 that there is room for'):
        ask(imagery, (0.0, 0.0), 3000.0)
    imagery.close()
