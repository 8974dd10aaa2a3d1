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

"""`fg2 prefetch` as its user meets it: terms, consent, interruption, driving offline."""

import json
import signal
import subprocess
import sys
from test.helpers.http_stub import address, encoded, GREY_TILE, quick_http, Reply
from test.helpers.processes import ended, running
import threading
import time

from fg2_ros.commands import main
from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.catalogue import open_imagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from fg2_ros.imagery.tiles.address import TileId
import numpy as np
import pytest

WAIT_S = 300.0
ZOOM = 17
SIZE_M, SIZE_PX = 56.0, 68  # zoom 17 at 47 degrees
COMMAND = 'from fg2_ros.commands import main; raise SystemExit(main())'
CATALOGUE = """
forbidden:
  kind: xyz
  url: '{url}'
  attribution: (c) Them
  terms: 'Only to look at. https://example.org/terms'
  offline_allowed: false
  machine_interpretation_allowed: true
  vintage: ''
  min_zoom: 0
  max_zoom: 19
allowed:
  kind: xyz
  url: '{url}?token={{key}}'
  key_env: TEST_TILES_KEY
  attribution: (c) Friends
  terms: 'For any use. https://example.org/open'
  offline_allowed: true
  machine_interpretation_allowed: true
  vintage: '2024'
  min_zoom: 0
  max_zoom: 19
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let no pause be long."""
    monkeypatch.setattr('fg2_ros.prefetch.job.HttpSettings', lambda **given: quick_http(
        **given, backoff_s=0.01, max_backoff_s=0.02, absent_s=0.0))


@pytest.fixture
def street(tmp_path):
    """Return the file of a route of 230 m."""
    path = tmp_path / 'street.geojson'
    path.write_text(json.dumps(
        {'type': 'LineString', 'coordinates': [[8.5, 47.0], [8.503, 47.0]]}))
    return path


@pytest.fixture
def prefetch(street, tmp_path):
    """Return a function that runs the command; it returns exit code and figures."""
    def run(source, *options, zoom=ZOOM):
        figures = tmp_path / 'figures.json'
        figures.unlink(missing_ok=True)
        code = main([
            'prefetch', '--route', str(street), '--zoom', str(zoom), '--source', source,
            '--cache', str(tmp_path / 'cache'), '--json', str(figures), *options])
        return code, json.loads(figures.read_text()) if figures.exists() else None
    return run


@pytest.fixture
def catalogue(tmp_path, grey_server):
    """Return a catalogue whose sources are the grey server."""
    path = tmp_path / 'sources.yaml'
    path.write_text(CATALOGUE.format(url=grey_server.template))
    return str(path)


def test_a_dry_run_tells_everything_and_fetches_nothing(
        prefetch, catalogue, grey_server, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv('TEST_TILES_KEY', 'sesame42')
    code, figures = prefetch('allowed', '--catalogue', catalogue, '--dry-run')
    out = ' '.join(capsys.readouterr().out.split())
    assert code == 0 and figures['to_fetch'] == figures['tiles'] > 3
    assert 'allowed, (c) Friends' in out and 'For any use. https://example.org/open' in out
    assert f'{figures["tiles"]} of zoom 17' in out and '0.2 km of lines, 100 m around' in out
    assert f'about {figures["tiles"] * 0.02:.1f} MB' in out
    assert not grey_server.paths and not (tmp_path / 'cache').exists()


@pytest.mark.parametrize('source, options, problem', [
    ('forbidden', (), 'terms of forbidden forbid to fetch and keep its tiles: Only to look at'),
    ('forbidden', ('--offline-allowed',), 'terms of forbidden forbid'),
    ('{url}', (), 'nothing is known of the terms'),
    ('{route}', (), 'is a file on this machine'),
    ('allowed', (), 'TEST_TILES_KEY'),
    ('nonsense', (), "'nonsense' is neither a URL, nor a file")])
def test_what_may_not_be_fetched_is_refused(
        prefetch, catalogue, grey_server, street, capsys, source, options, problem):
    source = source.replace('{url}', grey_server.template).replace('{route}', str(street))
    code, figures = prefetch(source, '--catalogue', catalogue, '--yes', *options)
    assert code == 1 and figures is None and problem in capsys.readouterr().err
    assert not grey_server.paths


@pytest.mark.parametrize('answer', ['n', '', 'yes please'])
def test_without_consent_nothing_is_fetched(prefetch, grey_server, monkeypatch, capsys, answer):
    monkeypatch.setattr('sys.stdin.isatty', lambda: True, raising=False)
    monkeypatch.setattr('builtins.input', lambda question: answer)
    code, _ = prefetch(grey_server.template, '--offline-allowed')
    assert code == 1 and 'nothing was fetched' in capsys.readouterr().err
    assert not grey_server.paths


def test_with_nobody_to_ask_yes_is_wanted(prefetch, grey_server, monkeypatch, capsys):
    monkeypatch.setattr('sys.stdin.isatty', lambda: False, raising=False)
    code, _ = prefetch(grey_server.template, '--offline-allowed')
    assert code == 1 and '--yes' in capsys.readouterr().err
    assert not grey_server.paths


def test_with_consent_everything_is_fetched_then_nothing(
        prefetch, grey_server, monkeypatch, capsys):
    questions = []
    monkeypatch.setattr('sys.stdin.isatty', lambda: True, raising=False)
    monkeypatch.setattr('builtins.input', lambda question: questions.append(question) or 'y')
    options = '--offline-allowed', '--contact', 'driver@example.org'
    code, figures = prefetch(grey_server.template, *options)
    assert code == 0 and figures['fetched'] == figures['in_cache'] == figures['tiles']
    assert questions == [f'Fetch {figures["tiles"]} tiles? [y/N] ']
    said = capsys.readouterr()
    assert 'not in the catalogue: yours to check' in said.out and 'tiles/s' in said.err
    assert f'{figures["tiles"]} fetched (' in said.out
    assert all('driver@example.org' in each['User-Agent'] for each in grey_server.headers)
    asked = len(grey_server.paths)
    code, figures = prefetch(grey_server.template, *options)
    assert code == 0 and figures['to_fetch'] == 0 and figures['held'] == figures['tiles']
    assert len(grey_server.paths) == asked and len(questions) == 1


def await_expiry(cache):
    """Wait until no tile is believed to be absent any more."""
    end_s = time.monotonic() + WAIT_S
    while read_mbtiles_index(cache).absent:
        assert time.monotonic() < end_s, 'tiles are believed to be absent for ever'


def test_the_node_drives_offline_on_what_was_fetched(prefetch, serve, tmp_path):
    """Also where there are only coarser tiles, long after the server said so for the last time."""
    shades = np.add.outer(np.arange(256), np.arange(256)).astype(np.uint8) // 2 + 50
    tile = encoded(np.repeat(shades[..., None], 3, axis=2))
    limit, _ = mercator.world_pixel_from_geodetic(47.0, 8.5, ZOOM, tile_px=1)
    server = serve(lambda path, headers: Reply(404) if address(path)[0] == ZOOM and (
        address(path)[1] > limit) else Reply(body=tile))
    template = server.template
    code, figures = prefetch(template, '--offline-allowed', '--yes', '--margin', '150')
    assert code == 0 and figures['absent'] > 0 and figures['fetched'] > figures['tiles'] / 3
    zooms = {address(path)[0] for path in server.paths}
    assert zooms == {ZOOM, ZOOM - 1}
    server.__exit__()
    asked = len(server.paths)
    await_expiry(next((tmp_path / 'cache').iterdir()))
    imagery = open_imagery(template, cache_path=tmp_path / 'cache', http=quick_http())
    for longitude in np.linspace(8.5, 8.503, 9):
        view = PatchView(MapFrame(47.0, longitude), (0.0, 0.0), SIZE_M, SIZE_PX)
        patch = imagery.patch(view, WAIT_S)
        assert patch.valid is None or patch.valid.mean() >= 0.5
    assert len(server.paths) == asked
    imagery.close()


def test_a_cache_too_small_is_told_before_and_after(prefetch, serve, capsys):
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    tile = encoded(noise, 'JPEG')
    server = serve(lambda path, headers: Reply(body=tile))
    code, figures = prefetch(
        server.template, '--offline-allowed', '--yes', '--margin', '1000', '--cache-mb', '2')
    said = capsys.readouterr().out
    assert code == 0 and 'Warning   the cache is too small for this plan' in said
    assert figures['in_cache'] < figures['fetched'] and 'have been dropped' in said


def test_a_server_that_fails_is_told_with_its_reason(prefetch, serve, capsys):
    server = serve(lambda path, headers: Reply(403))
    code, figures = prefetch(server.template, '--offline-allowed', '--yes', '--margin', '1000')
    assert code == 1 and figures['fetched'] == figures['in_cache'] == 0
    assert 'answered 403 to everything: it wants an API key' in figures['ended_early']
    said = capsys.readouterr().out
    assert figures['ended_early'] in said and 'not tried' in said


@pytest.mark.parametrize('status', [200, 401])
def test_the_key_is_told_to_nobody(
        prefetch, catalogue, grey_server, monkeypatch, capsys, caplog, tmp_path, status):
    monkeypatch.setenv('TEST_TILES_KEY', 'sesame42')
    caplog.set_level('DEBUG')
    grey_server.reply = lambda path, headers: Reply(status, GREY_TILE)
    prefetch('allowed', '--catalogue', catalogue, '--yes')
    assert all('token=sesame42' in path for path in grey_server.paths) and grey_server.paths
    said = capsys.readouterr()
    written = b''.join(path.read_bytes() for path in tmp_path.rglob('*') if path.is_file())
    assert 'sesame42' not in said.out + said.err + caplog.text
    assert b'sesame42' not in written


@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_started_again(serve, street, tmp_path, sent):
    """The tiles that were there are not asked for again."""
    enough, asked = threading.Event(), []

    def reply(path, headers):
        asked.append(path)
        if len(asked) > 6:
            enough.set()
            server.stopping.wait(WAIT_S)
        return Reply(body=GREY_TILE)

    server = serve(reply)
    arguments = [
        'prefetch', '--route', str(street), '--zoom', str(ZOOM), '--margin', '600', '--yes',
        '--source', server.template, '--offline-allowed', '--cache', str(tmp_path / 'c.mbtiles')]
    with running([sys.executable, '-c', COMMAND, *arguments], stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE) as process:
        assert enough.wait(WAIT_S), 'the command has not asked for the tiles it was to wait for'
        process.send_signal(sent)
        out, err = ended(process)
    assert 'Traceback' not in err
    if sent == signal.SIGINT:
        assert process.returncode == 130
        assert 'interrupted; the same command goes on from here' in out and 'not tried' in out
    holding = read_mbtiles_index(tmp_path / 'c.mbtiles').at(ZOOM)
    held = {TileId(ZOOM, x, y) for x, y in zip(holding.columns, holding.rows)}
    assert 4 <= len(held) <= 6
    asked.clear()
    server.reply = lambda path, headers: asked.append(path) or Reply(body=GREY_TILE)
    assert main(arguments) == 0
    assert not held & {TileId(*address(path)) for path in asked}
    total = len(read_mbtiles_index(tmp_path / 'c.mbtiles').at(ZOOM).keys)
    assert total == len(held) + len(asked) > 20
