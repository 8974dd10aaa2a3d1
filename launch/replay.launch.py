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
Play a recording into the localization node, by the recording's time, and show it in RViz.

`ros2 launch fg2_ros replay.launch.py bag:=drive.mcap imagery_sources:=ign_bd_ortho`; all arguments
of localization.launch.py are taken, too.
"""

from pathlib import Path
import shlex

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction, Shutdown)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration


def generate_launch_description() -> LaunchDescription:
    """Return the player, the node and RViz."""
    return LaunchDescription([
        DeclareLaunchArgument('bag', description='What `ros2 bag play` plays.'),
        DeclareLaunchArgument('rate', default_value='1.0', description='How fast it is played.'),
        DeclareLaunchArgument(
            'play_options', default_value='',
            description='Further options of `ros2 bag play`: --loop, --start-offset 60 ...'),
        *(IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(Path(__file__).parent / f'{name}.launch.py')),
            launch_arguments={'use_sim_time': 'true'}.items())
          for name in ('localization', 'rviz')),
        OpaqueFunction(function=player)])


def player(context: LaunchContext) -> list:
    """Return the player, with which everything ends; it keeps the time and waits for the node."""
    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [ExecuteProcess(
        cmd=['ros2', 'bag', 'play', argument('bag'), '--clock', '100', '--delay', '10',
             '--rate', argument('rate'), *shlex.split(argument('play_options'))],
        output='screen', on_exit=Shutdown(reason='the recording is over'))]
