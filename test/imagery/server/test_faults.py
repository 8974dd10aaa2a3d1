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

"""Servers that fail in every known way: bounded, said once, left alone, and healed."""

from contextlib import closing
from email.utils import formatdate
import logging
from pathlib import Path
import re
import socket
import sqlite3
from test.helpers.asking import (
    ask_for_error, ask_until, FRAME, is_final_error, is_patch, SIZE_M, SIZE_PX)
from test.helpers.faults import Fault, FAULTS, status
from test.helpers.http_stub import address, GREY_TILE, quick_http, Reply
import time

from fg2_ros.geometry import mercator
from fg2_ros.imagery.patch import PatchView
import pytest

PATIENT = {'backoff_s': 1000.0, 'max_backoff_s': 1000.0}


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records
            if record.levelno >= logging.WARNING and record.name.startswith('fg2_ros')]


def tiles_in(cache: Path) -> int:
    with closing(sqlite3.connect(cache)) as database:
        return database.execute('SELECT count(*) FROM tiles').fetchone()[0]


def memory_mb(name: str) -> float:
    """Return this process' resident memory, VmRSS, or the most of it, VmHWM."""
    match = re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    return int(match.group(1)) / 1000


@pytest.fixture
def most_memory():
    """Return a function for how much more memory was in use at most; skips where nobody knows."""
    try:
        Path('/proc/self/clear_refs').write_text('5')
        before_mb = memory_mb('VmRSS')
    except OSError:
        pytest.skip('this system does not tell the most memory that was in use')
    return lambda: memory_mb('VmHWM') - before_mb


def faulty(serve, fault: Fault):
    server = serve(lambda path, headers: fault.reply(server))
    return server


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name.replace(' ', '-'))
def test_a_fault_is_bounded_said_once_and_not_stirred(fault, serve, open_imagery, folder, caplog):
    caplog.set_level(logging.DEBUG)
    server = faulty(serve, fault)
    imagery = open_imagery(f'{server.template}?token=S3CRETVALUE', folder / 'c.mbtiles',
                           name='Orthos', http=quick_http(**PATIENT, **fault.http))
    error = ask_for_error(imagery)
    assert f'Orthos {fault.sentence}' in error
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    asked = len(server.paths)
    most = len(set(server.paths)) if fault.absent else 2 * fault.requests  # two are under way
    assert 1 <= asked <= most
    for _ in range(20):
        assert error == ask_for_error(imagery)
    for east in range(0, 20 if fault.absent else 2000, 20):  # new places, if all is failing
        imagery.request(PatchView(FRAME, (float(east), 0.0), SIZE_M, SIZE_PX))
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    assert len(server.paths) == asked
    said, = warnings(caplog)
    assert said.startswith(f'Orthos {fault.sentence}')
    status = imagery.status()
    assert 'S3CRETVALUE' not in caplog.text + error + str(status)
    assert status.last_error.startswith(f'Orthos {fault.sentence}')
    assert status.offline != fault.absent
    assert (status.absent if fault.absent else status.errors) >= 1
    imagery.close()
    assert tiles_in(folder / 'c.mbtiles') == 0
    assert b'S3CRETVALUE' not in (folder / 'c.mbtiles').read_bytes()


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name.replace(' ', '-'))
def test_it_goes_on_when_the_fault_is_over(fault, serve, open_imagery, folder):
    server = faulty(serve, fault)
    imagery = open_imagery(server.template, folder / 'c.mbtiles',
                           http=quick_http(absent_s=0.2, **fault.http))
    ask_for_error(imagery)
    server.reply = lambda path, headers: Reply(body=GREY_TILE)
    ask_until(imagery, lambda outcome: is_patch(outcome) and outcome.valid is None)
    # What was under way when the fault ended may have failed since.
    ask_until(imagery, lambda _: not imagery.status().offline)
    assert imagery.status().stale == 0
    imagery.close()
    assert tiles_in(folder / 'c.mbtiles') == imagery.status().downloads > 0


@pytest.mark.parametrize('name', [
    'gigabyte', 'gigabyte in chunks', 'gigabyte until the end', 'bomb', 'large bomb',
    'compressed body', 'endless headers'])
def test_memory_is_bounded(name, serve, open_imagery, most_memory):
    fault, = (fault for fault in FAULTS if fault.name == name)
    imagery = open_imagery(faulty(serve, fault).template, http=quick_http(**PATIENT, **fault.http))
    ask_for_error(imagery)
    assert most_memory() < 50  # of the gigabyte, the 80 MB and 400 MB of pixels, and 50 MB


def test_a_server_that_is_not_there_refuses_until_it_is(serve, open_imagery, caplog):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
        imagery = open_imagery(f'http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}')
        assert f'127.0.0.1:{port} refused the connection' in ask_for_error(imagery)
    assert warnings(caplog) == [f'127.0.0.1:{port} refused the connection']
    serve(lambda path, headers: Reply(body=GREY_TILE), port)
    ask_until(imagery, is_patch)


def test_a_host_without_an_address_is_found_once_it_has_one(
        serve, open_imagery, caplog, monkeypatch):
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    template = server.template.replace('127.0.0.1', 'tiles.invalid')
    name = template.split('/')[2]
    imagery = open_imagery(template)
    assert f'{name} cannot be reached' in ask_for_error(imagery)
    assert warnings(caplog) == [f'{name} cannot be reached']
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, 'getaddrinfo', lambda host, *args, **options: look_up(
        '127.0.0.1' if host == 'tiles.invalid' else host, *args, **options))
    ask_until(imagery, is_patch)


@pytest.mark.parametrize('host', ['127.0.0.1', 'tiles.invalid'])
def test_a_server_that_cannot_be_reached_is_not_called_again_and_again(
        host, open_imagery, folder, monkeypatch):
    attempts = []

    def refuse(address, *_, **__):
        attempts.append(address)
        raise ConnectionRefusedError if host == '127.0.0.1' else socket.gaierror

    monkeypatch.setattr('urllib3.util.connection.create_connection', refuse)
    imagery = open_imagery(
        f'http://{host}/{{z}}/{{x}}/{{y}}', folder / 'c.mbtiles', http=quick_http(**PATIENT))
    error = ask_for_error(imagery)
    for east in range(0, 2000, 20):
        imagery.request(PatchView(FRAME, (float(east), 0.0), SIZE_M, SIZE_PX))
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    assert error == ask_for_error(imagery) and imagery.status().offline
    assert 1 <= len(attempts) <= 2  # two are under way together
    imagery.close()
    assert tiles_in(folder / 'c.mbtiles') == 0


@pytest.mark.parametrize('as_date', [False, True])
def test_retry_after_is_honoured(as_date, serve, open_imagery):
    server = serve(lambda path, headers: Reply(429, headers={
        'Retry-After': formatdate(time.time() + 30, usegmt=True) if as_date else '30'}))
    imagery = open_imagery(server.template, http=quick_http(backoff_s=0.001, max_backoff_s=0.002))
    ask_for_error(imagery)
    ask_until(imagery, lambda _: imagery.status().pending == 0)
    asked = len(server.paths)
    ended = time.monotonic() + 0.1  # many of its own pauses
    while time.monotonic() < ended:
        assert 'answered 429' in ask_for_error(imagery)
    assert len(server.paths) == asked <= 2


def test_one_bad_tile_does_not_keep_the_others_away(serve, open_imagery):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE[:99] if path == server.paths[0] else GREY_TILE))
    imagery = open_imagery(server.template)

    def only_one_is_missing(_):
        status = imagery.status()
        return status.downloads == len(set(server.paths)) - 1 > 0 and not status.pending

    ask_until(imagery, only_one_is_missing)
    assert imagery.status().memory_tiles == imagery.status().downloads


@pytest.mark.parametrize('fault', [
    fault for fault in FAULTS if fault.name in ('404', '503', 'white', 'truncated image')],
    ids=lambda fault: fault.name)
@pytest.mark.parametrize('missing', [0.3, 0.7])
def test_a_patch_that_is_mostly_missing_is_none(fault, missing, serve, open_imagery):
    zoom = mercator.zoom_for_resolution(FRAME.latitude_deg, SIZE_M / SIZE_PX)
    x, y = mercator.world_pixel_from_geodetic(*FRAME.datum, zoom, tile_px=1)
    column = int(x)
    edge = mercator.geodetic_from_world_pixel(column, y, zoom, tile_px=1)
    edge_m = FRAME.map_from_geodetic(*edge)[0]
    server = serve(lambda path, headers: fault.reply(server) if address(path)[1] < column
                   else Reply(body=GREY_TILE))
    imagery = open_imagery(server.template, min_zoom=zoom, http=quick_http(**fault.http))
    centre = edge_m + (0.5 - missing) * SIZE_M, 0.0
    if missing < 0.5:
        patch = ask_until(imagery, is_patch, centre=centre)
        assert patch.valid.mean() == pytest.approx(1 - missing, abs=0.02)
        return
    error = ask_until(imagery, lambda outcome: is_patch(outcome) or (
        imagery.status().downloads >= 1 and is_final_error(outcome)), centre=centre)
    assert fault.sentence in str(error)


@pytest.mark.parametrize('broken', [
    'fg2_ros.imagery.server.tile_server_client.TileServerClient.fetch',
    'fg2_ros.imagery.cache.cache.TileCache.get'])
def test_an_accident_fails_its_tile_which_is_tried_again(
        broken, grey_server, open_imagery, folder, caplog, monkeypatch):
    secret = 'S3CRETVALUE'

    def break_down(*_):
        raise RuntimeError(secret)

    caplog.set_level(logging.DEBUG)
    with monkeypatch.context() as patched:
        patched.setattr(broken, break_down)
        imagery = open_imagery(grey_server.template, folder / 'c.mbtiles', name='Orthos')
        assert 'Orthos: RuntimeError while a tile was handled' in ask_for_error(imagery)
        ask_until(imagery, lambda _: imagery.status().pending == 0)
    assert warnings(caplog) == ['Orthos: RuntimeError while a tile was handled']
    assert 'break_down' in caplog.text and secret not in caplog.text
    assert imagery.status().errors > 0
    ask_until(imagery, lambda outcome: is_patch(outcome) and outcome.valid is None)


def test_what_is_not_there_is_remembered_when_the_next_drive_begins(
        serve, open_imagery, folder):
    server = serve(lambda path, headers: status(404)(server))
    first = open_imagery(server.template, folder / 'c.mbtiles', name='Orthos')
    ask_for_error(first)
    ask_until(first, lambda _: first.status().pending == 0)
    first.close()
    asked = len(server.paths)
    second = open_imagery(server.template, folder / 'c.mbtiles', name='Orthos')
    assert 'Orthos answered 404' in ask_for_error(second)
    ask_until(second, lambda _: second.status().pending == 0)
    assert len(server.paths) == asked and second.status().absent == asked


def test_how_long_an_absence_is_believed_is_up_to_the_server(serve, open_imagery):
    server = serve(lambda path, headers: Reply(404, headers={'Cache-Control': 'max-age=0'}))
    imagery = open_imagery(server.template, http=quick_http(absent_s=1000.0))
    ask_for_error(imagery)
    server.reply = lambda path, headers: Reply(body=GREY_TILE)
    ask_until(imagery, is_patch)
