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

"""API keys reach the server that wants them, whatever it answers, and nothing else."""

from dataclasses import fields
import logging
import re
from test.helpers.http_stub import GREY_TILE, quick_http, Reply
import traceback
from urllib.parse import quote

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError, ImageryNotReady, open_imagery
from fg2_ros.imagery.catalogue import choose_sources
from fg2_ros.imagery.patch import PatchView
from fg2_ros.ros.node_settings import ImagerySettings
from fg2_ros.settings import converted
import pytest
import yaml

KEY = 'S3CRET key/value+1'
WAYS_TO_WRITE_IT = (KEY, quote(KEY, safe=''), quote(KEY), 'S3CRET')


def cut_off(file):
    raise OSError('broken')


FAULTS = {
    'works': lambda path: Reply(body=GREY_TILE),
    'forbidden': lambda path: Reply(403, f'the key of {path} is wrong'.encode()),
    'broken': lambda path: Reply(500, path.encode()),
    'page': lambda path: Reply(200, f'<html>{path} {KEY}'.encode()),
    'text': lambda path: Reply(200, KEY.encode()),
    'redirected to itself': lambda path: Reply(302, headers={'Location': path}),
    'redirected away': lambda path: Reply(302, headers={'Location': f'ftp://h/{path}'}),
    'cut off': lambda path: Reply(headers={'Content-Length': '999'}, write=cut_off),
    'cut image': lambda path: Reply(body=GREY_TILE[:300])}
WAYS_TO_GIVE_IT = [
    ('environment', '/{z}/{x}/{y}?token={key}'), ('parameter', '/{key}/{z}/{x}/{y}'),
    ('url', '/{z}/{x}/{y}?{key}')]


def ask(imagery):
    """Ask for a patch until there is one, or none can be had; return it or the error."""
    for _ in range(600):
        try:
            return imagery.patch(PatchView(MapFrame(47.0, 8.5), (0.0, 0.0), 56.0, 128), wait_s=0.1)
        except ImageryNotReady:
            pass
        except ImageryError as error:
            return error
    raise AssertionError('neither a patch nor an error')


def told(outcome) -> str:
    """Return all that an outcome says, tracebacks and causes included."""
    text = f'{outcome!r} {outcome}'
    while isinstance(outcome, BaseException):
        text += ''.join(traceback.format_exception(outcome, chain=False)) + repr(outcome.args)
        outcome = outcome.__cause__ or outcome.__context__
    return text


@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize('given, template', WAYS_TO_GIVE_IT, ids=lambda value: value[:3])
def test_nothing_tells_the_key(fault, given, template, serve, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(lambda path, headers: FAULTS[fault](path))
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump({'mine': {
        'kind': 'xyz', 'url': server.url + template, 'attribution': 'me', 'terms': 'mine',
        'offline_allowed': True, 'machine_interpretation_allowed': True, 'vintage': '',
        'min_zoom': 0, 'max_zoom': 19, 'key_env': 'MY_KEY'}}))
    monkeypatch.setenv('MY_KEY', KEY if given == 'environment' else '')
    named = server.url + template if given == 'url' else 'mine'
    imagery = open_imagery(
        named, tmp_path / 'mine.yaml', cache_path=tmp_path / 'cache', http=quick_http(),
        key='' if given == 'environment' else KEY)
    outcome = ask(imagery)
    shown = told(outcome) + str(imagery.status()) + imagery.name
    shown += repr(imagery.members[0].store.source)
    shown += repr(choose_sources(named, tmp_path / 'mine.yaml'))
    imagery.close()
    assert server.paths and all(quote(KEY, safe='') in path for path in server.paths)
    assert any(record.name.startswith('urllib3') for record in caplog.records)
    assert not [way for way in WAYS_TO_WRITE_IT if way in shown + caplog.text]
    files = [file for file in (tmp_path / 'cache').rglob('*') if file.is_file()]
    assert files
    for file in files:
        assert not [way for way in WAYS_TO_WRITE_IT if way.encode() in file.read_bytes()]
        assert 'S3CRET' not in file.name


def test_a_missing_key_names_the_variable_only(monkeypatch):
    monkeypatch.delenv('FG2_IMAGERY_KEY', raising=False)
    with pytest.raises(ValueError, match='wants an API key: .* FG2_IMAGERY_KEY') as error:
        open_imagery('https://user:S3CRET@h/{z}/{x}/{y}?k={key}&other=S3CRET')
    assert 'S3CRET' not in f'{error.value!r} {error.value}'


@pytest.mark.parametrize('text, words', [
    ('tiles.example.org/{z}/{x}/{y}?key=S3CRET', 'tiles.example.org/... is no URL, which begins'),
    ('me:S3CRET@tiles.example.org/S3CRET/{z}/{x}/{y}', 'tiles.example.org/... is no URL'),
    ('tiles.example.org/wms;key=S3CRET', 'tiles.example.org/wms does not exist'),
    ('tiles.example.org?key=S3CRET', "'tiles.example.org' is neither"),
    ('S3CRET@tiles.example.org', "'tiles.example.org' is neither"),
    ('h/{z}?' + 'S3CRET' * 1000, 'h/... is no URL'),
    ('https://h/{z}/{x}/{y}?key={S3CRET}', 'has {x}, {y}, {z}, 1 with other names')])
def test_an_address_that_is_none_is_refused_without_its_key(text, words):
    with pytest.raises(ValueError) as error:
        open_imagery(text)
    assert words in str(error.value) and 'S3CRET' not in told(error.value)


@pytest.mark.parametrize('name', ['sources', 'url', 'key'])
@pytest.mark.parametrize('value', [531975, ['S3CRET', 531975]])
def test_a_parameter_of_the_wrong_type_is_refused_without_its_value(name, value):
    declared, = (each for each in fields(ImagerySettings) if each.name == name)
    with pytest.raises(ValueError, match=f'parameter {name} is not a ') as error:
        converted(f'parameter {name}', value, declared)
    assert not {'S3CRET', '531975'} & set(re.findall(r'\w+', told(error.value)))
