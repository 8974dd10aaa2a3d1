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

"""Rolls of panoramas: random ones, and what a first run leaves of them."""

from test.helpers import mini_data

from fg2_ros.evaluation.vigor_kitti.orientation import FirstRun, random_rolls_deg
from fg2_ros.evaluation.vigor_kitti.results import CrossViewResult, PoseFound
import numpy as np
import pytest

NAMES = [f'city/{index}.jpg' for index in range(500)]


def result(name, true_yaw_deg, yaw_deg):
    """Return a result of a first run; a yaw of None is no pose."""
    pose = None if yaw_deg is None else PoseFound(yaw_deg, (0, 0), np.eye(3).tolist(), 1.0)
    return CrossViewResult(
        0, name, 'city', metres_per_grid_metre=1.0, true_yaw_deg=true_yaw_deg,
        true_translation_m=(0, 0), pose=pose)


def test_random_rolls_fill_the_circle_and_depend_on_the_name_only():
    rolls = random_rolls_deg(NAMES, 0)
    assert -180 <= min(rolls) < -170 and 170 < max(rolls) < 180
    assert abs(np.mean(rolls)) < 20
    assert random_rolls_deg(NAMES[7:9], 0) == rolls[7:9]
    assert random_rolls_deg(NAMES, 1) != rolls


def test_the_second_run_rolls_by_what_the_first_one_missed(tmp_path):
    """With the reference's predictions; where there was no pose the roll is random."""
    second = mini_data.expected('vigor_mini')['second_run']
    found = [None if yaw == 'None' else yaw for yaw in second['pred']]
    first = FirstRun.of(map(result, NAMES, second['gt'], found))
    first.write(tmp_path / 'first.json')
    first = FirstRun.read(tmp_path / 'first.json')
    remaining = first.remaining_deg(NAMES[:8], 0)
    for index, (roll, true, predicted) in enumerate(zip(remaining, second['gt'], found)):
        if predicted is not None:
            assert roll == pytest.approx(true - predicted), index
    assert remaining[3] == first.remaining_deg([NAMES[3]], 0)[0]
    assert remaining[3] != first.remaining_deg([NAMES[3]], 1)[0]
    assert remaining[3] != random_rolls_deg([NAMES[3]], 0)[0]


@pytest.mark.parametrize('content', [None, 'no JSON', '[]', '{"rolled_deg": {"a": "x"}}'])
def test_an_unusable_file_is_named(tmp_path, content):
    file = tmp_path / 'first.json'
    if content:
        file.write_text(content)
    with pytest.raises(ValueError, match='first.json holds no predictions'):
        FirstRun.read(file)
