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

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

INPUTS = ('image', 'camera_info', 'fix', 'odom', 'imu')


def generate_launch_description() -> LaunchDescription:
    """Return the node with its arguments."""
    parameters = Path(get_package_share_directory('fg2_ros')) / 'config' / 'fg2.yaml'
    return LaunchDescription([
        DeclareLaunchArgument(
            'namespace', default_value='', description='Namespace of the node and its topics.'),
        DeclareLaunchArgument(
            'params_file', default_value=str(parameters), description='Parameters (the manual).'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='false', description='Take the time from /clock.'),
        DeclareLaunchArgument(
            'weights', default_value='', description='Weights file; empty: as params_file says.'),
        DeclareLaunchArgument(
            'imagery_sources', default_value='',
            description='Catalogue name, file or URL of the imagery; empty: as params_file says.'),
        DeclareLaunchArgument(
            'autostart', default_value='true', description='Configure and activate at start.'),
        DeclareLaunchArgument(
            'log_level', default_value='info', description='debug, info, warn, error or fatal.'),
        *(DeclareLaunchArgument(f'{topic}_topic', default_value=topic,
                                description=f'What {topic} is called here.')
          for topic in INPUTS),
        OpaqueFunction(function=localization_node)])


def localization_node(context: LaunchContext) -> list:
    """Return the node; arguments left empty do not override the parameters file."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides = {'use_sim_time': argument('use_sim_time').lower() == 'true',
                 'autostart': argument('autostart').lower() == 'true'}
    overrides |= {
        name: argument(name.replace('.', '_')) for name in ('weights', 'imagery.sources')
        if argument(name.replace('.', '_'))}
    return [LifecycleNode(
        package='fg2_ros', executable='fg2_node', name='fg2', namespace=argument('namespace'),
        parameters=[argument('params_file'), overrides],
        remappings=[(topic, argument(f'{topic}_topic')) for topic in INPUTS],
        arguments=['--ros-args', '--log-level', argument('log_level')], output='screen')]
