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

"""Where the node takes imagery from, and what it says about it."""

from dataclasses import replace
import io
import logging
from pathlib import Path
from test.helpers.vehicle import at, FakeLocalizer, FRAME

from builtin_interfaces.msg import Time
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, RasterImagery
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.status import CacheStatus, ImageryStatus, PatchOrigin
from fg2_ros.ros.diagnostics import Health
from fg2_ros.ros.loading import load_imagery, Loaded
from fg2_ros.ros.node_settings import ImagerySettings
from fg2_ros.simulation.tile_server import Faults, TileServer
import numpy as np
from PIL import Image
import pytest
import yaml

WHITE = io.BytesIO()
Image.new('RGB', (256, 256), 'white').save(WHITE, 'JPEG')
PATCH = PatchView(FRAME, (0.0, 0.0), 56.0, 256)
ENTRY = {'kind': 'xyz', 'attribution': '(c) Survey', 'terms': 'Look, do not think.',
         'offline_allowed': True, 'machine_interpretation_allowed': True, 'vintage': 'May 2021',
         'min_zoom': 10, 'max_zoom': 19}


@pytest.fixture
def tiles():
    """Serve a grey orthophoto around the vehicle."""
    grey = np.full((400, 400, 3), 80, np.uint8)
    with TileServer(
            RasterImagery(grey, FRAME, (0.0, 0.0), 0.5).tile, min_zoom=10, max_zoom=20) as server:
        yield server


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a catalogue and returns its path."""
    def write_one(**sources):
        path = tmp_path / 'mine.yaml'
        path.write_text(yaml.safe_dump(sources))
        return str(path)
    return write_one


@pytest.fixture
def start(vehicle):
    """Return a function that starts a node with a fake localizer and real imagery."""
    def start_one(active=True, **parameters):
        return vehicle.start(
            lambda settings: Loaded(vehicle.localizer, load_imagery(settings.imagery)), active,
            **{f'imagery__{name}': value for name, value in parameters.items()},
            imagery__cache_path='')
    return start_one


def diagnosed(imagery: ImageryStatus | None, trouble: str = '') -> dict:
    """Return level, message and values of the diagnostics of some statistics of imagery."""
    health = Health(logging.getLogger('test'))
    if trouble:
        health.trouble('imagery', trouble)
    status = health.report('node', Time(), {}, {}, imagery).status[2]
    return {'level': status.level, 'message': status.message,
            **{item.key: item.value for item in status.values}}


@pytest.mark.parametrize('parameters, words', [
    ({'sources': ['closed']}, ('closed do not allow machine', 'Look, do not think.')),
    ({'sources': ['open', 'atlantis']}, ("'atlantis' is neither", 'mine.yaml', 'closed, open')),
    ({'sources': ['/no/such/file.mbtiles']}, ('/no/such/file.mbtiles does not exist',)),
    ({'sources': 'closed'}, ('closed do not allow machine',)),
    ({'url': 'ftp://h/{z}/{x}/{y}?token=S3CRET'}, ('starts with http',)),
    ({'url': 'h/{z}/{x}/{y}?token=S3CRET'}, ('h/... is no URL', 'begins with https://')),
    ({'url': 531975}, ('imagery.url is not a text',)),
    ({'sources': [531975.0, 2.0]}, ('imagery.sources is not a list of texts',)),
    ({'sources': 531975}, ('imagery.sources is not a list',)),
    ({'url': 'http://h/{z}/{x}/{y}?k={key}', 'key': 531975}, ('imagery.key is not a text',)),
    ({}, ('imagery.sources', 'imagery.url'))])
def test_unusable_imagery_keeps_the_node_unconfigured(vehicle, start, write, parameters, words):
    """The reason is one sentence in the log and in /diagnostics, and tells no key."""
    url = 'http://localhost:1/{z}/{x}/{y}'
    mine = write(open=ENTRY | {'url': url},
                 closed=ENTRY | {'url': url, 'machine_interpretation_allowed': False})
    node = start(active=False, catalogue=mine, **parameters)
    assert not vehicle.change(node, 'configure')
    message = vehicle.until_logged('cannot configure').msg
    assert all(word in message for word in words) and 'Traceback' not in message
    found = vehicle.until_diagnosed(lambda found: words[0] in found['message'], 'diagnosed')
    assert 'S3CRET' not in message + str(found) and '531975' not in message + str(found)


def test_sources_are_tried_in_their_order(vehicle, start, write, tiles):
    """The URL first, then those by name; diagnostics name who serves and who fails."""
    mine = write(mine=ENTRY | {'url': tiles.url_template, 'max_zoom': 18})
    dead = TileServer(lambda zoom, x, y: None)
    dead.faults = Faults(status=503)
    with dead:
        node = start(catalogue=mine, sources=['mine'], url=dead.url_template,
                     contact='ops@example.org')
        imagery = node.parts.loaded.imagery
        patch = vehicle.until(lambda: attempt(imagery), 'a patch comes of the second source')
        assert (patch.source, patch.vintage) == ('mine', 'May 2021')
        found = vehicle.until_diagnosed(
            lambda found: found.get('patch_source') == 'mine', 'the patch is diagnosed', 'imagery')
    assert f'127.0.0.1:{dead.port} answered 503' in found['message']
    assert found['source 1'].startswith(f'127.0.0.1:{dead.port}: ')
    assert found['source 2'] == 'mine: ok' and found['patch_vintage'] == 'May 2021'
    assert found['patch_attribution'] == '(c) Survey'
    assert {'ops@example.org' in headers['User-Agent'] for headers in tiles.request_headers} == {
        True}


class LookingLocalizer(FakeLocalizer):
    """Tells the truth if there is imagery."""

    def __init__(self, imagery):
        """Look there."""
        super().__init__()
        self._imagery = imagery

    def observe(self, panorama, plan, base_from_camera, camera_k=None, seen=None):
        """Return the likelihood of the camera's poses."""
        self._imagery.patch(PATCH)
        return super().observe(panorama, plan, base_from_camera)


def load_looking(settings) -> Loaded:
    """Return a fake localizer that needs the real imagery."""
    imagery = load_imagery(settings.imagery)
    return Loaded(LookingLocalizer(imagery), imagery)


@pytest.mark.parametrize('faults, said', [
    (Faults(status=404), 'answered 404'),
    (Faults(body=WHITE.getvalue()), 'has only an empty tile there')])
def test_where_a_server_has_no_imagery_there_is_no_pose_and_it_is_named(
        vehicle, tiles, faults, said):
    """However many images come: they are counted, and neither log nor server are bothered."""
    tiles.faults = faults
    node = vehicle.start(load_looking, datum=list(FRAME.datum), imagery__cache_path='',
                         imagery__url=tiles.url_template)
    sentence = f'no pose: 127.0.0.1:{tiles.port} {said}'
    rejected = node.health.rejected
    for images in range(1, 9):
        vehicle.send_all(at(float(images)))
        vehicle.until(lambda: rejected['imagery'] == images, 'the image is rejected')
        vehicle.until(lambda: not node.parts.loaded.imagery.status().pending, 'all is answered')
    found = vehicle.until_diagnosed(
        lambda found: sentence in found['message'], 'the source is named', 'imagery')
    assert found['level'] == b'\1' and found['offline'] == 'False'
    assert vehicle.heard['fg2/pose'] == [] and set(rejected) == {'imagery'}
    assert len(vehicle.logged(sentence)) == 1
    assert len(tiles.requested) == len(set(tiles.requested)) > 0


def attempt(imagery):
    """Return a patch, or None as long as there is none."""
    try:
        return imagery.patch(PATCH, wait_s=0.1)
    except ImageryError:
        return None


def test_imagery_coarser_than_the_network_wants_is_diagnosed_and_refused_beyond_a_limit(tiles):
    """It is magnified with a warning up to the limit, and then there is no patch."""
    def load(**changes):
        return load_imagery(ImagerySettings(
            url=tiles.url_template, cache_path='', max_zoom=17, **changes))
    imagery = load()
    imagery.patch(PATCH, wait_s=20.0)
    found = diagnosed(imagery.status())
    imagery.close()
    assert found['level'] != b'\0' and found['message'].endswith(
        'has 0.81 m per pixel, coarser than the 0.22 m that the network wants')
    assert (found['patch_resolution [m]'], found['imagery_resolution [m]']) == ('0.219', '0.809')
    imagery = load(coarsest_resolution_m=0.8)
    asked = tiles.requests
    with pytest.raises(ImageryError, match=r'has 0\.81 m per pixel here, .* the 0\.80 m allowed'):
        imagery.patch(PATCH, wait_s=20.0)
    imagery.close()
    assert tiles.requests == asked


def test_a_map_frame_elsewhere_has_no_imagery(write):
    """Outside the bounds of all sources there is a reason for each, and nothing is asked."""
    mine = write(**{name: ENTRY | {'url': 'http://localhost:1/{z}/{x}/{y}',
                                   'bounds': [5.0, 45.0, 11.0, 48.0]} for name in ('a', 'b')})
    imagery = load_imagery(ImagerySettings(catalogue=mine, sources=('a', 'b'), cache_path=''))
    with pytest.raises(ImageryError, match='a has no imagery here: .*; b has no imagery here'):
        imagery.patch(replace(PATCH, frame=MapFrame(0.0, 0.0)))
    assert imagery.status().errors == 0
    imagery.close()


@pytest.mark.parametrize('known, trouble, level, message', [
    ({'hits': 3}, '', b'\0', 'ok'),
    ({'hits': 3}, 'no pose: no tiles', b'\1', 'no pose: no tiles'),
    ({'offline': True, 'last_error': 'mine answered 503', 'stale': 2}, '', b'\1',
     'mine answered 503: only cached tiles of it are used'),
    ({'caches': (CacheStatus(Path('c'), False, 'full'),)}, '', b'\1', 'the cache is off: full'),
    ({'caches': (CacheStatus(Path('c')), CacheStatus(Path('d'), True, 'full'))}, '', b'\1',
     'cache: d (not written: full)'),
    ({'stale': 2}, '', b'\1', '2 tiles are out of date and cannot be had anew'),
    ({'last_patch': PatchOrigin('a', '', '', 0.1, 0.5)}, '', b'\1',
     'the imagery of a has 0.50 m per pixel, coarser than the 0.10 m that the network wants'),
    ({'last_patch': PatchOrigin('a', '', '', 0.1, None)}, '', b'\0', 'ok'),
    ({'doubts': ('a.tif lies wrong', 'b.tif too')}, '', b'\1', 'a.tif lies wrong'),
    ({'last_patch': PatchOrigin('a', '', '', 0.1, 0.1)}, '', b'\0', 'ok')])
def test_diagnostics_say_what_is_wrong_with_the_imagery(known, trouble, level, message):
    """The gravest first; the values are flat."""
    found = diagnosed(ImageryStatus('a, b', **known), trouble)
    assert (found['level'], found['message'], found['source']) == (level, message, 'a, b')
    if 'last_patch' in known:
        assert found['imagery_resolution [m]'] in ('unknown', '0.100', '0.500')


def test_without_imagery_diagnostics_say_so():
    assert diagnosed(None)['message'] == 'not configured'
