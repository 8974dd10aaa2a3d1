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

"""Every kind of tile address, asked of a real server, gives the right ground in its place."""

import math
import re
from test.helpers.analytic_ground import AnalyticGround, HALF_WORLD_M
from test.helpers.http_stub import encoded, GREY_TILE, quick_http, Reply
import time
from urllib.parse import parse_qs, unquote, urlsplit

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import HttpSettings, ImageryError
from fg2_ros.imagery.patch import PatchView
import pytest

PLACE = (47.0, 8.5)


def from_quadkey(key: str) -> tuple[int, int, int]:
    """Return (zoom, x, y): a digit's bits say east and south half."""
    x, y = (int(''.join(str(int(digit) >> bit & 1) for digit in key), 2) for bit in (0, 1))
    return len(key), x, y


def from_south(zoom: int, x: int, row: int) -> tuple[int, int, int]:
    """Return (zoom, x, y) of a row counted from the south."""
    return zoom, x, 2 ** zoom - 1 - row


def from_path(path: str) -> tuple[int, int, int]:
    """Return the first three whole numbers of a path."""
    return tuple(int(number) for number in re.findall(r'\d+', path)[:3])


def from_query(path: str) -> tuple[int, int, int]:
    """Return (zoom, x, y) of a WMTS request in a query."""
    query = {name.upper(): values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    assert query['REQUEST'] == 'GetTile'
    zoom = int(query['TILEMATRIX'].removeprefix('EPSG:3857:'))
    return zoom, int(query['TILECOL']), int(query['TILEROW'])


def from_box(path: str) -> tuple[int, int, int]:
    """Return (zoom, x, y) of a WMS request, after checking that its box is a tile's."""
    query = {name.upper(): values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    assert query['CRS'] == 'EPSG:3857' and query['WIDTH'] == query['HEIGHT']
    west, south, east, north = (float(value) for value in query['BBOX'].split(','))
    assert east - west == pytest.approx(north - south, abs=1e-5)
    zoom = round(math.log2(2 * HALF_WORLD_M / (east - west)))
    side_m = 2 * HALF_WORLD_M / 2 ** zoom
    x, y = (west + HALF_WORLD_M) / side_m, (HALF_WORLD_M - north) / side_m
    assert x == pytest.approx(round(x), abs=1e-6) and y == pytest.approx(round(y), abs=1e-6)
    return zoom, round(x), round(y)


KINDS = {
    'xyz': ('/{z}/{x}/{y}.png', from_path, 256, 'PNG'),
    'yx': ('/tile/{z}/{y}/{x}', lambda path: (lambda z, y, x: (z, x, y))(*from_path(path)),
           256, 'WEBP'),
    'tms': ('/{z}/{x}/{-y}.jpg', lambda path: from_south(*from_path(path)), 256, 'JPEG'),
    'quadkey': ('/a{q}.jpeg?n=z', lambda path: from_quadkey(re.search(r'\d+', path)[0]),
                256, 'PNG'),
    'retina': ('/{z}/{x}/{y}@2x.webp', from_path, 512, 'WEBP'),
    'wmts rest': ('/ortho/default/EPSG:3857/{TileMatrix}/{TileCol}/{TileRow}.png',
                  lambda path: from_path(unquote(path).partition('EPSG:3857')[2]), 256, 'PNG'),
    'wmts kvp': ('/wmts?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=o&STYLE=normal'
                 '&TILEMATRIXSET=PM&FORMAT=image/png&TILEMATRIX=EPSG:3857:{z}&TILEROW={y}'
                 '&TILECOL={x}', from_query, 256, 'PNG'),
    'wms': ('/wms?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=o&STYLES=&CRS=EPSG:3857'
            '&BBOX={bbox}&WIDTH={width}&HEIGHT={height}&FORMAT=image/png', from_box, 256, 'PNG'),
    'wms 512': ('/wms?service=WMS&version=1.3.0&request=GetMap&layers=o&styles=&crs=EPSG:3857'
                '&bbox={bbox-epsg-3857}&width=512&height=512&format=image/jpeg', from_box, 512,
                'JPEG')}


@pytest.mark.parametrize('kind', KINDS)
def test_content_lies_within_two_centimetres(kind, serve, open_imagery):
    template, address_of, tile_px, image_format = KINDS[kind]
    ground = AnalyticGround(*PLACE)
    server = serve(lambda path, headers: Reply(
        body=encoded(ground.tile(*address_of(path), tile_px), image_format, quality=97)))
    imagery = open_imagery(
        server.url + template, max_zoom=19, http=HttpSettings(),
        **({} if kind == 'retina' else {'tile_px': tile_px}))
    frame = MapFrame(PLACE[0] + 0.018, PLACE[1])
    patch = imagery.patch(PatchView(frame, frame.map_from_geodetic(*PLACE), 71.0, 320), wait_s=60)
    assert patch.valid is None
    assert len(set(server.paths)) == len(server.paths) >= 2  # there are seams in it
    assert ground.largest_shift_m(patch) < 0.02


def test_a_tile_always_has_the_same_subdomain_and_all_are_used(serve, open_imagery):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    for _ in range(2):
        imagery = open_imagery(server.url + '/{s}/{z}/{x}/{y}', subdomains=('t0', 't1'))
        imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 200.0, 512), wait_s=60)
    assert len(server.paths) == 2 * len(set(server.paths))
    assert {path.split('/')[1] for path in server.paths} == {'t0', 't1'}


def test_nothing_is_asked_for_outside_the_bounds(serve, open_imagery):
    """Where the bounds cross the patch the rest of it is missing; outside them is an error."""
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    frame = MapFrame(*PLACE)
    imagery = open_imagery(server.template, name='Here', bounds=(-20.0, 40.0, 8.5, 48.0))
    patch = imagery.patch(PatchView(frame, (-20.0, 0.0), 200.0, 512), wait_s=60)
    asked = len(server.paths)
    edge = patch.valid[256].argmin()  # tiles are whole: the first one beyond the bounds is missing
    east, _ = patch.map_from_pixel(edge, 256)
    assert 0 <= east < 256 * 0.41 and patch.valid[:, :edge - 1].all()
    with pytest.raises(ImageryError, match='Here has no imagery here: .* outside its bounds'):
        imagery.patch(PatchView(frame, (20000.0, 0.0), 100.0, 256))
    assert len(server.paths) == asked


def test_imagery_coarser_than_allowed_is_not_even_fetched(serve, open_imagery):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    imagery = open_imagery(server.template, name='Coarse', max_zoom=16, coarsest_m=1.0)
    with pytest.raises(ImageryError, match=r'Coarse has 1\.63 m per pixel here, .* 1\.00 m'):
        imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 50.0, 100))
    assert server.paths == []


def test_where_the_finest_zoom_has_nothing_a_coarser_one_serves(serve, open_imagery):
    """It is said how coarse it is; afterwards the coarser one is what is fetched ahead."""
    frame = MapFrame(*PLACE)
    server = serve(lambda path, headers: Reply(body=GREY_TILE) if from_path(path)[0] <= 17
                   else Reply(404))
    imagery = open_imagery(server.template, max_zoom=19)
    patch = imagery.patch(PatchView(frame, (0.0, 0.0), 56.0, 256), wait_s=60)
    assert patch.valid is None and patch.is_coarse
    assert patch.native_resolution_m == pytest.approx(0.814, abs=0.001)
    assert {from_path(path)[0] for path in server.paths} == {17, 18, 19}
    asked = len(server.paths)
    imagery.request(PatchView(frame, (3000.0, 0.0), 56.0, 256))
    deadline = time.monotonic() + 20
    while imagery.status().pending and time.monotonic() < deadline:
        time.sleep(0.005)
    assert {from_path(path)[0] for path in server.paths[asked:]} == {17}


def test_a_failing_server_is_not_asked_for_coarser_tiles(serve, open_imagery):
    server = serve(lambda path, headers: Reply(503))
    imagery = open_imagery(server.template, http=quick_http(backoff_s=30.0, max_backoff_s=60.0))
    with pytest.raises(ImageryError, match='answered 503'):
        imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 56.0, 256), wait_s=20)
    assert {from_path(path)[0] for path in server.paths} == {19}


def test_a_patch_says_what_it_was_made_of(serve, open_imagery):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    imagery = open_imagery(server.template, name='Orthos', max_zoom=18, vintage='2021',
                           attribution='(c) Survey')
    patch = imagery.patch(PatchView(MapFrame(*PLACE), (0.0, 0.0), 20.0, 100), wait_s=60)
    assert (patch.source, patch.vintage, patch.attribution) == ('Orthos', '2021', '(c) Survey')
    assert patch.native_resolution_m == pytest.approx(0.407, abs=0.001) and patch.is_coarse
    wider = PatchView(MapFrame(*PLACE), (0.0, 0.0), 60.0, 100)
    assert not imagery.patch(wider, wait_s=60).is_coarse
