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
"""Servers that say "there is none" otherwise than by 404, and those that let us have none."""

from contextlib import closing
import gzip
import sqlite3
from test.helpers.asking import ask, ask_for_error, ask_until, FRAME, is_patch, SIZE_M, SIZE_PX
from test.helpers.http_stub import address, encoded, GREY_TILE, quick_http, Reply
from types import SimpleNamespace
import zlib

from fg2_ros.imagery import ImageryError, ImageryNotReady
from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.server.http_client import HttpClient
from fg2_ros.imagery.server.networks import kind_of
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from fg2_ros.imagery.tiles.address import TileSource
from fg2_ros.prefetch.plan import make_plan, tiles_at
from fg2_ros.prefetch.prefetch import Prefetch, Summary
from fg2_ros.prefetch.routes import box
import numpy as np
import pytest

XML = {'Content-Type': 'application/xml'}
OWS = b'<ows:ExceptionReport><ows:Exception exceptionCode="%b"/></ows:ExceptionReport>'
NONE_HERE = {
    '404': Reply(404, b'no'),
    'S3': Reply(403, b'<Error><Code>AccessDenied</Code></Error>', XML),
    'CDN': Reply(403, b'<html>Forbidden</html>', {'Content-Type': 'text/html'}),
    '401': Reply(401),
    '400': Reply(400, b'Column 7 of zoom 18 is not in the grid', {'Content-Type': 'text/plain'}),
    '400 out of range': Reply(400, OWS % b'TileOutOfRange', XML),
    '500 out of range': Reply(500, OWS % b'TileOutOfRange', XML),
    '422': Reply(422, b'{"detail": "outside"}', {'Content-Type': 'application/json'}),
    'exception': Reply(200, OWS % b'InvalidParameterValue', XML),
    'exception called PNG': Reply(
        200, b'<?xml version="1.0"?>\n<ServiceExceptionReport/>', {'Content-Type': 'image/png'}),
    'JSON': Reply(200, b'{"error": {"code": 404}}', {'Content-Type': 'application/json'}),
    'empty': Reply(200, b'', {'Content-Type': 'image/png'}),
    'packed exception': Reply(200, gzip.compress(OWS % b'X'), {
        'Content-Type': 'text/xml', 'Content-Encoding': 'gzip'}),
    'speck': Reply(200, encoded(np.full((1, 1, 3), 7, np.uint8))),
    'transparent': Reply(200, encoded(np.zeros((256, 256, 4), np.uint8))),
}
EAST = range(0, 400, 20)


def half(reply, other=Reply(body=GREY_TILE)):
    """Return a server's rule: every second column has tiles, in the others the reply is given."""
    return lambda path, headers: reply if address(path)[1] % 2 else other


def served(imagery) -> list[bool]:
    """Return at which places of a street there is a patch; all tiles have been asked for."""
    def is_settled(outcome):
        return not isinstance(outcome, ImageryNotReady) and not imagery.status().pending

    return [is_patch(ask_until(imagery, is_settled, centre=(float(east), 0.0))) for east in EAST]


@pytest.mark.parametrize('reply', NONE_HERE.values(), ids=NONE_HERE)
def test_it_is_like_404(reply, serve, open_imagery, folder):
    believing = quick_http(max_backoff_s=1000.0)
    like_404 = open_imagery(serve(half(NONE_HERE['404'])).template, http=believing)
    server = serve(half(reply))
    imagery = open_imagery(server.template, folder / 'c.mbtiles', http=believing)
    expected = served(like_404)
    assert served(imagery) == expected and sum(expected) > 10
    status = imagery.status()
    assert status.absent == like_404.status().absent > 5
    assert not status.offline and status.errors == 0
    ask_until(imagery, is_patch)
    imagery.close()
    asked = len(server.paths)
    assert asked <= len(set(server.paths)) + 3  # to find out once whether others come
    again = open_imagery(server.template, folder / 'c.mbtiles', http=believing)
    assert served(again) == expected
    assert len(server.paths) <= asked + 8  # what was not sure at the end


@pytest.mark.parametrize('reply', NONE_HERE.values(), ids=NONE_HERE)
def test_a_prefetch_takes_no_longer_than_with_404(reply, serve, tmp_path):
    server = serve(half(reply))
    source = TileSource(server.template, 'Orthos')
    area = tiles_at(box(8.5, 47.0, 8.51, 47.004), 0.0, 18, source.layout)
    with closing(TileCache(tmp_path / 'c.mbtiles', 50_000_000, 'test')) as cache:
        plan = make_plan((area,), read_mbtiles_index(cache.path), 256)
        summary = Summary()
        with Prefetch(source, quick_http(backoff_s=1000.0, max_backoff_s=1000.0), cache) as fetch:
            for outcome in fetch.outcomes(plan):
                summary.add(outcome)
        odd = sum(tile.x % 2 for tile in plan)
        assert (summary.absent, summary.fetched) == (odd, plan.tiles - odd) and not fetch.gave_up
        again = make_plan((area,), read_mbtiles_index(cache.path), 256)
        assert (again.lacking, again.to_fetch) == (odd, 0)
    assert len(server.paths) <= plan.tiles + 4


def test_a_prefetch_that_begins_where_there_is_nothing_goes_on(serve, tmp_path):
    """The north of the area is refused, at all zooms but one: more than any pause would allow."""
    def reply(path, headers):
        zoom, _, y = address(path)
        there = zoom == 18 and y >= first + 8
        return Reply(body=GREY_TILE) if there else NONE_HERE['S3']

    source = TileSource(serve(reply).template, 'Orthos')
    area = tiles_at(box(8.5, 47.0, 8.51, 47.01), 0.0, 18, source.layout)
    first = int(area.rows.min())
    with closing(TileCache(tmp_path / 'c.mbtiles', 50_000_000, 'test')) as cache:
        plan = make_plan((area,), read_mbtiles_index(cache.path), 256)
        with Prefetch(source, quick_http(backoff_s=1000.0, max_backoff_s=1000.0), cache) as fetch:
            kinds = [outcome.kind for outcome in fetch.outcomes(plan)]
    assert not fetch.gave_up and kinds.count('absent') == int((area.rows < first + 8).sum()) > 40
    assert kinds.count('fetched') == len(kinds) - kinds.count('absent') > 10


@pytest.mark.parametrize('key, status, hint', [
    ('S3CRET', 403, 'the API key is wrong'), ('', 401, 'it wants an API key')])
def test_where_everything_is_refused_it_is_the_key(key, status, hint, serve, open_imagery):
    server = serve(lambda path, headers: Reply(status, b'<Error>AccessDenied</Error>'))
    template = server.template + ('?key={key}' if key else '')
    imagery = open_imagery(template, name='Orthos', key=key, http=quick_http(
        backoff_s=1000.0, max_backoff_s=1000.0))
    error = ask_for_error(imagery)
    assert f'Orthos answered {status} to everything: {hint}' in error and 'S3CRET' not in error
    assert imagery.status().offline


def test_a_key_that_ends_on_the_way_is_noticed_and_writes_nothing_down(
        serve, open_imagery, folder, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.server.refusals._UNDOUBTED_S', 0.0)
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    imagery = open_imagery(server.template, folder / 'c.mbtiles', name='Orthos', key='S3CRET')
    ask_until(imagery, is_patch)
    ask_until(imagery, lambda _: not imagery.status().pending)
    server.reply = lambda path, headers: Reply(403)
    places = iter(range(500, 100_000, 500))
    ask_until(imagery, lambda _: imagery.request(PatchView(
        FRAME, (float(next(places)), 0.0), SIZE_M, SIZE_PX)) or imagery.status().offline)
    assert 'the API key is wrong' in imagery.status().last_error
    imagery.close()
    with closing(sqlite3.connect(folder / 'c.mbtiles')) as database:
        assert database.execute('SELECT count(*) FROM fg2_absent').fetchone() == (0,)


def test_a_second_sources_gaps_do_not_come_from_the_pause_of_the_first_place(serve, open_imagery):
    """A drive that begins outside what a storage service has is served as soon as it is inside."""
    limit = address_of_column()
    server = serve(lambda path, headers: Reply(body=GREY_TILE) if address(path)[0] < 17 or (
        address(path)[1] > limit) else NONE_HERE['S3'])
    imagery = open_imagery(server.template, http=quick_http(
        backoff_s=1000.0, max_backoff_s=1000.0), min_zoom=14)
    outcome = ask_until(imagery, lambda outcome: not imagery.status().pending)
    assert is_patch(outcome) or isinstance(outcome, ImageryError)
    ask_until(imagery, is_patch, centre=(400.0, 0.0))
    assert not imagery.status().offline


def address_of_column() -> int:
    """Return a column of zoom 18 between the place asked for and one 400 m east of it."""
    layout = TileSource('http://h/{z}/{x}/{y}').layout
    area = tiles_at(box(8.5, 47.0, 8.5052, 47.0001), 0.0, 18, layout)
    return int(np.median(area.columns))


# What is packed ----------------------------------------------------------------------------------

def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize('encoding, body', [
    ('gzip', gzip.compress(GREY_TILE)), ('x-gzip', gzip.compress(GREY_TILE)),
    ('deflate', zlib.compress(GREY_TILE)), ('deflate', raw_deflate(GREY_TILE)),
    ('gzip, gzip', gzip.compress(gzip.compress(GREY_TILE))), ('identity', GREY_TILE),
    ('gzip', GREY_TILE)])
def test_a_packed_tile_is_unpacked(encoding, body, serve, open_imagery, folder):
    server = serve(lambda path, headers: Reply(body=body, headers={'Content-Encoding': encoding}))
    imagery = open_imagery(server.template, folder / 'c.mbtiles')
    assert np.all(ask_until(imagery, is_patch).image == 99)
    assert all(headers['Accept-Encoding'] == 'identity' for headers in server.headers)
    imagery.close()
    with closing(sqlite3.connect(folder / 'c.mbtiles')) as database:
        assert set(database.execute('SELECT tile_data FROM tiles')) == {(GREY_TILE,)}


# Where redirects may lead ------------------------------------------------------------------------

@pytest.mark.parametrize('address, kind', [
    ('127.0.0.1', 'loopback'), ('::1', 'loopback'), ('0.0.0.0', 'loopback'),
    ('::ffff:127.0.0.1', 'loopback'), ('64:ff9b::7f00:1', 'loopback'),
    ('169.254.169.254', 'link-local'), ('fe80::1%eth0', 'link-local'),
    ('10.1.2.3', 'private'), ('192.168.0.1', 'private'), ('172.16.0.1', 'private'),
    ('100.64.0.1', 'private'), ('fd00::1', 'private'), ('::ffff:10.0.0.1', 'private'),
    ('2002:0a00:0001::', 'private'), ('224.0.0.1', 'private'), ('8.8.8.8', 'public'),
    ('2606:4700::1111', 'public')])
def test_addresses_are_of_a_network(address, kind):
    assert kind_of(address) == kind


@pytest.fixture
def from_outside(monkeypatch):
    """Let the sockets to one port look as if they led to a server in the Internet."""
    ports = set()
    monkeypatch.setattr(
        'fg2_ros.imagery.server.connections.peer_of', lambda connected: (
            '8.8.8.8' if connected.getpeername()[1] in ports else connected.getpeername()[0]))
    return ports


@pytest.mark.parametrize(
    'host', ['127.0.0.1', 'localhost', '169.254.169.254', '[::1]', '10.0.0.1'])
def test_a_redirect_out_of_the_internet_leads_into_no_other_network(
        host, serve, open_imagery, from_outside):
    inner = serve(lambda path, headers: Reply(body=GREY_TILE))
    target = inner.url.replace('127.0.0.1', host)
    outer = serve(lambda path, headers: Reply(302, headers={'Location': target + path}))
    from_outside.add(int(outer.url.rpartition(':')[2]))
    imagery = open_imagery(outer.template, name='Orthos')
    assert 'Orthos redirected into the ' in ask_for_error(imagery)
    assert inner.paths == []


def test_a_name_that_means_something_else_at_second_sight_leads_nowhere(
        serve, open_imagery, from_outside, monkeypatch):
    """When it is looked up first it is public; the connection shows where it really leads."""
    monkeypatch.setattr(
        'fg2_ros.imagery.server.connections.kinds_of_host', lambda host: {'public'})
    inner = serve(lambda path, headers: Reply(body=GREY_TILE))
    ask_until(open_imagery(inner.template), is_patch)  # and leaves connections open
    asked = len(inner.paths)
    outer = serve(lambda path, headers: Reply(302, headers={'Location': inner.url + path}))
    from_outside.add(int(outer.url.rpartition(':')[2]))
    imagery = open_imagery(outer.template, name='Orthos')
    assert 'Orthos redirected into the loopback network' in ask_for_error(imagery)
    assert len(inner.paths) == asked


def test_a_source_on_this_machine_may_redirect_to_this_machine(serve, open_imagery):
    inner = serve(lambda path, headers: Reply(body=GREY_TILE))
    outer = serve(lambda path, headers: Reply(302, headers={'Location': inner.url + path}))
    assert is_patch(ask_until(open_imagery(outer.template), is_patch))


# Sizes and rates ---------------------------------------------------------------------------------

@pytest.mark.parametrize('said, sent', [(256, 512), (512, 256)])
def test_tiles_of_another_size_than_said_are_used_as_what_they_are(
        said, sent, serve, open_imagery, caplog):
    shades = np.add.outer(np.arange(sent), np.arange(sent)) % 200 + 20
    tile = encoded(np.repeat(shades[..., None], 3, axis=2).astype(np.uint8))
    servers = [serve(lambda path, headers: Reply(body=tile)) for _ in range(2)]
    wrong, right = (open_imagery(server.template, name='Orthos', tile_px=tile_px, max_zoom=19)
                    for server, tile_px in zip(servers, (said, sent)))
    patches = [ask(imagery, wait_s=60) for imagery in (wrong, right)]
    assert np.array_equal(patches[0].image, patches[1].image)
    assert patches[0].native_resolution_m == patches[1].native_resolution_m
    assert caplog.text.count(f'Orthos has tiles of {sent} pixels, not of {said}') == 1


def test_veiled_imagery_is_imagery(serve, open_imagery):
    pixels = np.full((256, 256, 4), 120, np.uint8)
    pixels[..., 3] = 1 + np.arange(256) % 254
    imagery = open_imagery(serve(lambda path, headers: Reply(body=encoded(pixels))).template)
    patch = ask(imagery, wait_s=60)
    assert patch.valid is None and np.all(patch.image == 120)


def test_no_more_requests_a_second_than_allowed_begin(monkeypatch):
    """The pauses are what is looked at, not the clock."""
    pauses, client = [], HttpClient(quick_http(rate_per_s=0.01))
    monkeypatch.setattr(client, '_closing', SimpleNamespace(
        wait=lambda pause_s: pauses.append(round(pause_s, -1)), set=lambda: None))
    for _ in range(3):
        client._wait_for_turn()
    client.close()
    assert pauses == [0, 100, 200]
