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

"""GeoTIFFs on a web server: only parts are fetched, in the background, within bounds."""

from contextlib import closing
import re
import struct
from test.helpers.analytic_ground import AnalyticGround
from test.helpers.http_stub import HttpStub, quick_http, Reply
from test.helpers.local_files import GroundGrid
import time

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, ImageryNotReady, open_imagery
from fg2_ros.imagery.catalogue import choose_sources, load_catalogue
from fg2_ros.imagery.patch import PatchView
import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
rasterio_shutil = pytest.importorskip('rasterio.shutil')

PLACE = (47.38, 8.54)
GROUND = AnalyticGround(*PLACE)
VIEW = PatchView(MapFrame(*PLACE), (0.0, 0.0), 40.0, 200)
ELSEWHERE = PatchView(MapFrame(*PLACE), (100.0, 0.0), 40.0, 200)
KEY = 'a-secret-token'


@pytest.fixture(scope='module')
def content(tmp_path_factory) -> bytes:
    """Return a GeoTIFF of 5 MB, most of it far from the place."""
    grid = GroundGrid('EPSG:2056', PLACE, 0.25, (1100, 1100))
    image = np.round(grid.colours(GROUND)).astype(np.uint8)
    return grid.write(tmp_path_factory.mktemp('remote') / 'a.tif', image,
                      overviews=(2, 4, 8)).read_bytes()


class FileServer:
    """Answers with parts of a file, or as ``odd`` says."""

    def __init__(self, content: bytes):
        self.content = content
        self.odd = None
        self.sent = 0

    def __call__(self, path, headers) -> Reply:
        if self.odd is not None:
            return self.odd
        first, last = map(int, re.fullmatch(r'bytes=(\d+)-(\d+)', headers['Range']).groups())
        part = self.content[first:last + 1]
        self.sent += len(part)
        span = f'bytes {first}-{first + len(part) - 1}/{len(self.content)}'
        return Reply(206, part, {'Content-Range': span, 'ETag': '"1"'})


@pytest.fixture
def server(content):
    """Return a server of the file."""
    files = FileServer(content)
    with HttpStub(files) as stub:
        stub.files = files
        yield stub


@pytest.fixture
def imagery(server, no_proxy):
    """Return the file on the server as imagery."""
    with closing(open_imagery(f'{server.url}/folder/ortho.tif?token={KEY}',
                              http=quick_http())) as opened:
        yield opened


def assert_true(patch):
    assert patch.valid is None and GROUND.largest_shift_m(patch) < 0.01


def patch_in_the_end(imagery, view, meanwhile=''):
    """Return the patch when the pause after a failure is over."""
    deadline = time.monotonic() + 30.0
    while True:
        try:
            return imagery.patch(view, wait_s=1.0)
        except ImageryError as error:
            assert re.search(meanwhile, str(error)) and time.monotonic() < deadline
            time.sleep(0.01)


def test_only_parts_of_the_file_are_fetched_and_only_once(server, imagery, content):
    with pytest.raises(ImageryNotReady, match='ortho.tif is still being fetched'):
        imagery.patch(VIEW)
    assert_true(imagery.patch(VIEW, wait_s=30.0))
    assert server.files.sent < 0.6 * len(content)
    asked = len(server.paths)
    assert_true(imagery.patch(VIEW))
    assert len(server.paths) == asked and imagery.status().source == 'ortho.tif'
    assert set(server.paths) == {f'/folder/ortho.tif?token={KEY}'}, 'nothing beside it'


def test_what_is_ahead_is_fetched_before_it_is_needed(imagery):
    imagery.patch(VIEW, wait_s=30.0)
    imagery.request(ELSEWHERE)
    assert_true(imagery.patch(ELSEWHERE, wait_s=30.0))
    with pytest.raises(ImageryError, match='outside its bounds'):
        imagery.patch(PatchView(MapFrame(*PLACE), (5000.0, 0.0), 40.0, 200), wait_s=30.0)


@pytest.mark.parametrize('odd, reason', [
    (Reply(404), 'answered 404'), (Reply(200, b'all of it'), 'no parts of them'),
    (Reply(206, b'x' * 10, {'Content-Range': 'bytes 5-14/100'}), 'another part'),
    (Reply(206, b'x' * 10, {'Content-Range': f'bytes 0-9/{10 ** 30}'}), 'another part'),
    (Reply(206, b'x' * 10, {'Content-Range': 'bytes 0-9/100'}), 'broke off'),
    (Reply(206, b'x' * 10, {'Content-Range': 'bytes 0-9/10'}), 'is no GeoTIFF'),
    (Reply(206, b'II*\0' + bytes(6), {'Content-Range': 'bytes 0-9/10'}), 'damaged'),
    (Reply(302, b'', {'Location': 'http://169.254.169.254/a.tif'}), 'link-local|redirected')])
def test_a_server_that_does_not_send_it_is_named_and_left_alone(odd, reason, server, imagery):
    server.files.odd = odd
    with pytest.raises(ImageryError, match=reason) as error:
        imagery.patch(VIEW, wait_s=30.0)
    assert f'{server.url[7:]}/folder/ortho.tif' in str(error.value)
    assert KEY not in str(error.value) and '\n' not in str(error.value)
    assert imagery.status().offline and KEY not in imagery.status().last_error


def test_it_is_asked_again_after_a_pause(server, imagery):
    server.files.odd = Reply(503)
    with pytest.raises(ImageryError, match='answered 503'):
        imagery.patch(VIEW, wait_s=30.0)
    server.files.odd = None
    assert_true(patch_in_the_end(imagery, VIEW, 'tried again in 0 s|still being fetched'))
    assert not imagery.status().offline


def test_a_file_that_is_replaced_is_opened_anew(server, imagery, content):
    imagery.patch(VIEW, wait_s=30.0)
    server.files.content = content + bytes(1000)
    with pytest.raises(ImageryError, match='another file'):
        imagery.patch(ELSEWHERE, wait_s=30.0)
    assert_true(patch_in_the_end(imagery, ELSEWHERE))


def test_closing_breaks_off_what_is_under_way(server, content, no_proxy):
    def silent(socket):
        server.stopping.wait(60)

    server.files.odd = Reply(take_over=silent)
    imagery = open_imagery(f'{server.url}/ortho.tif')
    with pytest.raises(ImageryNotReady):
        imagery.patch(VIEW)
    imagery.close()
    with pytest.raises(ImageryError):
        imagery.patch(VIEW)


def test_the_catalogue_may_name_a_file_on_a_server(tmp_path):
    entry = ('mine: {{kind: file, path: "{url}", attribution: me, terms: mine, vintage: "",'
             ' offline_allowed: true, machine_interpretation_allowed: true}}')
    path = tmp_path / 'c.yaml'
    path.write_text(entry.format(url=f'https://example.org/a.tif?key={KEY}'))
    source, = choose_sources('mine', path)
    assert source.path == f'https://example.org/a.tif?key={KEY}' and KEY not in repr(source)
    assert choose_sources('https://example.org/b.tif')[0].label == 'b.tif'
    path.write_text(entry.format(url='https://example.org/a.vrt'))
    with pytest.raises(ValueError, match='only GeoTIFFs'):
        load_catalogue(path)


GRID = GroundGrid('EPSG:2056', PLACE, 0.25, (400, 400))
PIXELS = np.round(GRID.colours(GROUND)).astype(np.uint8)


@pytest.mark.parametrize('options', [
    {'bigtiff': 'YES', 'overviews': (2, 4)}, {'interleave': 'band', 'overviews': (2,)},
    {'compress': 'deflate', 'interleave': 'pixel', 'overviews': (2, 4)},
    {'endianness': 'BIG'}, {'sparse_ok': True}])
def test_all_layouts_of_tiles_are_read(options, server, no_proxy, tmp_path):
    path = GRID.write(tmp_path / 'a.tif', PIXELS, **options)
    server.files.content = path.read_bytes()
    with closing(open_imagery(f'{server.url}/a.tif', http=quick_http())) as imagery:
        assert_true(imagery.patch(VIEW, wait_s=30.0))


def test_cloud_optimised_files_of_gdal_are_read(server, content, no_proxy, tmp_path):
    (tmp_path / 'a.tif').write_bytes(content)
    rasterio_shutil.copy(tmp_path / 'a.tif', tmp_path / 'b.tif', driver='COG', compress='deflate')
    server.files.content = (tmp_path / 'b.tif').read_bytes()
    with closing(open_imagery(f'{server.url}/b.tif', http=quick_http())) as imagery:
        assert_true(imagery.patch(VIEW, wait_s=30.0))
        coarse = imagery.patch(PatchView(VIEW.frame, (30.0, 20.0), 150.0, 150), wait_s=30.0)
    assert coarse.native_resolution_m == pytest.approx(1.0, rel=0.01)
    assert GROUND.largest_shift_m(coarse) < 0.1


def test_masks_come_along(server, no_proxy, tmp_path):
    mask = np.tile(np.arange(400) >= 170, (400, 1))
    path = GRID.write(tmp_path / 'a.tif', PIXELS, mask=mask)
    server.files.content = path.read_bytes()
    with closing(open_imagery(f'{server.url}/a.tif', http=quick_http())) as imagery:
        patch = imagery.patch(VIEW, wait_s=30.0)
    assert not patch.valid[:, :55].any() and patch.valid[:, 72:].all()


def test_files_of_strips_or_without_overviews_are_refused_with_the_way_out(
        server, no_proxy, tmp_path):
    with rasterio.open(tmp_path / 'a.tif', 'w', driver='GTiff', width=400, height=400, count=3,
                       dtype='uint8', crs=GRID.crs, transform=GRID.transform) as dataset:
        dataset.write(np.moveaxis(PIXELS, -1, 0))
    large = GroundGrid('EPSG:2056', PLACE, 0.25, (2100, 2100))
    large.write(tmp_path / 'b.tif', np.zeros((2100, 2100, 1), np.uint8))
    for name, reason in (('a.tif', 'not made of tiles'), ('b.tif', 'has no overviews')):
        server.files.content = (tmp_path / name).read_bytes()
        with closing(open_imagery(f'{server.url}/{name}', http=quick_http())) as imagery:
            with pytest.raises(ImageryError, match=f'{reason}: "gdal_translate -of COG"'):
                imagery.patch(VIEW, wait_s=30.0)


@pytest.mark.parametrize('start', [
    b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', 60000),
    b'II*\0' + struct.pack('<I', 2 ** 32 - 1), b'II+\0' + struct.pack('<IQ', 8, 2 ** 63),
    b'II*\0' + struct.pack('<IHI', 8, 0, 8),
    b'II*\0' + struct.pack('<IHHHII', 8, 1, 324, 4, 2 ** 32 - 1, 8) + bytes(4)])
def test_damaged_layouts_are_named(start, server, no_proxy):
    server.files.content = start + bytes(500)
    with closing(open_imagery(f'{server.url}/a.tif', http=quick_http())) as imagery:
        with pytest.raises(ImageryError, match='a.tif is damaged|no parts|another part'):
            imagery.patch(VIEW, wait_s=30.0)
