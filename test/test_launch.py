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

"""What the launch files start, with which parameters; a note-taker stands in for the programs."""

import json
import os
from pathlib import Path
import stat
import sys
from test.helpers.launching import LAUNCH
from test.helpers.paths import ROOT
from test.helpers.processes import run_to_its_end

import pytest
import yaml

pytest.importorskip('launch_ros')
launch_sources = pytest.importorskip('launch.launch_description_sources')

NOTE_TAKER = """#!{python}
import json, os, sys, time
files = [sys.argv[i + 1] for i, each in enumerate(sys.argv) if each == '--params-file']
note = {{'command': sys.argv, 'files': [open(each).read() for each in files]}}
with open(os.path.join({folder!r}, str(os.getpid())), 'w') as file:
    json.dump(note, file)
if os.path.basename(sys.argv[0]) == 'ros2':  # with the player everything ends
    while len(os.listdir({folder!r})) < {count}:
        time.sleep(0.01)
"""
# Takes its note once somebody has configured and activated it, and ends; or nobody has for long.
LIFECYCLE_FILTER = """#!{python}
import json, os, sys, threading
import rclpy
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

class Filter(LifecycleNode):
    changes = []

    def on_configure(self, state):
        self.changes.append('configured')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        self.changes.append('active')
        return TransitionCallbackReturn.SUCCESS

rclpy.init()
node = Filter('filter')
threading.Timer(40.0, rclpy.try_shutdown).start()
while rclpy.ok() and len(node.changes) < 2:
    rclpy.spin_once(node, timeout_sec=0.1)
note = {{'command': sys.argv, 'files': [], 'changes': node.changes}}
with open(os.path.join({folder!r}, str(os.getpid())), 'w') as file:
    json.dump(note, file)
os._exit(0)
"""
PROGRAMS = ('fg2_ros/fg2_node', 'robot_localization/ekf_node',
            'robot_localization/navsat_transform_node', 'rviz2/rviz2')


class Started:
    """A program that was started: its command, and its parameters as rcl would read them."""

    def __init__(self, note: dict):
        """Read the note."""
        self.command, self.changes = note['command'], note.get('changes', [])
        self.program = Path(self.command[0]).name
        self.rules = dict(
            each.split(':=', 1) for each in self.command if ':=' in each)
        self.parameters = {}
        for text in note['files']:
            # launch_ros writes tuples as such, which rcl reads as lists.
            for name, content in yaml.unsafe_load(text).items():
                if name.split('/')[-1] in ('**', self.rules.get('__node')):
                    self.parameters |= _flat(content['ros__parameters'])


def _flat(values: dict, prefix: str = '') -> dict:
    flat = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        value = list(value) if isinstance(value, tuple) else value
        flat |= _flat(value, f'{prefix}{name}.') if nested else {prefix + name: value}
    return flat


@pytest.fixture
def launch(tmp_path):
    """Return a function that launches a file and returns {node or program: what was started}."""
    def run(name: str, *arguments: str, count: int = 1, filters_have_states: bool = False,
            ) -> dict[str, Started]:
        notes = tmp_path / 'notes'
        notes.mkdir()
        for program in (*(f'lib/{each}' for each in PROGRAMS), 'bin/ros2'):
            path = tmp_path / program
            path.parent.mkdir(parents=True, exist_ok=True)
            has_states = filters_have_states and path.name == 'ekf_node'
            path.write_text((LIFECYCLE_FILTER if has_states else NOTE_TAKER).format(
                python=sys.executable, folder=str(notes), count=count))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        index = tmp_path / 'share/ament_index/resource_index/packages'
        index.mkdir(parents=True)
        for package in {Path(each).parent.name for each in PROGRAMS}:
            (index / package).touch()
        (tmp_path / 'share/fg2_ros').symlink_to(ROOT)
        manifest = tmp_path / 'share/robot_localization/package.xml'
        manifest.parent.mkdir()
        depends = 'rclcpp_lifecycle' if filters_have_states else 'rclcpp'
        manifest.write_text(f'<package><depend>{depends}</depend></package>')
        ended = run_to_its_end(
            [sys.executable, '-c', LAUNCH, ROOT / 'launch' / name, *arguments],
            env={**os.environ, 'AMENT_PREFIX_PATH': str(tmp_path),
                 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}'})
        assert ended.returncode == 0, ended.stdout + ended.stderr
        started = [Started(json.loads(path.read_text())) for path in notes.iterdir()]
        return {each.rules.get('__node', each.program): each for each in started}
    return run


def test_without_arguments_the_parameters_file_decides(launch):
    node = launch('localization.launch.py')['fg2']
    assert node.parameters['publish_tf'] is True and node.parameters['device'] == 'auto'
    assert node.parameters['imagery.sources'] == []
    assert node.parameters['autostart'] is True
    assert node.rules['image'] == 'image'


def test_a_parameters_file_of_ones_own_decides(launch, tmp_path):
    """A node that a lifecycle manager starts, by simulated time, needs no arguments."""
    path = tmp_path / 'mine.yaml'
    path.write_text(
        '/**/fg2: {ros__parameters: {autostart: false, use_sim_time: true, publish_tf: false}}')
    parameters = launch('localization.launch.py', f'params_file:={path}')['fg2'].parameters
    assert parameters == {'autostart': False, 'use_sim_time': True, 'publish_tf': False}


def test_arguments_override_the_parameters_file(launch):
    node = launch(
        'localization.launch.py', 'namespace:=car', 'device:=cpu', 'datum:=[47, 8.5, 0.0]',
        'map_projection:=utm', 'publish_tf:=false', 'map_frame:=world', 'odom_frame:=wheels',
        'base_frame:=chassis', 'camera_frame:=front', 'use_sim_time:=true', 'autostart:=false',
        "imagery_sources:=ign_bd_ortho 'my tiles.mbtiles' http://a/{z}/{x},{y}.jpg",
        'image_topic:=/front/image', 'fix_topic:=gps/fix')['fg2']
    assert {name: node.parameters[name] for name in (
        'device', 'datum', 'map_projection', 'publish_tf', 'map_frame', 'odom_frame',
        'base_frame', 'camera_frame', 'use_sim_time', 'autostart', 'imagery.sources')} == {
            'device': 'cpu', 'datum': [47.0, 8.5, 0.0], 'map_projection': 'utm',
            'publish_tf': False, 'map_frame': 'world', 'odom_frame': 'wheels',
            'base_frame': 'chassis', 'camera_frame': 'front', 'use_sim_time': True,
            'autostart': False, 'imagery.sources': [
                'ign_bd_ortho', 'my tiles.mbtiles', 'http://a/{z}/{x},{y}.jpg']}
    assert node.rules['__ns'] == '/car'
    assert node.rules['image'] == '/front/image' and node.rules['fix'] == 'gps/fix'


def test_one_filter_owns_the_transform_of_the_map(launch):
    """The localization node does not; the filter hears its pose; GNSS is not fused."""
    started = launch('localization_ekf.launch.py', 'namespace:=car', 'map_frame:=world')
    assert set(started) == {'fg2', 'ekf_filter_node_map'}
    assert started['fg2'].parameters['publish_tf'] is False
    assert started['fg2'].parameters['map_projection'] == 'local'
    ekf = started['ekf_filter_node_map']
    assert ekf.rules['__ns'] == '/car' and ekf.rules['odometry/filtered'] == 'odometry/map'
    assert ekf.parameters['pose0'] == 'fg2/pose' and ekf.parameters['publish_tf'] is True
    assert ekf.parameters['world_frame'] == ekf.parameters['map_frame'] == 'world'
    assert ekf.parameters['odom_frame'] == 'odom'
    assert 'use_sim_time' not in ekf.parameters


def test_two_filters_and_gnss(launch):
    """The second filter owns odom -> base_link; both nodes have the datum and UTM's scale."""
    started = launch(
        'localization_ekf.launch.py', 'filters:=2', 'gnss:=true', 'datum:=[47.5, 8.7]',
        'odom_topic:=wheels', 'fix_topic:=ublox/fix')
    assert set(started) == {
        'fg2', 'ekf_filter_node_map', 'ekf_filter_node_odom', 'navsat_transform'}
    assert started['ekf_filter_node_odom'].parameters['world_frame'] == 'odom'
    assert started['ekf_filter_node_odom'].rules['odom'] == 'wheels'
    navsat, node = started['navsat_transform'], started['fg2']
    assert navsat.parameters['datum'] == [47.5, 8.7, 0.0] and navsat.parameters['wait_for_datum']
    assert node.parameters['datum'] == [47.5, 8.7]
    assert node.parameters['map_projection'] == 'utm' and node.parameters['publish_tf'] is False
    assert navsat.rules['gps/fix'] == 'ublox/fix'
    assert navsat.rules['odometry/filtered'] == 'fg2/odometry'  # not before the first pose


def test_filters_that_have_states_are_activated(launch):
    """As those of robot_localization are lifecycle nodes from Lyrical on."""
    started = launch('localization_ekf.launch.py', 'namespace:=car', 'filters:=2',
                     filters_have_states=True)
    filters = {name: each.changes for name, each in started.items() if name != 'fg2'}
    assert filters == {name: ['configured', 'active'] for name in (
        'ekf_filter_node_map', 'ekf_filter_node_odom')}


def test_gnss_needs_a_datum(launch):
    with pytest.raises(AssertionError, match=r"gnss:=true needs datum:='\[latitude, longitude\]'"):
        launch('localization_ekf.launch.py', 'gnss:=true')


@pytest.mark.parametrize('name', ['localization', 'localization_ekf', 'replay', 'demo'])
def test_all_arguments_are_listed(name):
    """As `ros2 launch ... --show-args` does: those of what is included as well."""
    context = pytest.importorskip('launch').LaunchContext()
    source = launch_sources.PythonLaunchDescriptionSource(
        str(ROOT / 'launch' / f'{name}.launch.py'))
    arguments = source.get_launch_description(context).get_launch_arguments()
    assert {'namespace', 'imagery_sources', 'image_topic', 'respawn', 'device'} <= {
        each.name for each in arguments}
    assert all(len(each.description) > 5 for each in arguments)


def test_replay_plays_a_bag_by_its_own_time(launch):
    started = launch('replay.launch.py', 'bag:=drive.mcap', 'rate:=0.5', 'device:=cpu',
                     'play_options:=--start-offset 60', count=3)
    assert set(started) == {'fg2', 'ros2', 'rviz2'}
    assert started['ros2'].command[1:4] == ['bag', 'play', 'drive.mcap']
    assert started['ros2'].command[-2:] == ['--start-offset', '60']
    assert {'--clock', '--rate'} < set(started['ros2'].command)
    assert started['fg2'].parameters['use_sim_time'] is True
    assert started['fg2'].parameters['device'] == 'cpu'
    assert started['rviz2'].parameters['use_sim_time'] is True
    assert (ROOT / 'config' / 'fg2.rviz').samefile(
        started['rviz2'].command[started['rviz2'].command.index('-d') + 1])


def test_demo_says_what_is_missing(launch, tmp_path):
    with pytest.raises(AssertionError, match=f'run `fg2 demo --output {tmp_path}`'):
        launch('demo.launch.py', f'folder:={tmp_path}')
