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

"""The catalogue: what ships in it, what is wrong with others, and what opening by name does."""

from dataclasses import replace
import re
from test.helpers.http_stub import encoded, GREY_TILE, quick_http, Reply

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import catalogue, ImageryError, open_imagery
from fg2_ros.imagery.catalogue import choose_sources, load_catalogue, shipped_catalogue
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.tiles.address import TileId
import numpy as np
import pytest
import yaml

FRAME = MapFrame(47.0, 8.5)
ENTRY = {
    'kind': 'xyz', 'url': 'https://h/{z}/{x}/{y}', 'attribution': '(c) Survey',
    'terms': 'Free for any use.', 'offline_allowed': True,
    'machine_interpretation_allowed': True, 'vintage': '2021', 'min_zoom': 3, 'max_zoom': 18}
FILE = {key: value for key, value in ENTRY.items() if key not in ('url', 'min_zoom', 'max_zoom')}
FILE |= {'kind': 'file', 'path': 'ortho.tif'}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a catalogue and returns its path."""
    def write_one(**sources):
        path = tmp_path / 'mine.yaml'
        path.write_text(yaml.safe_dump(sources))
        return path
    return write_one


@pytest.fixture
def open_named():
    """Return `open_imagery` with short time-outs; what it opened is closed."""
    opened = []

    def open_one(*arguments, **options):
        opened.append(open_imagery(*arguments, http=quick_http(), **options))
        return opened[-1]
    yield open_one
    for imagery in opened:
        imagery.close()


@pytest.mark.parametrize('source', load_catalogue().values(), ids=lambda source: source.name)
def test_what_is_shipped_can_be_asked_and_says_under_which_terms(source):
    assert source.machine_interpretation_allowed and source.attribution and source.place
    assert 'address' in source.checked and 'terms' in source.checked
    assert bool(source.terms_read) == ('terms read in' in source.checked)
    assert 'https://' in source.terms and len(source.terms) > 40
    host = source.label if not source.url else source.url.split('/')[2]
    for forbidden in ('google', 'bing', 'virtualearth', 'arcgisonline', 'esri'):
        assert forbidden not in host
    pyramid = source.tile_source('a key')
    west, south, east, north = source.bounds
    middle = mercator.world_pixel_from_geodetic(
        (south + north) / 2, (west + east) / 2, source.max_zoom, tile_px=1)
    tile = TileId(source.max_zoom, *map(int, middle))
    assert pyramid.covers(tile) and '{' not in pyramid.url(tile)
    assert not pyramid.covers(TileId(5, 0, 0))
    finest_m = mercator.ground_resolution_m((south + north) / 2, source.max_zoom, source.tile_px)
    assert max(finest_m, source.resolution_m) < (2.0 if source.name == 'usgs_imagery' else 1.0)


def test_what_is_shipped_covers_many_states_each_with_its_own():
    sources = load_catalogue().values()
    states = {re.split('[:,]', source.place)[0] for source in sources}
    assert len(states) >= 20
    assert sum(source.place.startswith('Germany: ') for source in sources) == 16
    assert len({source.url for source in sources}) == len(sources)
    keyed = {source.name for source in sources if source.wants_key}
    assert keyed == {'dataforsyningen_ortho', 'mml_ortho', 'norge_i_bilder', 'linz_aerial'}
    assert all(source.key_env for source in sources if source.name in keyed)


@pytest.mark.parametrize('place, name', [
    ((50.85, 4.35), 'brussels_ortho'), ((51.05, 3.72), 'vlaanderen_ortho'),
    ((50.63, 5.57), 'wallonie_ortho'), ((40.42, -3.70), 'pnoa'),
    ((49.61, 6.13), 'luxembourg_ortho'), ((50.08, 14.43), 'cuzk_ortho'),
    ((52.23, 21.01), 'geoportal_pl'), ((48.15, 17.11), 'zbgis_ortho'),
    ((59.44, 24.75), 'maaamet_ortho'), ((55.68, 12.57), 'dataforsyningen_ortho'),
    ((60.17, 24.94), 'mml_ortho'), ((59.91, 10.75), 'norge_i_bilder'),
    ((-36.85, 174.76), 'linz_aerial'), ((35.68, 139.76), 'gsi_seamlessphoto'),
    ((48.14, 11.58), 'by_dop'), ((53.08, 8.80), 'bremen_dop'), ((39.74, -104.99), 'usda_naip'),
    ((45.50, -73.57), 'quebec_imagery'), ((-33.87, 151.21), 'nsw_imagery'),
    ((-27.47, 153.03), 'qld_imagery'), ((-42.88, 147.33), 'tas_ortho')])
def test_a_city_has_the_imagery_of_its_state(place, name):
    found = [source.name for source in load_catalogue().values() if source.covers(*place)]
    assert name in found and len(found) <= 5


def test_the_catalogue_is_found_where_the_package_is_installed(tmp_path, monkeypatch):
    module = tmp_path / 'lib' / 'python3.12' / 'site-packages' / 'fg2_ros' / 'imagery' / 'c.py'
    shared = tmp_path / 'share' / 'fg2_ros' / 'config' / 'sources.yaml'
    monkeypatch.setattr(catalogue, '__file__', str(module))
    with pytest.raises(ValueError, match='not installed with the package'):
        shipped_catalogue()
    shared.parent.mkdir(parents=True)
    shared.write_text('{}')
    assert shipped_catalogue() == shared and load_catalogue() == {}


def test_an_entry_is_what_it_says(write):
    path = write(mine=ENTRY | {'bounds': [5, 45, 11.5, 48], 'resolution_m': 1, 'tile_px': 512,
                               'subdomains': ['t1', 't2']}, local=FILE)
    known = load_catalogue(path)
    pyramid = known['mine'].tile_source()
    assert (pyramid.name, pyramid.vintage, pyramid.attribution) == ('mine', '2021', '(c) Survey')
    assert (pyramid.min_zoom, pyramid.max_zoom, pyramid.tile_px) == (3, 18, 512)
    assert pyramid.bounds == (5.0, 45.0, 11.5, 48.0) and pyramid.resolution_m == 1.0
    assert pyramid.subdomains == ('t1', 't2')
    assert known['local'].path == str(path.parent / 'ortho.tif')


def test_files_that_mean_no_imagery_are_asked_for_as_such(write):
    known = load_catalogue(write(mine=ENTRY | {'placeholders': ['ab' * 32]}))
    settings = known['mine'].http_settings(quick_http())
    assert settings == replace(quick_http(), placeholders=('ab' * 32,))


def test_tms_counts_rows_from_the_south(write):
    known = load_catalogue(write(mine=ENTRY | {'kind': 'tms'}))
    assert known['mine'].tile_source().url(TileId(3, 1, 2)) == 'https://h/3/1/5'


@pytest.mark.parametrize('changes, sentence', [
    ({'banana': 1}, 'unknown setting banana; there are kind, '),
    ({'terms': None}, 'the key terms is missing'),
    ({'terms': ' '}, 'terms must not be empty'),
    ({'vintage': 2021}, 'vintage = 2021 is not a text'),
    ({'offline_allowed': 'yes'}, "offline_allowed = 'yes' is not true or false"),
    ({'max_zoom': 18.5}, 'max_zoom = 18.5 is not a whole number'),
    ({'max_zoom': True}, 'max_zoom = True is not a whole number'),
    ({'max_zoom': 40}, 'min_zoom 3 and max_zoom 40'),
    ({'bounds': 'all'}, "bounds = 'all' is not a list"),
    ({'bounds': [1, 2, 3, 'x']}, 'bounds = .* is not a list of numbers'),
    ({'bounds': [1, 2, 3]}, 'west, south, east and north'),
    ({'tile_px': 300}, 'tile_px is wrong'),
    ({'kind': 'gopher'}, "kind = 'gopher' is not one of 'xyz', .*, 'file'"),
    ({'kind': 'wms'}, 'kind wms does not go with its url'),
    ({'kind': 'quadkey'}, 'kind quadkey does not go with its url'),
    ({'kind': 'file'}, 'the key path is missing'),
    ({'path': 'x.tif'}, 'kind xyz goes with a url, not a path'),
    ({'url': ''}, 'kind xyz goes with a url'),
    ({'url': 'https://h/{z}/{x}'}, 'needs {z}, {x} and {y}'),
    ({'url': 'ftp://h/{z}/{x}/{y}'}, 'starts with http'),
    ({'url': 'https://h/{z}/{x}/{y}?k={key}'}, 'key_env must name')])
def test_a_wrong_entry_is_named_with_file_source_and_key(write, changes, sentence):
    path = write(good=ENTRY, wrong=ENTRY | changes)
    with pytest.raises(ValueError, match=sentence) as error:
        load_catalogue(path)
    assert f'the catalogue {path}, source wrong: ' in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('key', sorted(ENTRY))
def test_a_missing_key_is_named(write, key):
    path = write(wrong={name: value for name, value in ENTRY.items() if name != key})
    with pytest.raises(ValueError, match=f'source wrong: the key {key} is missing'):
        load_catalogue(path)


@pytest.mark.parametrize('content, sentence', [
    (b'- one\n- two', 'is not a mapping of names to sources'),
    (b'', 'is not a mapping of names to sources'),
    (b'mine: [', 'is not YAML, line 1'),
    (b'mine:\n\turl: x', 'is not YAML, line 2'),
    (b'\xff\xfe\x00', 'is not (YAML|a text file)'),
    (b'mine: 5', 'source mine: it has no keys'),
    (b'"../mine": {}', 'a name is made of letters')])
def test_a_file_that_is_no_catalogue_is_named(tmp_path, content, sentence):
    path = tmp_path / 'mine.yaml'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        load_catalogue(path)
    assert str(path) in str(error.value) and '\n' not in str(error.value)


def test_a_catalogue_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match='none.yaml cannot be read: No such file'):
        load_catalogue(tmp_path / 'none.yaml')


def test_terms_that_forbid_machine_interpretation_are_obeyed(write):
    path = write(closed=ENTRY | {'machine_interpretation_allowed': False,
                                 'terms': 'For the eyes only.'})
    with pytest.raises(ValueError, match='closed do not allow machine .*: For the eyes only'):
        open_imagery('closed', path)


@pytest.mark.parametrize('wanted, sentence', [
    ([], 'there is no imagery'),
    ('atlantis', "'atlantis' is neither a URL, nor a file, nor .* which has swissimage, "),
    ('atlantis.mbtiles', 'atlantis.mbtiles does not exist'),
    ('/no/such/folder', '/no/such/folder does not exist'),
    ('gopher://h/{z}/{x}/{y}?token=S3CRET', 'starts with http')])
def test_what_is_no_source_is_refused(wanted, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        open_imagery(wanted)
    assert 'S3CRET' not in str(error.value)


def test_urls_need_no_catalogue(tmp_path):
    source, = choose_sources('https://{s}.h/{z}/{x}/{y}', tmp_path / 'none.yaml', max_zoom=17)
    assert source.label == 'h' and source.tile_source().max_zoom == 17


def test_keys_come_from_the_environment_or_the_caller(write, monkeypatch):
    path = write(one=ENTRY | {'url': 'https://h/{z}/{x}/{y}?k={key}', 'key_env': 'KEY_ONE'},
                 two=ENTRY | {'url': 'https://h/{key}/{z}/{x}/{y}', 'key_env': 'KEY_TWO'})
    monkeypatch.delenv('KEY_ONE', raising=False)
    monkeypatch.setenv('KEY_TWO', 'second')
    one, two = choose_sources(['one', 'two'], path)
    assert two.tile_source().url(TileId(1, 0, 1)) == 'https://h/second/1/0/1'
    assert one.tile_source('given').url(TileId(1, 0, 1)) == 'https://h/1/0/1?k=given'
    with pytest.raises(ValueError, match='one wants an API key: .* variable KEY_ONE'):
        one.tile_source()
    with pytest.raises(ValueError, match='one API key for one and two: put the key of each'):
        open_imagery(['one', 'two'], path, key='which?')
    monkeypatch.setenv('FG2_IMAGERY_KEY', 'third')
    bare, = choose_sources('https://h/{z}/{x}/{y}?k={key}')
    assert bare.tile_source().url(TileId(1, 0, 1)) == 'https://h/1/0/1?k=third'


def test_each_source_has_a_cache_of_its_own_unless_its_terms_forbid_one(write, tmp_path):
    path = write(one=ENTRY, two=ENTRY, three=ENTRY | {'offline_allowed': False}, local=FILE)
    one, two, three, local, bare = choose_sources(
        ['one', 'two', 'three', 'local', 'http://h:81/{z}/{x}/{y}'], path)
    assert one.cache_file(tmp_path) == tmp_path / 'one.mbtiles'
    assert one.cache_file(tmp_path / 'a.mbtiles') == tmp_path / 'a.mbtiles'
    assert three.cache_file(tmp_path) is local.cache_file(tmp_path) is one.cache_file('') is None
    assert bare.cache_file(tmp_path).name.startswith('h_81-')
    other, = choose_sources('http://h:81/other/{z}/{x}/{y}')
    assert other.cache_file(tmp_path) != bare.cache_file(tmp_path)
    with pytest.raises(ValueError, match='a.mbtiles is one file, and each source needs one'):
        open_imagery(['one', 'three', 'two'], path, cache_path=tmp_path / 'a.mbtiles')


def test_a_chain_by_name_fetches_caches_and_falls_back(serve, write, tmp_path, open_named):
    """The first source has nothing here, the second keeps nothing on disk, the third is a URL."""
    empty = serve(lambda path, headers: Reply(404))
    good = serve(lambda path, headers: Reply(body=GREY_TILE))
    path = write(empty=ENTRY | {'url': empty.template},
                 good=ENTRY | {'url': good.template, 'offline_allowed': False})
    imagery = open_named(['empty', 'good', good.template], path, cache_path=tmp_path / 'tiles')
    patch = imagery.patch(PatchView(FRAME, (0.0, 0.0), 56.0, 128), wait_s=20)
    assert (patch.source, patch.vintage, patch.attribution) == ('good', '2021', '(c) Survey')
    assert np.all(patch.image == 99)
    (empty, ), none, (url, ) = [member.caches for member in imagery.status().members]
    assert empty.path == tmp_path / 'tiles' / 'empty.mbtiles' and none == ()
    assert url.path.parent == empty.path.parent and url.path.name.startswith('127.0.0.1_')


def test_gaps_of_a_local_folder_are_filled_from_a_server(serve, write, tmp_path, open_named):
    """The folder, named in the catalogue, has what lies west of a seam: three quarters."""
    x, y = mercator.world_pixel_from_geodetic(*FRAME.datum, 18, tile_px=1)
    column, row = int(x), int(y)
    for rows in range(row - 1, row + 2):
        for columns in range(column - 2, column):
            tile = tmp_path / 'tiles' / '18' / str(columns) / f'{rows}.png'
            tile.parent.mkdir(parents=True, exist_ok=True)
            tile.write_bytes(encoded(np.full((256, 256, 3), 50, np.uint8)))
    server = serve(lambda path, headers: Reply(body=GREY_TILE))
    path = write(folder=FILE | {'path': 'tiles'}, server=ENTRY | {'url': server.template})
    imagery = open_named(['folder', 'server'], path)
    seam, _ = FRAME.map_from_geodetic(
        *mercator.geodetic_from_world_pixel(column, y, 18, tile_px=1))
    patch = imagery.patch(PatchView(FRAME, (seam - 14.0, 0.0), 56.0, 128), wait_s=20)
    assert patch.source == 'folder + server' and patch.valid is None
    assert np.all(patch.image[:, :94] == 50) and np.all(patch.image[:, 98:] == 99)


def test_imagery_too_coarse_is_refused_by_name(write, open_named):
    imagery = open_named('coarse', write(coarse=ENTRY | {'max_zoom': 15}),
                         coarsest_resolution_m=1.0)
    with pytest.raises(ImageryError, match=r'coarse has 3\.26 m per pixel here'):
        imagery.patch(PatchView(FRAME, (0.0, 0.0), 56.0, 128))


def test_what_was_opened_is_closed_if_the_next_cannot_be(write, monkeypatch):
    closed = []
    monkeypatch.setattr(catalogue, 'open_server', lambda source, *_, **__: type(
        'Tiles', (), {'close': lambda self: closed.append(source.name)})())
    path = write(one=ENTRY, two=ENTRY | {'url': 'https://h/{z}/{x}/{y}?k={key}',
                                         'key_env': 'A_VARIABLE_THAT_NOBODY_HAS'})
    with pytest.raises(ValueError, match='two wants an API key'):
        open_imagery(['one', 'two'], path)
    assert closed == ['one']
