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

"""
Drive through the city that `fg2 demo` has rendered once more, with RViz or any other listener.

`ros2 launch fg2_ros demo.launch.py folder:=demo_out`; all arguments of localization.launch.py are
taken, too.
"""

from __future__ import annotations

from pathlib import Path
import sys

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction,
    RegisterEventHandler, Shutdown)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

RESOLUTION_M = '0.15'  # of the orthophoto


def generate_launch_description() -> LaunchDescription:
    """Return the tile server, the player and RViz; the node follows once there are tiles."""
    return LaunchDescription([
        DeclareLaunchArgument(
            'folder', default_value='demo_out', description='Where `fg2 demo` put its output.'),
        DeclareLaunchArgument(
            'city_datum', default_value='47.5 8.7',
            description='Where on Earth the city is: the --datum of `fg2 demo`.'),
        *source('localization').get_launch_description(LaunchContext()).get_launch_arguments(),
        OpaqueFunction(function=drive),
        included('rviz')])


def source(name: str) -> PythonLaunchDescriptionSource:
    """Return another launch file of this folder."""
    return PythonLaunchDescriptionSource(str(Path(__file__).parent / f'{name}.launch.py'))


def included(name: str, **arguments: str) -> IncludeLaunchDescription:
    """Return the inclusion of another launch file."""
    return IncludeLaunchDescription(source(name), launch_arguments=arguments.items())


def drive(context: LaunchContext) -> list:
    """Return the tile server and the player, with which everything ends."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    folder = Path(argument('folder'))
    if not (folder / 'drive').exists():
        raise RuntimeError(f'there is no drive in {folder}: run `fg2 demo --output {folder}`')
    tiles = ExecuteProcess(
        cmd=[sys.executable, '-m', 'fg2_ros.demo.tiles', str(folder / 'orthophoto.png'),
             '--resolution', RESOLUTION_M, '--datum', *argument('city_datum').split()])
    player = ExecuteProcess(
        cmd=[sys.executable, '-m', 'fg2_ros.demo.player', str(folder / 'drive'), '--node-only'],
        output='screen', on_exit=Shutdown(reason='the drive is over'))
    return [tiles, player, RegisterEventHandler(OnProcessIO(target_action=tiles, on_stdout=node))]


def node(event: ProcessIO) -> IncludeLaunchDescription | None:
    """Return the node with the tile server, which prints nothing but its address, as source."""
    address = event.text.decode().strip()
    if not address:
        return None
    return included('localization', imagery_sources=address, simulated_camera='true')
