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

"""Results on disk: whole after an interruption, never mixed with those of other settings."""

from fg2_ros.evaluation.vigor_kitti.result_file import FILE, ResultFile
import pytest

SETTINGS = {'weights': 'abc', 'seed': 0}


def fill(folder, indices, settings=SETTINGS):
    """Add results to the folder's file and return all it then holds."""
    store = ResultFile(folder, settings)
    for index in indices:
        store.add(index, {'index': index, 'value': index * 0.1})
    store.close()
    return store.results


def test_a_second_run_goes_on(tmp_path):
    fill(tmp_path / 'deep' / 'out', [3, 1])
    assert set(fill(tmp_path / 'deep' / 'out', [2])) == {1, 2, 3}
    assert len((tmp_path / 'deep' / 'out' / FILE).read_text().splitlines()) == 4


@pytest.mark.parametrize('cut', [1, 5, 20])
def test_half_a_line_is_dropped(tmp_path, cut):
    """As ``kill -9`` in the middle of a write leaves it."""
    fill(tmp_path, [0, 1])
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-cut])
    assert set(fill(tmp_path, [])) == {0}
    assert fill(tmp_path, [1])[1] == {'index': 1, 'value': 0.1}
    assert set(fill(tmp_path, [])) == {0, 1}


def test_a_file_cut_in_its_settings_starts_anew(tmp_path):
    fill(tmp_path, [])
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:10])
    assert fill(tmp_path, [0]).keys() == fill(tmp_path, []).keys() == {0}


def test_other_settings_are_refused_by_name(tmp_path):
    fill(tmp_path, [0])
    with pytest.raises(ValueError, match='seed was 0.*choose another folder'):
        fill(tmp_path, [], SETTINGS | {'seed': 1})
    assert set(fill(tmp_path, [])) == {0}


def test_a_damaged_line_is_named(tmp_path):
    fill(tmp_path, [0])
    with (tmp_path / FILE).open('a') as file:
        file.write('{"no index": 1}\n')
    with pytest.raises(ValueError, match='line 3 is damaged'):
        fill(tmp_path, [])


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(fill(None, [4])) == {4}
    assert not list(tmp_path.iterdir())
