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

"""Show what the node publishes in RViz; part of the launch files that play something."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import EqualsSubstitution, LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description() -> LaunchDescription:
    """Return RViz with its arguments."""
    share = Path(get_package_share_directory('fg2_ros'))
    return LaunchDescription([
        DeclareLaunchArgument(
            'rviz', default_value='true', choices=['true', 'false'], description='Start RViz.'),
        DeclareLaunchArgument(
            'rviz_config', default_value=str(share / 'config' / 'fg2.rviz'),
            description='What RViz shows.'),
        DeclareLaunchArgument(
            'use_sim_time', default_value='',
            description='Whether to take the time from /clock. Empty: no.'),
        Node(package='rviz2', executable='rviz2', output='screen',
             arguments=['-d', LaunchConfiguration('rviz_config')],
             parameters=[{'use_sim_time': ParameterValue(
                 EqualsSubstitution(LaunchConfiguration('use_sim_time'), 'true'),
                 value_type=bool)}],
             condition=IfCondition(LaunchConfiguration('rviz')))])
