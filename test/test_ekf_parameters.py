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

"""config/ekf.yaml: what robot_localization would take silently, and wrongly."""

import re
from test.helpers.paths import ROOT

import pytest
import yaml

STATE = 'x y z roll pitch yaw vx vy vz vroll vpitch vyaw ax ay az'.split()
FILTERS = ('/**/ekf_filter_node_map', '/**/ekf_filter_node_odom')


class _Loader(yaml.SafeLoader):
    """Reads 1e-6 as a number, as rcl does and YAML 1.1 does not."""


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?[0-9.]+e[-+]?[0-9]+$'), list('-+.0123456789'))


def parameters(node: str) -> dict:
    """Return the parameters of a node."""
    text = (ROOT / 'config' / 'ekf.yaml').read_text('utf-8')
    return yaml.load(text, _Loader)[node]['ros__parameters']


def fused(node: str) -> dict[str, set[str]]:
    """Return {topic: variables of the state that are taken from it}."""
    values = parameters(node)
    names = [name for name in values if re.fullmatch(r'(odom|imu|pose|twist)\d', name)]
    return {values[name]: {variable for variable, is_taken in zip(
        STATE, values[f'{name}_config'], strict=True) if is_taken} for name in names}


def test_the_filter_in_the_map_takes_what_each_input_measures():
    """Of ~/pose only x, y and yaw; of odometry velocities; never ~/odometry, a filter's own."""
    assert fused(FILTERS[0]) == {
        'odom': {'vx', 'vy', 'vyaw'}, 'imu': {'vyaw'}, 'fg2/pose': {'x', 'y', 'yaw'},
        'odometry/gps': {'x', 'y'}}
    values = parameters(FILTERS[0])
    assert values['world_frame'] == values['map_frame'] and values['publish_tf'] is True
    assert values['smooth_lagged_data'] is True and values['history_length'] >= 1.0
    assert values['pose0_differential'] is False


def test_the_filter_in_the_odometry_frame_takes_nothing_that_jumps():
    assert fused(FILTERS[1]) == {'odom': {'vx', 'vy', 'vyaw'}, 'imu': {'vyaw'}}
    assert parameters(FILTERS[1])['world_frame'] == parameters(FILTERS[1])['odom_frame']


@pytest.mark.parametrize('node', FILTERS)
@pytest.mark.parametrize('name', ['process_noise_covariance', 'initial_estimate_covariance'])
def test_covariances_are_diagonals_of_doubles(node, name):
    """To rcl, whole numbers and doubles together are no list at all."""
    diagonal = parameters(node)[name]
    assert len(diagonal) == len(STATE)
    assert all(isinstance(value, float) and value > 0 for value in diagonal)


def test_before_the_first_pose_the_filter_in_the_map_knows_nothing():
    variances = dict(zip(STATE, parameters(FILTERS[0])['initial_estimate_covariance']))
    assert variances['x'] == variances['y'] >= 1e6 and variances['yaw'] >= 9
