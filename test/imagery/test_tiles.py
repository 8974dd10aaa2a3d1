"""Tile imagery as the localizer uses it: waiting, missing tiles, failing servers, secrets."""

import io
import logging
import socket
import threading
import time

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import HttpSettings, ImageryError, ImageryNotReady
from http_stub import address, encoded, GREY_TILE, quick_http, Reply
import numpy as np
from PIL import Image
import pytest

FRAME = MapFrame(47.0, 8.5)
CENTRE = (0.0, 0.0)
SIZE_M, SIZE_PX = 56.0, 128


def ask(imagery, wait_s: float = 0.0, centre=CENTRE):
    return imagery.patch(FRAME, centre, SIZE_M, SIZE_PX, wait_s)


def ask_until(imagery, good, within_s: float = 20.0):
    """Ask as the node does, again and again, until ``good(patch or error)`` is true."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            outcome = ask(imagery, wait_s=0.05)
        except ImageryError as error:
            outcome = error
        if good(outcome):
            return outcome
        assert time.monotonic() < deadline, f'still {outcome!r}'


def ask_for_error(imagery) -> str:
    """Return the sentence of the final error."""
    return str(ask_until(imagery, lambda outcome: type(outcome) is ImageryError))


def is_patch(outcome) -> bool:
    return not isinstance(outcome, Exception)


def test_asking_never_blocks_and_the_patch_comes_later(serve, open_imagery):
    released = threading.Event()

    def reply(path, headers):
        released.wait(20)
        return Reply(body=GREY_TILE)

    imagery = open_imagery(serve(reply).template, http=HttpSettings())
    with pytest.raises(ImageryNotReady, match=r'of \d+ tiles of 127.0.0.1:\d+ are still being'):
        ask(imagery)  # comes back although the server answers nothing yet
    assert imagery.stats()['pending'] >= 2
    released.set()
    patch = ask(imagery, wait_s=20)
    assert patch.valid is None and np.all(patch.image == 99) and patch.source == imagery.name


def test_a_request_fetches_what_the_patch_will_need(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template)
    imagery.request(FRAME, CENTRE, SIZE_M, SIZE_PX)
    ask_until(imagery, is_patch)
    fetched = len(grey_server.paths)
    ask(imagery)
    ask(imagery)
    assert len(grey_server.paths) == fetched == imagery.stats()['downloads']


def test_absent_tiles_are_masked_and_not_asked_for_again(serve, open_imagery):
    zoom = mercator.zoom_for_resolution(47.0, SIZE_M / SIZE_PX)
    x, y = mercator.world_pixel_from_geodetic(*FRAME.datum, zoom)
    column = int(x // 256)
    seam = mercator.geodetic_from_world_pixel(column * 256, y, zoom)
    centre = FRAME.map_from_geodetic(*seam)[0] + SIZE_M / 4, 0.0  # a quarter is west of the seam
    server = serve(lambda path, headers:
                   Reply(404) if address(path)[1] < column else Reply(body=GREY_TILE))
    imagery = open_imagery(server.template)
    patch = ask(imagery, wait_s=20, centre=centre)
    missing = 1 - patch.valid.mean()
    assert missing == pytest.approx(0.25, abs=0.02)
    assert np.all(patch.image[patch.valid] == 99) and np.all(patch.image[~patch.valid] == 0)
    assert not patch.valid[:, 0].any() and patch.valid[:, -1].all()  # the west is missing
    asked = len(server.paths)
    ask(imagery, centre=centre)
    assert len(server.paths) == asked
    assert imagery.stats()['absent'] > 0 and not imagery.stats()['offline']


def test_mostly_absent_imagery_is_an_error_that_says_why(serve, open_imagery):
    imagery = open_imagery(serve(lambda path, headers: Reply(404)).template, name='Orthos')
    with pytest.raises(ImageryError, match='Orthos answered 404'):
        ask(imagery, wait_s=20)


def test_a_fully_transparent_tile_counts_as_absent(serve, open_imagery):
    blank = encoded(np.zeros((256, 256, 4), np.uint8))
    imagery = open_imagery(serve(lambda path, headers: Reply(body=blank)).template)
    assert 'has only an empty tile there' in ask_for_error(imagery)


def drip(file):
    for byte in GREY_TILE:
        file.write(bytes([byte]))
        time.sleep(0.05)


def flood(file):
    for _ in range(200):
        file.write(bytes(1 << 16))


def bomb(side_px: int) -> bytes:
    """Return a PNG that is small as a file only."""
    file = io.BytesIO()
    Image.new('1', (side_px, side_px)).save(file, 'PNG')
    return file.getvalue()


@pytest.mark.parametrize('reply, sentence', [
    (Reply(403), 'answered 403'), (Reply(429), 'answered 429'), (Reply(500), 'answered 500'),
    (Reply(503), 'answered 503'),
    (Reply(body=b''), 'sent nothing'),
    (Reply(body=b'\n <!doctype html><p>Log in'), 'sent HTML instead of an image'),
    (Reply(body=b'{"error": 7}'), 'sent something that is not an image'),
    (Reply(body=GREY_TILE[:len(GREY_TILE) // 2]), 'sent a damaged image'),
    (Reply(body=encoded(np.zeros((255, 256, 3), np.uint8))), 'sent a tile of 256 x 255 pixels'),
    (Reply(body=bomb(9000)), 'sent a tile of 9000 x 9000 pixels'),
    (Reply(body=bomb(20000)), 'sent a damaged image'),
    (Reply(headers={'Content-Length': '999999'}, body=GREY_TILE, write=lambda file: None),
     'timed out'),
    (Reply(headers={'Content-Length': '13000000'}, write=flood), 'sent more than 1000000 bytes'),
    (Reply(headers={'Content-Length': str(len(GREY_TILE))}, write=drip), 'timed out'),
    (Reply(302, headers={'Location': '/1/2/3'}), 'redirected more than 3 times'),
    (Reply(302, headers={'Location': 'file:///etc/passwd'}), 'redirected to a file address'),
    (Reply(302, headers={'Location': 'ftp://127.0.0.1/'}), 'redirected to a ftp address'),
], ids=lambda value: value.replace(' ', '-') if isinstance(value, str) else '')
def test_each_fault_is_named_once_and_healed(reply, sentence, serve, open_imagery, caplog):
    server = serve(lambda path, headers: reply)
    imagery = open_imagery(server.template, http=quick_http(max_tile_bytes=1_000_000))
    error = ask_for_error(imagery)
    assert f'{imagery.name} {sentence}' in error
    stats = imagery.stats()
    assert stats['offline'] and stats['errors'] >= 1 and sentence in stats['last_error']
    warnings = [record.getMessage() for record in caplog.records
                if record.levelno == logging.WARNING and record.name.startswith('fg2_ros')]
    assert warnings == [f'{imagery.name} {sentence}']
    server.reply = lambda path, headers: Reply(body=GREY_TILE)
    ask_until(imagery, lambda outcome: is_patch(outcome) and outcome.valid is None)
    assert not imagery.stats()['offline']


def test_a_silent_server_times_out(serve, open_imagery):
    server = serve(lambda path, headers: server.stopping.wait(20) and None or Reply())
    assert 'timed out' in ask_for_error(open_imagery(server.template))


def test_a_server_that_is_not_there_refuses(open_imagery):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    imagery = open_imagery(f'http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}')
    assert f'127.0.0.1:{port} refused the connection' in ask_for_error(imagery)


def test_a_host_without_an_address_cannot_be_reached(open_imagery):
    imagery = open_imagery('http://tiles.invalid/{z}/{x}/{y}')
    assert 'tiles.invalid cannot be reached' in ask_for_error(imagery)


def test_a_failing_server_is_left_alone(serve, open_imagery):
    server = serve(lambda path, headers: Reply(503))
    imagery = open_imagery(server.template, http=quick_http(backoff_s=30.0, max_backoff_s=60.0))
    ask_for_error(imagery)
    asked = len(server.paths)
    assert asked <= 2  # those that were under way together
    for east in range(0, 2000, 20):  # new places all the time
        imagery.request(FRAME, (float(east), 0.0), SIZE_M, SIZE_PX)
    ask_until(imagery, lambda outcome: imagery.stats()['pending'] == 0)
    assert len(server.paths) == asked


def test_retry_after_is_honoured(serve, open_imagery):
    server = serve(lambda path, headers: Reply(429, headers={'Retry-After': '30'}))
    imagery = open_imagery(server.template, http=quick_http(backoff_s=0.01, max_backoff_s=0.02))
    ask_for_error(imagery)
    asked = len(server.paths)
    deadline = time.monotonic() + 0.5  # many of its own pauses
    while time.monotonic() < deadline:
        assert 'answered 429' in ask_for_error(imagery)
    assert len(server.paths) == asked <= 2


def test_at_most_two_connections_and_a_user_agent_with_contact(serve, open_imagery):
    at_once, most, lock = 0, 0, threading.Lock()

    def reply(path, headers):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return Reply(body=GREY_TILE)

    server = serve(reply)
    imagery = open_imagery(server.template, http=HttpSettings(contact='ops@example.org'))
    imagery.patch(FRAME, (0.0, 0.0), 200.0, 512, wait_s=20)
    assert len(server.paths) > 6 and 1 <= most <= 2
    agents = {headers['User-Agent'] for headers in server.headers}
    assert len(agents) == 1
    agent, = agents
    assert agent.startswith('fg2_ros/') and 'ops@example.org' in agent


def test_closing_breaks_off_a_hanging_download_and_leaves_no_thread(serve, open_imagery):
    arrived = threading.Event()

    def reply(path, headers):
        arrived.set()
        server.stopping.wait(30)
        return Reply()

    server = serve(reply)
    imagery = open_imagery(server.template, http=HttpSettings(read_timeout_s=30))
    with pytest.raises(ImageryNotReady):
        ask(imagery)
    assert arrived.wait(20)
    began = time.monotonic()
    imagery.close()
    assert time.monotonic() - began < 5.0  # not the 30 s that the server would take
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('fg2 tile')]
    with pytest.raises(ImageryError, match='is closed'):
        ask(imagery)


@pytest.mark.parametrize('template, key', [
    ('{url}/{{z}}/{{x}}/{{y}}?token=S3CRETVALUE', ''),
    ('{url}/{{key}}/{{z}}/{{x}}/{{y}}', 'S3CRETVALUE')])
@pytest.mark.parametrize('status', [200, 403])
def test_keys_reach_the_server_and_nothing_else(
        template, key, status, serve, open_imagery, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    server = serve(lambda path, headers: Reply(status, GREY_TILE))
    imagery = open_imagery(template.format(url=server.url), tmp_path / 'c.mbtiles', key=key)
    outcome = ask_until(imagery, lambda outcome: type(outcome) is not ImageryNotReady)
    stats, shown = imagery.stats(), repr(imagery.source)
    imagery.close()
    assert all('S3CRETVALUE' in path for path in server.paths)
    assert caplog.records  # the HTTP library's, at least
    assert 'S3CRETVALUE' not in caplog.text + str(outcome) + str(stats) + shown
    for file in tmp_path.iterdir():
        assert b'S3CRETVALUE' not in file.read_bytes()


def test_a_second_run_needs_no_network(grey_server, open_imagery, tmp_path):
    first = open_imagery(grey_server.template, tmp_path / 'c.mbtiles')
    ask_until(first, is_patch)
    first.close()
    grey_server.reply = lambda path, headers: Reply(503)
    asked = len(grey_server.paths)
    second = open_imagery(grey_server.template, tmp_path / 'c.mbtiles')
    assert np.all(ask(second, wait_s=20).image == 99)
    assert len(grey_server.paths) == asked
    assert second.stats()['disk_hits'] > 0 and second.stats()['cache'].endswith('c.mbtiles')


def test_outdated_tiles_are_used_while_the_server_is_asked_for_changes(
        serve, open_imagery, tmp_path):
    colour = 99

    def reply(path, headers):
        etag = f'"{colour}"'
        if headers.get('If-None-Match') == etag:
            return Reply(304, headers={'Cache-Control': 'max-age=0'})
        body = encoded(np.full((256, 256, 3), colour, np.uint8))
        return Reply(body=body, headers={'ETag': etag, 'Cache-Control': 'max-age=0'})

    server = serve(reply)
    imagery = open_imagery(server.template, tmp_path / 'c.mbtiles')
    assert np.all(ask_until(imagery, is_patch).image == 99)
    ask_until(imagery, lambda _: any('If-None-Match' in headers for headers in server.headers))
    colour = 120
    ask_until(imagery, lambda patch: np.all(patch.image == 120))
    server.reply = lambda path, headers: Reply(503)
    ask_until(imagery, lambda _: imagery.stats()['offline'])
    assert np.all(ask(imagery).image == 120)  # what we have is better than nothing


def test_without_a_usable_cache_it_works_in_memory_and_says_so(
        grey_server, open_imagery, tmp_path, caplog):
    folder = tmp_path / 'file'
    folder.write_text('not a folder')
    imagery = open_imagery(grey_server.template, folder / 'c.mbtiles')
    assert is_patch(ask_until(imagery, is_patch))
    assert imagery.stats()['cache'].startswith('off: the tile cache')
    assert 'tiles are kept in memory only' in caplog.text


def test_beyond_the_mercator_limit_is_a_clear_error(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template)
    with pytest.raises(ImageryError, match='ends at 85.0511 degrees'):
        imagery.patch(MapFrame(86.0, 0.0), (0.0, 0.0), 50.0, 100)


@pytest.mark.parametrize('centre, size_m, size_px', [
    ((np.nan, 0.0), 50.0, 100), ((0.0, 0.0), 0.0, 100), ((0.0, 0.0), 50.0, 0),
    ((0.0, 0.0), 9000.0, 8000)])
def test_senseless_patches_are_refused(centre, size_m, size_px, grey_server, open_imagery):
    with pytest.raises(ValueError):
        open_imagery(grey_server.template).patch(FRAME, centre, size_m, size_px)
    assert grey_server.paths == []


def test_memory_stays_within_its_bound(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template, memory_bytes=30 * 3 * 256 ** 2)
    for east in range(0, 3000, 150):
        imagery.patch(FRAME, (float(east), 0.0), 56.0, 128, wait_s=20)
        assert imagery.stats()['memory_tiles'] <= 30
    assert imagery.stats()['downloads'] > 30
