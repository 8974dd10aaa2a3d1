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

"""Tile imagery as the localizer uses it: waiting, missing tiles, failing servers, secrets."""

import logging
from test.helpers.asking import ask, ask_until, FRAME, is_patch, SIZE_M, SIZE_PX
from test.helpers.http_stub import address, encoded, GREY_TILE, Reply
import threading
import time

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import HttpSettings, ImageryError, ImageryNotReady
from fg2_ros.imagery.patch import PatchView
import numpy as np
import pytest


def test_asking_never_blocks_and_the_patch_comes_later(serve, open_imagery):
    released = threading.Event()

    def reply(path, headers):
        released.wait(20)
        return Reply(body=GREY_TILE)

    imagery = open_imagery(serve(reply).template, http=HttpSettings())
    with pytest.raises(ImageryNotReady, match=r'of \d+ tiles of 127.0.0.1:\d+ are still being'):
        ask(imagery)  # comes back although the server answers nothing yet
    assert imagery.status().pending >= 2
    released.set()
    patch = ask(imagery, wait_s=20)
    assert patch.valid is None and np.all(patch.image == 99) and patch.source == imagery.name


def test_a_request_fetches_what_the_patch_will_need(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template)
    imagery.request(PatchView(FRAME, (0.0, 0.0), SIZE_M, SIZE_PX))
    ask_until(imagery, is_patch)
    fetched = len(grey_server.paths)
    ask(imagery)
    ask(imagery)
    assert len(grey_server.paths) == fetched == imagery.status().downloads


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
    assert imagery.status().absent > 0 and not imagery.status().offline


def test_mostly_absent_imagery_is_an_error_that_says_why(serve, open_imagery):
    imagery = open_imagery(serve(lambda path, headers: Reply(404)).template, name='Orthos')
    with pytest.raises(ImageryError, match='Orthos answered 404'):
        ask(imagery, wait_s=20)


def test_closing_breaks_off_a_hanging_download_and_leaves_no_thread(serve, open_imagery):
    arrived = threading.Event()

    def reply(path, headers):
        arrived.set()
        server.stopping.wait(300)
        return Reply()

    server = serve(reply)
    imagery = open_imagery(server.template, http=HttpSettings(
        read_timeout_s=300.0, total_timeout_s=300.0))
    with pytest.raises(ImageryNotReady):
        ask(imagery)
    assert arrived.wait(60)
    threads = tile_threads()
    began = time.monotonic()
    imagery.close()
    for thread in threads:
        thread.join(60)
    assert time.monotonic() - began < 60.0  # not the 300 s that the server would take
    assert threads and not tile_threads()
    with pytest.raises(ImageryError, match='is closed'):
        ask(imagery)


def tile_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith('fg2 tile')]


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
    status, shown = imagery.status(), repr(imagery.store.source)
    imagery.close()
    assert all('S3CRETVALUE' in path for path in server.paths)
    assert caplog.records  # the HTTP library's, at least
    assert 'S3CRETVALUE' not in caplog.text + str(outcome) + str(status) + shown
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
    assert second.status().disk_hits > 0 and second.status().caches[0].path.name == 'c.mbtiles'


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
    ask_until(imagery, lambda _: imagery.status().offline)
    assert np.all(ask(imagery).image == 120)  # what we have is better than nothing


def test_without_a_usable_cache_it_works_in_memory_and_says_so(
        grey_server, open_imagery, tmp_path, caplog):
    folder = tmp_path / 'file'
    folder.write_text('not a folder')
    imagery = open_imagery(grey_server.template, folder / 'c.mbtiles')
    assert is_patch(ask_until(imagery, is_patch))
    assert str(imagery.status().caches[0]).startswith('off: the tile cache')
    assert 'tiles are kept in memory only' in caplog.text


def test_beyond_the_mercator_limit_is_a_clear_error(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template)
    with pytest.raises(ImageryError, match='ends at 85.0511 degrees'):
        imagery.patch(PatchView(MapFrame(86.0, 0.0), (0.0, 0.0), 50.0, 100))


@pytest.mark.parametrize('centre, size_m, size_px', [
    ((np.nan, 0.0), 50.0, 100), ((0.0, 0.0), 0.0, 100), ((0.0, 0.0), 50.0, 0)])
def test_senseless_patches_are_refused(centre, size_m, size_px, grey_server, open_imagery):
    with pytest.raises(ValueError):
        open_imagery(grey_server.template).patch(PatchView(FRAME, centre, size_m, size_px))
    assert grey_server.paths == []


def test_a_patch_of_too_many_tiles_is_an_error_of_its_source(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template, min_zoom=17, name='Orthos')
    for ask_for in (imagery.patch, imagery.request):
        with pytest.raises(ImageryError, match='9000 m needs .* tiles of Orthos, more than the'):
            ask_for(PatchView(FRAME, (0.0, 0.0), 9000.0, 8000))
    assert grey_server.paths == []


def test_memory_stays_within_its_bound(grey_server, open_imagery):
    imagery = open_imagery(grey_server.template, memory_bytes=30 * 3 * 256 ** 2)
    for east in range(0, 3000, 150):
        imagery.patch(PatchView(FRAME, (float(east), 0.0), 56.0, 128), wait_s=20)
        assert imagery.status().memory_tiles <= 30
    assert imagery.status().downloads > 30
