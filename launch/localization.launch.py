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

"""Launch the localization node; `ros2 launch ... localization.launch.py -s` lists arguments."""

from pathlib import Path
import shlex
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
import yaml

INPUTS = ('image', 'camera_info', 'fix', 'odom', 'imu')
OVERRIDES = {  # parameter: what the argument of this name, with underscores, is for
    'use_sim_time': 'Whether to take the time from /clock.',
    'autostart': 'Whether to configure and activate at start.',
    'weights': 'Weights file.',
    'device': 'Where the network runs: auto, cpu, cuda or cuda:N.',
    'imagery.sources': 'Catalogue names, files or URLs of the imagery, separated by spaces.',
    'datum': 'Origin of the map: [latitude, longitude] or [latitude, longitude, 0.0].',
    'map_projection': 'local or utm.',
    'publish_tf': 'Whether to broadcast map -> odom.',
    'simulated_camera': 'Whether the images come from a simulation.',
    'map_frame': 'Frame of the poses.',
    'odom_frame': 'Frame of the odometry.',
    'base_frame': 'Frame of the vehicle.',
    'camera_frame': 'Frame of the camera.'}
SWITCHES = ('use_sim_time', 'autostart', 'publish_tf', 'simulated_camera')
SWITCHED = ('', 'true', 'false', 'True', 'False')


def generate_launch_description() -> LaunchDescription:
    """Return the node with its arguments."""
    parameters = Path(get_package_share_directory('fg2_ros')) / 'config' / 'fg2.yaml'
    return LaunchDescription([
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and its topics.'),
        DeclareLaunchArgument(
            'params_file', default_value=str(parameters), description='Parameters (the manual).'),
        *(DeclareLaunchArgument(
            name.replace('.', '_'), default_value='',
            choices=SWITCHED if name in SWITCHES else None,
            description=f'{text} Empty: as params_file says.')
          for name, text in OVERRIDES.items()),
        DeclareLaunchArgument(
            'respawn', default_value='false', choices=['true', 'false'],
            description='Start the node again, 2 s after it has ended.'),
        DeclareLaunchArgument(
            'log_level', default_value='info', description='debug, info, warn, error or fatal.'),
        *(DeclareLaunchArgument(f'{topic}_topic', default_value=topic,
                                description=f'What {topic} is called here.')
          for topic in INPUTS),
        OpaqueFunction(function=localization_node)])


def localization_node(context: LaunchContext) -> list:
    """Return the node; arguments left empty do not override the parameters file."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name.replace('.', '_')).perform(context)

    overrides = {name: value_of(name, argument(name)) for name in OVERRIDES if argument(name)}
    return [LifecycleNode(
        package='fg2_ros', executable='fg2_node', name='fg2', namespace=argument('namespace'),
        parameters=[argument('params_file'), overrides],
        remappings=[(topic, argument(f'{topic}_topic')) for topic in INPUTS],
        arguments=['--ros-args', '--log-level', argument('log_level')],
        respawn=argument('respawn') == 'true', respawn_delay=2.0, output='screen')]


def value_of(parameter: str, argument: str) -> Any:
    """Return what an argument says as the type of its parameter."""
    if parameter == 'imagery.sources':
        return shlex.split(argument)
    if parameter == 'datum':
        return [float(each) for each in yaml.safe_load(argument)]
    if parameter in SWITCHES:
        return argument.lower() == 'true'
    return argument
