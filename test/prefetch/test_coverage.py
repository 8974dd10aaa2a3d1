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

"""What tile files hold, where a route has imagery in them, and the pictures of it."""

import json
import re
import sqlite3
from test.helpers.http_stub import encoded, GREY_TILE
import time

from fg2_ros.commands import main
from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.cache.cache import CachedAbsence, TileCache
from fg2_ros.imagery.patch import ImageryError, PatchView
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index, tiles_of
from fg2_ros.imagery.stores.opening import open_local
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.prefetch.areas import tiles_within
from fg2_ros.prefetch.coverage import FULL, NONE, PARTIAL, STATES, stretches_of, tracks_of
from fg2_ros.prefetch.routes import Route, WGS84
from fg2_ros.report.coverage import COLOURS, draw, EXPIRED, FRESH
import numpy as np
from PIL import Image
import pytest

ZOOM = 18
SIZE_M, RESOLUTION_M = 56.0, 0.45  # zoom 18 at 47 degrees
EAST = np.array([[47.0, 8.5], [47.0, 8.52]])  # 1.52 km


@pytest.fixture
def write(tmp_path):
    """Return a function that makes a tile cache of tiles and returns its path."""
    def make(tiles, name='tiles.mbtiles', expires=None, absent=(), data=GREY_TILE):
        cache = TileCache(tmp_path / name, 50_000_000, 'test', '(c) Somebody')
        for tile in tiles:
            cache.put(tile, data, '', time.time() + 1000 if expires is None else expires)
        for tile in absent:
            cache.put_absence(tile, CachedAbsence('answered 404', time.time() + 1000))
        cache.close()
        return cache.path
    return make


def foreign_mbtiles(path, tiles, as_view=False):
    """Write an MBTiles file as other programs do, without anything of ours."""
    with sqlite3.connect(path) as database:
        name = 'images' if as_view else 'tiles'
        database.execute(f'CREATE TABLE {name} (zoom_level INTEGER, tile_column INTEGER, '
                         'tile_row INTEGER, tile_data BLOB)')
        if as_view:
            database.execute('CREATE VIEW tiles AS SELECT * FROM images')
        database.execute('CREATE TABLE metadata (name TEXT, value TEXT)')
        database.execute("INSERT INTO metadata VALUES ('attribution', 'them')")
        database.executemany(f'INSERT INTO {name} VALUES (?, ?, ?, ?)', [
            (tile.zoom, tile.x, 2 ** tile.zoom - 1 - tile.y, GREY_TILE) for tile in tiles])
    database.close()
    return path


def with_expiry(path, expires):
    """Add to an MBTiles file when its tiles expire, a function of their columns."""
    with sqlite3.connect(path) as database:
        database.create_function('expiry', 1, expires)
        database.execute('CREATE TABLE fg2_tiles AS SELECT zoom_level, tile_column, tile_row, '
                         'expiry(tile_column) AS expires FROM tiles')
    database.close()
    return path


def tiles_between(west, east, zoom=ZOOM, margin_m=100.0):
    """Return the tiles around a part of the street, by longitude."""
    line = np.array([[47.0, west], [47.0, east]])
    return list(tiles_within(Route((line,)), margin_m, zoom))


def test_holdings_of_a_cache(write):
    tiles = tiles_between(8.5, 8.51)
    path = write(tiles[:5], expires=1.0)
    write(tiles[5:], absent=[TileId(3, 1, 2)])
    holdings = read_mbtiles_index(path)
    holding = holdings.at(ZOOM)
    assert set(zip(holding.columns.tolist(), holding.rows.tolist())) == {
        (tile.x, tile.y) for tile in tiles}
    assert holding.fresh.sum() == len(tiles) - 5
    assert np.all(holding.sizes == len(GREY_TILE))
    assert holdings.absent == {TileId(3, 1, 2)} and holdings.tile_px == 256
    assert holdings.metadata['attribution'] == '(c) Somebody'
    some = [tiles[0], TileId(ZOOM, 0, 0)]
    assert tiles_of(read_mbtiles_index(path), some) == {tiles[0]: GREY_TILE}
    assert holding.has([tiles[0].x, 0], [tiles[0].y, 0]).tolist() == [True, False]


@pytest.mark.parametrize('as_view', [False, True])
def test_holdings_of_any_mbtiles(tmp_path, as_view):
    """Never out of date; addresses beyond the world are not counted."""
    tiles = tiles_between(8.5, 8.51)
    path = foreign_mbtiles(tmp_path / 'a.mbtiles', [*tiles, TileId(4, 16, 3)], as_view)
    holdings = read_mbtiles_index(path)
    assert list(holdings.zooms) == [ZOOM] and holdings.at(ZOOM).fresh.all()
    assert len(holdings.at(ZOOM).keys) == len(tiles)


@pytest.mark.parametrize('content', [None, b'', b'no database', 'no tiles'])
def test_what_is_no_tile_file_is_refused(tmp_path, content):
    path = tmp_path / 'a.mbtiles'
    if content == 'no tiles':
        sqlite3.connect(path).execute('CREATE TABLE other (a)')
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_mbtiles_index(path)


def test_a_route_ends_where_the_tiles_do(write):
    """To a step of the search, 7 m; what is missing at first is a part of the patch."""
    path = write(tiles_between(8.5, 8.51, margin_m=60.0))
    last = max(tile.x for tile in tiles_between(8.5, 8.51, margin_m=60.0))
    _, edge_deg = mercator.geodetic_from_world_pixel(last + 1, 0, ZOOM, tile_px=1)
    edge_m = WGS84.line_length([8.5, edge_deg], [47.0, 47.0])
    stretches = stretches_of(tracks_of(
        Route((EAST,)), read_mbtiles_index(path), RESOLUTION_M, SIZE_M))
    assert [stretch.state for stretch in stretches] == ['partial', 'none']
    partial, none = stretches
    assert partial.begin_m == pytest.approx(edge_m - SIZE_M / 2, abs=7.5)
    assert partial.end_m == none.begin_m == pytest.approx(edge_m, abs=7.5)
    assert none.end_m == pytest.approx(WGS84.line_length(EAST[:, 1], EAST[:, 0]), abs=0.01)
    assert none.end == pytest.approx((47.0, 8.52))
    assert none.length_m == pytest.approx(none.end_m - edge_m, abs=7.5)


def test_states_are_what_patches_there_get(write):
    """With tiles missing here and there; but for those within a metre of another state."""
    kept = [tile for tile in tiles_between(8.5, 8.51) if (tile.x * 7 + tile.y * 3) % 5]
    path = write(kept)
    track, = tracks_of(
        Route((EAST,)), read_mbtiles_index(path), RESOLUTION_M, SIZE_M)
    seen, imagery = set(), open_local(path)
    for place, state in zip(track.places[:110:3], track.state[:110:3].tolist()):
        try:
            patch = imagery.patch(PatchView(MapFrame(*place), (0.0, 0.0), SIZE_M, 125))
        except ImageryError:
            share = 0.0
        else:
            share = 1.0 if patch.valid is None else patch.valid.mean()
        if share < 0.98 or share == 1.0:
            expected = FULL if share == 1.0 else PARTIAL if share > 0 else NONE
            assert state == expected
            seen.add(state)
    imagery.close()
    assert seen == {FULL, PARTIAL, NONE}


def test_coarser_tiles_serve_where_there_are_no_fine_ones(write):
    path = write(tiles_between(8.5, 8.505))
    write(tiles_between(8.5, 8.52, ZOOM - 2))
    stretches = stretches_of(tracks_of(
        Route((EAST,)), read_mbtiles_index(path), RESOLUTION_M, SIZE_M))
    assert [stretch.state for stretch in stretches] == ['partial', 'coarser']


def test_across_the_antimeridian(write):
    line = np.array([[10.0, 179.99], [10.0, -179.99]])
    path = write(list(tiles_within(Route((line,)), 100.0, ZOOM)))
    track, = tracks_of(Route((line,)), read_mbtiles_index(path), RESOLUTION_M, SIZE_M)
    assert np.all(track.state == FULL)
    assert track.distance_m[-1] == pytest.approx(2192.7, abs=1.0)
    picture = draw(read_mbtiles_index(path), read_mbtiles_index(path).at(ZOOM), [track])
    assert picture.shape[1] <= 1000 and picture.shape[0] < 300  # not once around the world


def share_of(picture, colour, tolerance=0):
    """Return the share of a picture in a colour."""
    return np.all(np.abs(picture.astype(int) - colour) <= tolerance, axis=-1).mean()


def test_the_picture_shows_tiles_and_the_route(tmp_path):
    """A block of tiles, half of it out of date, fills its part of the picture."""
    # Larger than what is shown in pictures, so the colours are those of the legend.
    block = [TileId(ZOOM, 137000 + i, 92000 + j) for i in range(64) for j in range(32)]
    path = foreign_mbtiles(tmp_path / 'a.mbtiles', block)
    holdings = read_mbtiles_index(with_expiry(path, lambda x: 1.0 if x < 137032 else 1e11))
    picture = draw(holdings, holdings.at(ZOOM))
    half = 32 * 32 / (64.5 * 32.5) * (1 - 1 / 15.5) ** 2
    assert share_of(picture, FRESH) == pytest.approx(half, abs=0.01)
    assert share_of(picture, EXPIRED) == pytest.approx(half, abs=0.01)
    assert share_of(picture[:, :picture.shape[1] // 2 - 15], FRESH) == 0
    south, west = mercator.geodetic_from_world_pixel(137000, 92032, ZOOM, tile_px=1)
    north, east = mercator.geodetic_from_world_pixel(137128, 92000, ZOOM, tile_px=1)
    route = Route((np.array([[south, west], [north, east]]),))
    track, = tracks_of(route, holdings, RESOLUTION_M, SIZE_M)
    picture = draw(holdings, holdings.at(ZOOM), [track])
    assert share_of(picture, COLOURS[FULL]) > 0.003 and share_of(picture, COLOURS[NONE]) > 0.003


def test_few_tiles_are_shown_as_they_look(write):
    red = encoded(np.full((256, 256, 3), (200, 30, 40), np.uint8))
    holdings = read_mbtiles_index(write([TileId(5, 3, 4), TileId(5, 4, 4)], data=red))
    assert share_of(draw(holdings, holdings.at(5)), (200, 30, 40)) > 0.5


def test_more_tiles_than_pixels_become_a_density(tmp_path):
    sparse = [TileId(14, 8 * i, 8 * j) for i in range(260) for j in range(6)]
    holdings = read_mbtiles_index(foreign_mbtiles(tmp_path / 'a.mbtiles', sparse))
    picture = draw(holdings, holdings.at(14))
    assert picture.shape[1] <= 1001
    assert 0 < np.any(picture != picture[-1, -1], axis=-1).mean() < 0.2


def run_coverage(path, tmp_path, *options):
    """Run the command; return its exit code and the figures."""
    pytest.importorskip('safetensors')  # which tells how large an area the shipped network sees
    code = main(['coverage', '--cache', str(path), '--json', str(tmp_path / 'c.json'), *options])
    return code, json.loads((tmp_path / 'c.json').read_text())


def test_the_command_tells_draws_and_exits_with_the_answer(write, tmp_path, capsys):
    path = write(tiles_between(8.5, 8.51))
    whole, part = tmp_path / 'whole.geojson', tmp_path / 'part.geojson'
    for file, east in ((whole, 8.52), (part, 8.509)):
        file.write_text(json.dumps(
            {'type': 'LineString', 'coordinates': [[8.5, 47.0], [east, 47.0]]}))
    patch = '--zoom', str(ZOOM)
    code, figures = run_coverage(path, tmp_path, '--route', str(part), *patch)
    assert code == 0 and figures['route']['complete'] and not figures['route']['stretches']
    code, figures = run_coverage(
        path, tmp_path, '--route', str(whole), *patch, '--out', str(tmp_path / 'c.html'))
    assert code == 1 and not figures['route']['complete']
    route = figures['route']
    assert route['length_km'] == pytest.approx(1.521, abs=0.001)
    assert {each['state'] for each in route['stretches']} <= set(STATES)
    assert route['none_km'] == pytest.approx(sum(
        each['end_km'] - each['begin_km'] for each in route['stretches']
        if each['state'] == 'none'))
    assert f'{route["none_km"]:.3f} km without imagery' in capsys.readouterr().out
    page = (tmp_path / 'c.html').read_text()
    assert '(c) Somebody' in page and '8.520000' in page and 'data:image/png' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    code, figures = run_coverage(path, tmp_path, '--out', str(tmp_path / 'c.png'))
    assert code == 0 and 'route' not in figures
    assert figures['zooms'] == [{
        'zoom': ZOOM, 'tiles': len(tiles_between(8.5, 8.51)), 'out_of_date': 0,
        'bytes': len(tiles_between(8.5, 8.51)) * len(GREY_TILE)}]
    with Image.open(tmp_path / 'c.png') as picture:
        assert picture.width == 1000


def test_the_command_counts_the_tiles_of_an_area(write, tmp_path):
    path = write(tiles_between(8.5, 8.51))
    box = '--bbox', '8.501,46.9999,8.509,47.0001', '--zoom', str(ZOOM)
    code, figures = run_coverage(path, tmp_path, *box)
    assert code == 0 and figures['route']['area_tiles'] == figures['route']['area_tiles_held'] > 0
    code, figures = run_coverage(path, tmp_path, '--bbox', '8.501,46.9,8.509,47.0', *box[2:])
    assert code == 1 and figures['route']['area_tiles_held'] < figures['route']['area_tiles']


@pytest.mark.parametrize('options, problem', [
    (('--out', 'a.pdf'), 'must be a .html or .png'), (('--route', 'a.gpx'), 'there is no route')])
def test_the_command_says_what_is_wrong(write, options, problem, capsys):
    assert main(['coverage', '--cache', str(write(tiles_between(8.5, 8.501))), *options]) == 1
    assert problem in capsys.readouterr().err


def test_an_empty_cache_has_a_picture_too(write, tmp_path):
    for name in ('c.png', 'c.html'):
        assert main(['coverage', '--cache', str(write([])), '--out', str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 100
