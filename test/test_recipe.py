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

from fg2_ros.recipe import RECIPE_FILE, require_same, write_recipe
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
