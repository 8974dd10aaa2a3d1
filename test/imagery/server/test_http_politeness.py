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

"""How servers are treated: connections, proxies, freshness, redirects, and keys kept to us."""

from contextlib import closing
from email.utils import formatdate
import logging
import shutil
import socket
import sqlite3
import ssl
from test.helpers.asking import ask, ask_for_error, ask_until, FRAME, is_patch, SIZE_M, SIZE_PX
from test.helpers.faults import drip
from test.helpers.http_stub import encoded, GREY_TILE, quick_http, Reply
from test.helpers.processes import run_to_its_end
import threading
import time

from fg2_ros.imagery import HttpSettings, ImageryNotReady
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.server.connections import Attempt
from fg2_ros.imagery.server.downloader import Downloader
from fg2_ros.imagery.server.http_client import BodyLimit, HttpClient
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import TileProblem
from fg2_ros.ros.node_settings import ImagerySettings
import numpy as np
import pytest

TILE = TileId(3, 2, 1)
KEY = 'S3CRETVALUE'


def any_body(status, headers):
    return BodyLimit(1_000_000)


@pytest.fixture
def download():
    """Return a function that downloads a tile of a template."""
    opened = []

    def download(template, http=None, **options):
        opened.append(Downloader(TileSource(template, **options), http or quick_http()))
        return opened[-1].fetch(TILE)

    yield download
    for downloader in opened:
        downloader.close()


# Politeness ------------------------------------------------------------------------------------

def test_at_most_two_connections_for_all_sources_of_a_host_together(serve, open_imagery):
    released = threading.Event()

    def reply(path, headers):
        released.wait(20)
        server.stopping.wait(0.01)
        return Reply(body=GREY_TILE)

    server = serve(reply)
    layers = [open_imagery(f'{server.url}/{{z}}/{{x}}/{{y}}/{name}', name=name)
              for name in 'abc']
    for imagery in layers:
        with pytest.raises(ImageryNotReady):
            imagery.patch(PatchView(FRAME, (0.0, 0.0), 150.0, 400))
    released.set()
    for imagery in layers:
        imagery.patch(PatchView(FRAME, (0.0, 0.0), 150.0, 400), wait_s=60)
    assert len(server.paths) > 12 and server.most_connections == 2  # and they were kept open


def test_the_user_agent_says_whom_to_write_to(serve, download):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    for settings in (HttpSettings(contact='ops@example.org'), HttpSettings()):
        download(server.template, settings)
    agents = [headers['User-Agent'] for headers in server.headers]
    assert all(agent.startswith('fg2_ros/') for agent in agents)
    assert 'ops@example.org' in agents[0] and '@' in ImagerySettings().contact in agents[1]


def test_connections_end_with_their_last_user(serve, open_imagery):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    imagery = open_imagery(server.template)
    ask_until(imagery, is_patch)
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    assert server.connections > 0
    imagery.close()
    deadline = time.monotonic() + 30
    while server.connections:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_answer_without_a_tile_leaves_the_connection_open(serve):
    server = serve(lambda path, headers: Reply(404, b'<html>nothing here</html>'))
    downloader = Downloader(TileSource(server.template), quick_http())
    for _ in range(5):
        with pytest.raises(TileProblem, match='answered 404'):
            downloader.fetch(TILE)
    server.reply = lambda path, headers: Reply(304)
    assert downloader.fetch(TILE, '"tag"').data is None
    server.reply = lambda path, headers: Reply(body=GREY_TILE)
    assert downloader.fetch(TILE).data == GREY_TILE
    downloader.close()
    assert server.most_connections == 1


# Freshness -------------------------------------------------------------------------------------

NOW = 1_760_000_000.0  # what the server believes; the vehicle's clock is something else


@pytest.mark.parametrize('headers, fresh_s', [
    ({}, None),
    ({'Cache-Control': 'public, max-age=3600'}, 3600),
    ({'Cache-Control': 'MAX-AGE=3600, s-maxage=9'}, 3600),
    ({'Cache-Control': 's-maxage=9'}, None),
    ({'Cache-Control': 'max-age=3600', 'Age': '3000'}, 600),
    ({'Cache-Control': 'max-age=3600', 'Age': '9999'}, 0),
    ({'Cache-Control': 'max-age=3600, no-cache'}, 0),
    ({'Cache-Control': 'max-age=60', 'Expires': formatdate(NOW + 9, usegmt=True),
      'Date': formatdate(NOW, usegmt=True)}, 60),
    ({'Expires': formatdate(NOW + 500, usegmt=True), 'Date': formatdate(NOW, usegmt=True)}, 500),
    ({'Expires': formatdate(NOW - 500, usegmt=True), 'Date': formatdate(NOW, usegmt=True)}, 0),
    ({'Expires': '0'}, 0), ({'Expires': '-1'}, 0), ({'Expires': 'soon'}, 0),
])
def test_how_long_a_tile_is_current_is_up_to_the_server(headers, fresh_s, serve, download):
    lines = [f'{name}: {value}\r\n' for name, value in headers.items()]
    head = f'HTTP/1.1 200 OK\r\n{"".join(lines)}Content-Length: {len(GREY_TILE)}\r\n\r\n'
    server = serve(lambda path, _: Reply(
        take_over=lambda connection: connection.sendall(head.encode() + GREY_TILE)))
    assert download(server.template).fresh_s == fresh_s


@pytest.mark.parametrize('control', ['no-cache', 'max-age=0'])
def test_a_server_that_says_no_cache_is_not_asked_with_every_fix(control, serve, open_imagery):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': control, 'ETag': '"1"'}))
    imagery = open_imagery(server.template, http=quick_http(revalidate_s=60.0))
    ask_until(imagery, is_patch)
    for _ in range(50):
        imagery.request(PatchView(FRAME, (0.0, 0.0), SIZE_M, SIZE_PX))
    assert imagery.status().pending == 0
    assert len(server.paths) == len(set(server.paths))


def test_on_disk_a_tile_is_as_fresh_as_the_server_says(serve, open_imagery, folder):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': 'no-cache', 'ETag': '"1"'}))
    for _ in range(2):
        imagery = open_imagery(
            server.template, folder / 'c.mbtiles', http=quick_http(revalidate_s=60.0))
        ask_until(imagery, is_patch)
        ask_until(imagery, lambda _: imagery.status().pending == 0)
        imagery.close()
    assert len(server.paths) == 2 * len(set(server.paths))


def test_what_must_not_be_stored_is_not(serve, open_imagery, folder):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': 'no-store'}))
    first = open_imagery(server.template, folder / 'c.mbtiles')
    ask_until(first, is_patch)
    first.close()
    asked = len(server.paths)
    second = open_imagery(server.template, folder / 'c.mbtiles')
    ask_until(second, is_patch)
    assert len(server.paths) > asked


@pytest.mark.parametrize('tag, condition', [
    ('ETag', 'If-None-Match'), ('Last-Modified', 'If-Modified-Since')])
def test_a_changed_tile_replaces_the_old_one(tag, condition, serve, open_imagery, folder):
    versions = {99: 'Mon, 03 Feb 2025 10:00:00 GMT', 120: 'Tue, 04 Feb 2025 10:00:00 GMT'}
    colour, unchanged = 99, threading.Event()

    def reply(path, headers):
        version = versions[colour]
        if headers.get(condition) == version:
            unchanged.set()
            return Reply(304, headers={'Cache-Control': 'max-age=0'})
        return Reply(body=encoded(np.full((256, 256, 3), colour, np.uint8)),
                     headers={tag: version, 'Cache-Control': 'max-age=0'})

    server = serve(reply)
    first = open_imagery(server.template, folder / 'c.mbtiles')
    assert np.all(ask_until(first, is_patch).image == 99)
    first.close()
    second = open_imagery(server.template, folder / 'c.mbtiles')  # it knows the version from disk
    assert np.all(ask(second, wait_s=60).image == 99)
    ask_until(second, lambda _: unchanged.is_set())
    colour = 120
    ask_until(second, lambda patch: np.all(patch.image == 120))
    assert second.status().stale == 0


def test_a_changed_tile_that_is_broken_does_not_replace_the_old_one(
        serve, open_imagery, folder):
    broken = Reply(body=GREY_TILE[:len(GREY_TILE) // 2], headers={'ETag': '"2"'})
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'ETag': '"1"', 'Cache-Control': 'max-age=0'}))
    imagery = open_imagery(server.template, folder / 'c.mbtiles')
    ask_until(imagery, is_patch)
    server.reply = lambda path, headers: broken
    ask_until(imagery, lambda _: imagery.status().errors > 0)
    assert np.all(ask(imagery).image == 99)
    imagery.close()
    with closing(sqlite3.connect(folder / 'c.mbtiles')) as database:
        kept = database.execute('SELECT tile_data, etag FROM tiles NATURAL JOIN fg2_tiles')
        assert set(kept) == {(GREY_TILE, '"1"')}


def test_offline_what_is_out_of_date_is_used_and_flagged(serve, open_imagery, folder):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': 'max-age=0'}))
    first = open_imagery(server.template, folder / 'c.mbtiles')
    ask_until(first, is_patch)
    first.close()
    server.reply = lambda path, headers: Reply(503)
    second = open_imagery(server.template, folder / 'c.mbtiles')
    patch = ask_until(second, lambda patch: is_patch(patch) and second.status().offline)
    assert np.all(patch.image == 99) and patch.valid is None
    ask_until(second, lambda _: second.status().stale >= 2)
    server.reply = lambda path, headers: Reply(body=GREY_TILE)
    ask_until(second, lambda _: second.status().stale == 0 and not second.status().offline)


def test_what_the_server_has_no_more_stays_in_use(serve, open_imagery, folder):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': 'max-age=0'}))
    for _ in range(2):
        imagery = open_imagery(server.template, folder / 'c.mbtiles')
        assert np.all(ask_until(imagery, is_patch).image == 99)
        server.reply = lambda path, headers: Reply(404)
        ask_until(imagery, lambda _: imagery.status().stale >= 1)
        assert np.all(ask(imagery).image == 99)
        imagery.close()


# Redirects and keys ----------------------------------------------------------------------------

def names(server) -> set[str]:
    return {name.lower() for headers in server.headers for name in headers}


def test_a_redirect_to_another_host_is_followed_without_what_is_not_for_it(serve, download):
    target = serve(lambda path, headers: Reply(body=GREY_TILE))
    elsewhere = target.url.replace('127.0.0.1', 'localhost')
    server = serve(lambda path, headers: Reply(302, headers={'Location': f'{elsewhere}/tile'}))
    template = server.template.replace('//', '//someone:S3CRETVALUE@') + f'?token={KEY}'
    assert download(template).data == GREY_TILE
    assert 'authorization' in names(server) and KEY in server.paths[0]
    assert target.paths == ['/tile'] and KEY not in str(target.headers)
    assert not {'authorization', 'referer', 'cookie'} & names(target)


@pytest.mark.parametrize('template, key', [
    ('{url}/{{z}}/{{x}}/{{y}}?token=' + KEY, ''), ('{url}/{{key}}/{{z}}/{{x}}/{{y}}', KEY)])
def test_a_redirect_that_takes_the_key_to_another_host_is_refused(
        template, key, serve, open_imagery, caplog):
    target = serve(lambda path, headers: Reply(body=GREY_TILE))
    elsewhere = target.url.replace('127.0.0.1', 'localhost')
    server = serve(lambda path, headers: Reply(302, headers={'Location': elsewhere + path}))
    imagery = open_imagery(template.format(url=server.url), key=key)
    error = ask_for_error(imagery)
    assert 'redirected to another host, which would see the API key' in error
    assert target.paths == [] and KEY not in error + caplog.text + str(imagery.status())
    server.reply = lambda path, headers: (
        Reply(body=GREY_TILE) if path.startswith('/here')
        else Reply(302, headers={'Location': '/here' + path}))
    ask_until(imagery, is_patch)  # on its own host the key may go wherever it likes


# Proxies ---------------------------------------------------------------------------------------

def test_tiles_come_through_the_proxy_of_the_environment(serve, open_imagery, monkeypatch):
    proxy = serve(lambda path, headers: Reply(body=GREY_TILE))
    monkeypatch.setenv('http_proxy', proxy.url.replace('//', '//user:pass%40word@'))
    imagery = open_imagery('http://tiles.invalid/{z}/{x}/{y}')
    ask_until(imagery, is_patch)
    assert all(path.startswith('http://tiles.invalid/') for path in proxy.paths)
    assert {headers['proxy-authorization'] for headers in proxy.headers} == {
        'Basic dXNlcjpwYXNzQHdvcmQ='}


def test_no_proxy_names_hosts_that_are_reached_directly(serve, download, monkeypatch):
    proxy = serve(lambda path, headers: Reply(500))
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, 'getaddrinfo', lambda host, *arguments, **options: look_up(
        '127.0.0.1', *arguments, **options))
    monkeypatch.setenv('HTTP_PROXY', proxy.url)
    monkeypatch.setenv('NO_PROXY', 'example.org,.tiles.invalid')
    template = server.template.replace('127.0.0.1', 'a.tiles.invalid')
    assert download(template).data == GREY_TILE
    assert download(server.template).data == GREY_TILE  # no proxy reaches what is on this machine
    assert proxy.paths == []
    monkeypatch.setenv('NO_PROXY', 'example.org')
    with pytest.raises(TileProblem, match='answered 500'):
        download(template)


def test_https_goes_through_a_tunnel_and_its_failure_is_told(serve, download, monkeypatch):
    proxy = serve(lambda path, headers: Reply(403))
    monkeypatch.setenv('https_proxy', proxy.url.removeprefix('http://'))
    with pytest.raises(TileProblem, match='cannot be reached through the proxy'):
        download('https://tiles.invalid/{z}/{x}/{y}')
    assert proxy.paths == ['tiles.invalid:443']


@pytest.mark.parametrize('proxy', ['socks5://127.0.0.1:9', 'http://127.0.0.1:nine'])
def test_a_proxy_address_of_no_use_is_told(proxy, download, monkeypatch):
    monkeypatch.setenv('http_proxy', proxy)
    with pytest.raises(TileProblem, match='the proxy address in the environment'):
        download('http://tiles.invalid/{z}/{x}/{y}')


def test_a_proxy_that_is_not_there_is_told_without_its_password(open_imagery, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv('http_proxy', 'http://user:S3CRETVALUE@proxy.invalid:3128')
    imagery = open_imagery('http://tiles.invalid/{z}/{x}/{y}')
    error = ask_for_error(imagery)
    assert 'tiles.invalid cannot be reached through the proxy' in error
    assert KEY not in error + caplog.text


# Encryption ------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    """Return the path of a certificate for 127.0.0.1, with its key, that nobody vouches for."""
    path = tmp_path_factory.mktemp('tls') / 'certificate.pem'
    if not shutil.which('openssl'):
        pytest.skip('openssl is not installed')
    run_to_its_end(
        ['openssl', 'req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt',
         'ec_paramgen_curve:prime256v1', '-days', '2', '-subj', '/CN=test', '-addext',
         'subjectAltName=IP:127.0.0.1', '-keyout', path.with_suffix('.key'), '-out', path],
        check=True)
    path.write_bytes(path.read_bytes() + path.with_suffix('.key').read_bytes())
    return path


@pytest.fixture
def serve_encrypted(certificate, serve):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    return lambda reply: serve(reply, 0, tls)


def test_certificates_are_checked(serve_encrypted, certificate, download, monkeypatch):
    server = serve_encrypted(lambda path, headers: Reply(body=GREY_TILE))
    with pytest.raises(TileProblem, match='failed the certificate check'):
        download(server.template)
    assert server.paths == []
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    assert download(server.template).data == GREY_TILE


def test_what_comes_too_slowly_is_broken_off_though_encrypted(
        serve_encrypted, certificate, download, monkeypatch):
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    server = serve_encrypted(lambda path, headers: drip(server, b'X' * 9999, False))
    with pytest.raises(TileProblem, match='timed out'):
        download(server.template, quick_http(total_timeout_s=0.5))


def test_a_redirect_to_what_is_not_encrypted_is_refused(
        serve, serve_encrypted, certificate, download, monkeypatch):
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    open_to_all = serve(lambda path, headers: Reply(body=GREY_TILE))
    server = serve_encrypted(lambda path, headers: Reply(
        302, headers={'Location': open_to_all.url + path}))
    with pytest.raises(TileProblem, match='redirected to a http address'):
        download(server.template)
    assert server.paths and not open_to_all.paths


def test_what_is_not_encrypted_is_told(serve, download):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    with pytest.raises(TileProblem, match='failed the TLS handshake'):
        download(server.template.replace('http:', 'https:'))


# The deadline of an attempt --------------------------------------------------------------------

def test_an_attempt_that_is_over_takes_no_connection():
    attempt = Attempt(1000.0)
    attempt.break_off()
    with pytest.raises(OSError, match='broken off'):
        attempt.use(object())


def test_a_connection_that_was_given_back_is_not_broken_off(serve):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    client = HttpClient(quick_http(total_timeout_s=1000.0))
    with Attempt(1000.0) as attempt:
        client._get(server.url, {}, any_body, attempt)
        attempt.break_off()
    assert client.get(server.url, {}, any_body).body == GREY_TILE
    client.close()
    assert server.most_connections == 1
