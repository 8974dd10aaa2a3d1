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

"""URL templates: what is accepted, what is asked for, what is kept secret."""

from fg2_ros.geometry import mercator
from fg2_ros.imagery.tiles.address import TileId, TileSource
from hypothesis import given, settings, strategies as st
import numpy as np
from pyproj import Transformer
import pytest

PLAIN = 'https://tiles.example.org/o/{z}/{x}/{y}.jpg'
WMS = 'https://h/wms?SERVICE=WMS&REQUEST=GetMap&'
TO_3857 = Transformer.from_crs('EPSG:4326', 'EPSG:3857', always_xy=True)


def test_url_of_a_tile():
    assert TileSource(PLAIN).url(TileId(18, 5, 7)) == 'https://tiles.example.org/o/18/5/7.jpg'


def test_the_key_is_put_into_its_place_and_quoted():
    source = TileSource('https://h/{z}/{x}/{y}?k={key}', key='a b&c')
    assert source.url(TileId(1, 0, 1)) == 'https://h/1/0/1?k=a%20b%26c'


def test_the_name_is_the_host_unless_given():
    assert TileSource('http://user:word@h:81/{z}/{x}/{y}').name == 'h:81'
    assert TileSource(PLAIN, name='Orthos').name == 'Orthos'


def test_what_is_shown_has_no_secrets():
    source = TileSource(
        'https://user:word@h/{z}/{x}/{y}?layer=ortho&token=abcdef&k={key}', key='ghijkl')
    assert source.public_template == 'https://h/{z}/{x}/{y}?layer=ortho&token=***&k={key}'
    assert {'abcdef', 'ghijkl', 'user', 'word'} <= set(source.secrets())
    assert not any(secret in repr(source) for secret in source.secrets())


@pytest.mark.parametrize('template, key, url, told', [
    ('https://h/{z}/{x}/{y}?v=2', '', 'https://cdn/2/1/2?v=2', False),
    ('https://h/{z}/{x}/{y}?retina=true', '', 'https://cdn/1/1/1?retina=true', False),
    ('https://h/{z}/{x}/{y}?token=abcdefgh', '', 'https://cdn/1/1/1?t=abcdefgh', True),
    ('https://h/{z}/{x}/{y}?token=a%2Fcdefgh', '', 'https://cdn/a%2fcdefgh/1/1/1', True),
    ('https://h/{z}/{x}/{y}?token=a%2Fcdefgh', '', 'https://cdn/a/cdefgh/1/1/1', True),
    ('https://h/{z}/{x}/{y}?k={key}', 'a/b c', 'https://cdn/1/1/1?k=a%2fb+c', True),
    ('https://h/{z}/{x}/{y}?k={key}', 'a/b c', 'https://cdn/in?next=h%3Fk%3Da%252Fb%2520c', True),
    ('https://h/{z}/{x}/{y}?k={key}', 'a+b', 'https://cdn/1/1/1?k=a%2Bb', True),
    ('https://h/{z}/{x}/{y}?k={key}', 'a/b c', 'https://cdn/1/1/1?k=ab', False)])
def test_an_address_that_tells_the_key_is_known(template, key, url, told):
    assert TileSource(template, key=key).leaks_key(url) == told


def test_placeholders_of_services_are_no_secrets():
    wmts = 'https://h/w?LAYER=o&TILEMATRIX=EPSG:3857:{z}&TILEROW={y}&TILECOL={x}&apikey={key}'
    source = TileSource(wmts, key='ghijkl')
    assert source.public_template == wmts
    assert set(source.secrets()) == {'ghijkl'}


@settings(deadline=None)
@given(zoom=st.integers(1, 22), data=st.data())
def test_every_way_to_write_an_address_means_the_same_tile(zoom, data):
    x, y = (data.draw(st.integers(0, 2 ** zoom - 1)) for _ in 'xy')
    source = TileSource(
        'https://{s}.h/{TileMatrix}/{TileCol}/{tilerow}/{-y}/{quadkey}/{bbox}?crs=EPSG:3857'
        '&width={width}&height={height}')
    host, *parts = source.url(TileId(zoom, x, y)).removeprefix('https://').split('/')
    assert host[0] in 'abc' and source.name == 'h'
    assert parts[:3] == [str(zoom), str(x), str(y)]
    assert int(parts[3]) == 2 ** zoom - 1 - y
    assert [int(parts[4], 4) >> 2 * bit & 1 for bit in range(zoom)] == [
        x >> bit & 1 for bit in range(zoom)]
    assert [int(parts[4], 4) >> 2 * bit + 1 & 1 for bit in range(zoom)] == [
        y >> bit & 1 for bit in range(zoom)]
    west, south, east, north = map(float, parts[5].split('?')[0].split(','))
    latitudes, longitudes = mercator.geodetic_from_world_pixel([x, x + 1], [y + 1, y], zoom, 1)
    np.testing.assert_allclose(
        TO_3857.transform(longitudes, latitudes), ([west, east], [south, north]), atol=1e-5)


@pytest.mark.parametrize('bounds, inside, outside', [
    ((5.0, 45.0, 11.0, 48.0), (46.0, 8.0), (46.0, 12.0)),
    ((175.0, -20.0, -175.0, -10.0), (-15.0, 179.9), (-15.0, 170.0)),
    ((175.0, -20.0, -175.0, -10.0), (-15.0, -179.9), (-15.0, 0.0)),
    ((5.0, 45.0, 11.0, 48.0), (47.999, 8.0), (48.1, 8.0))])
def test_bounds_say_which_tiles_there_are(bounds, inside, outside):
    source = TileSource(PLAIN, bounds=bounds)
    for place, expected in ((inside, True), (outside, False)):
        x, y = mercator.world_pixel_from_geodetic(*place, 14, tile_px=1)
        assert source.covers(TileId(14, int(x), int(y))) == expected


def test_retina_tiles_have_512_pixels():
    assert TileSource('https://h/{z}/{x}/{y}@2x.png').tile_px == 512
    source = TileSource('https://h/{z}/{x}/{y}{r}.png', tile_px=512)
    assert source.url(TileId(1, 0, 1)) == 'https://h/1/0/1@2x.png'
    source = TileSource('https://h/{z}/{x}/{y}{r}.png')
    assert source.url(TileId(1, 0, 1)) == 'https://h/1/0/1.png'


@pytest.mark.parametrize('template, options, sentence', [
    ('file:///{z}/{x}/{y}', {}, 'starts with http'),
    ('https:///{z}/{x}/{y}', {}, 'names a host'),
    ('https://h/{z}/{x}', {}, 'needs {z}, {x} and {y}'),
    (WMS + 'BBOX={bbox}&WIDTH=256&HEIGHT=256', {}, 'must ask for CRS=EPSG:3857'),
    (WMS + 'CRS=EPSG:4326&BBOX={bbox}&WIDTH=256&HEIGHT=256', {}, 'must ask for CRS=EPSG:3857'),
    (WMS + 'CRS=EPSG:3857&BBOX={bbox}', {}, 'needs WIDTH={width}'),
    (WMS + 'CRS=EPSG:3857&BBOX={bbox}&WIDTH=300&HEIGHT=300', {}, 'or 256 for both'),
    ('https://{s}.h/{z}/{x}/{y}', {'subdomains': ()}, 'wants sub-domains'),
    (PLAIN, {'resolution_m': -1.0}, 'resolution_m is wrong'),
    (PLAIN, {'bounds': (0.0, 10.0, 5.0, 9.0)}, 'bounds of tiles.example.org are not west'),
    (PLAIN, {'bounds': (0.0, 10.0, 5.0)}, 'bounds of tiles.example.org are not west'),
    ('https://h/{z}/{x}/{y}/{banana}', {}, 'has {x}, {y}, {z}, 1 with other names'),
    ('https://h/{y}/{y}', {}, 'has {y}$'), ('https://h/', {}, 'is that of a service'),
    ('https://h/{z}/{x}/{y', {}, 'braces'),
    ('https://h/{z}/{x}/{y}?k={key}', {}, 'wants an API key'),
    (PLAIN, {'tile_px': 300}, '256 or 512'),
    (PLAIN, {'min_zoom': 5, 'max_zoom': 4}, 'no range')])
def test_unusable_sources_are_refused_with_a_sentence(template, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        TileSource(template, **options)
