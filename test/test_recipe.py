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

"""What a folder is made with is kept in it."""

from fg2_ros.recipe import plain, RECIPE_FILE, require_same, write_recipe
from fg2_ros.replay.settings import SourceSettings
import pytest


def test_a_recipe_says_what_differs(tmp_path):
    recipe = {'bag': 'a', 'settings': {'every_m': 2.0, 'split': ''}}
    require_same(tmp_path, recipe)
    write_recipe(tmp_path, recipe)
    require_same(tmp_path, recipe)
    other = {'bag': 'b', 'settings': {'every_m': 3.0, 'split': ''}}
    with pytest.raises(ValueError, match=r'other settings \(bag, every_m\)'):
        require_same(tmp_path, other)
    (tmp_path / RECIPE_FILE).write_text('{')
    with pytest.raises(ValueError, match='other settings'):
        require_same(tmp_path, recipe)


def test_addresses_are_told_apart_but_no_key_is_written():
    texts = [f'https://me:secret@tiles.example.com/{{z}}/{{x}}/{{y}}?token={key}'
             for key in ('abc', 'def')]
    first, second = (plain(SourceSettings(source=(text, 'a.tif'), cache='x')) for text in texts)
    assert first != second and first['source'][1] == 'a.tif' and 'cache' not in first
    assert 'tiles.example.com' in str(first)
    assert not [word for word in ('secret', 'abc', 'token') if word in str(first['source'])]
