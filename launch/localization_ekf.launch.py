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
Launch the localization node with robot_localization's EKF; config/ekf.yaml is the manual.

All arguments of localization.launch.py are taken, too: `ros2 launch ... -s` lists them.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, OpaqueFunction,
    RegisterEventHandler, SetLaunchConfiguration)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition
import yaml

# navsat_transform_node begins once it hears odometry in the map. It must not begin before the
# first pose: a filter that hears positions before it knows its heading goes astray for good.
ODOMETRY = {
    'ekf_filter_node_map': 'odometry/map', 'ekf_filter_node_odom': 'odometry/odom',
    'navsat_transform': 'fg2/odometry'}
FRAMES = {'map_frame': 'map', 'odom_frame': 'odom', 'base_frame': 'base_link'}


def generate_launch_description() -> LaunchDescription:
    """Return the node, one filter or two, and navsat_transform_node if that is wanted."""
    share = Path(get_package_share_directory('fg2_ros'))
    return LaunchDescription([
        DeclareLaunchArgument(
            'ekf_params_file', default_value=str(share / 'config' / 'ekf.yaml'),
            description='Parameters of robot_localization (the manual).'),
        DeclareLaunchArgument(
            'filters', default_value='1', choices=['1', '2'],
            description='1: the vehicle broadcasts odom -> base_link; 2: another filter does.'),
        DeclareLaunchArgument(
            'gnss', default_value='false', choices=['true', 'false'],
            description='Fuse GNSS, too, by navsat_transform_node; needs a datum.'),
        SetLaunchConfiguration(  # as navsat_transform_node has it
            'map_projection', 'utm', condition=IfCondition(LaunchConfiguration('gnss'))),
        IncludeLaunchDescription(  # with map -> odom left to the filter
            PythonLaunchDescriptionSource(str(Path(__file__).parent / 'localization.launch.py')),
            launch_arguments={'publish_tf': 'false'}.items()),
        OpaqueFunction(function=filters)])


def filters(context: LaunchContext) -> list:
    """Return the nodes of robot_localization, in the frames and on the topics of the node."""
    names = ['ekf_filter_node_map']
    if _argument(context, 'filters') == '2':
        names.append('ekf_filter_node_odom')
    has_states = filters_have_states()
    nodes = [_node(context, 'ekf_node', name, {
        'map_frame': _frame(context, 'map_frame'), 'odom_frame': _frame(context, 'odom_frame'),
        'base_link_frame': _frame(context, 'base_frame'),
        'world_frame': _frame(context, f'{name.rpartition("_")[2]}_frame')},
        LifecycleNode if has_states else Node) for name in names]
    if has_states and _argument(context, 'autostart').lower() != 'false':
        nodes = [action for node in nodes for action in (*activation(node), node)]
    if _argument(context, 'gnss') == 'true':
        nodes.append(_node(context, 'navsat_transform_node', 'navsat_transform', {
            'datum': _datum(_argument(context, 'datum'))}))
    return nodes


def filters_have_states() -> bool:
    """Return whether robot_localization's filters are lifecycle nodes, as from Lyrical on."""
    manifest = Path(get_package_share_directory('robot_localization')) / 'package.xml'
    return manifest.exists() and 'rclcpp_lifecycle' in manifest.read_text()


def activation(node: LifecycleNode) -> list:
    """Return what configures a lifecycle node when it starts, and then activates it."""
    def change(transition_id: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(
            lifecycle_node_matcher=matches_action(node), transition_id=transition_id))

    return [
        RegisterEventHandler(OnProcessStart(
            target_action=node, on_start=[change(Transition.TRANSITION_CONFIGURE)])),
        RegisterEventHandler(OnStateTransition(
            target_lifecycle_node=node, start_state='configuring', goal_state='inactive',
            entities=[change(Transition.TRANSITION_ACTIVATE)]))]


def _node(context: LaunchContext, executable: str, name: str, parameters: dict,
          kind: type[Node] = Node) -> Node:
    if sim_time := _argument(context, 'use_sim_time'):
        parameters = {**parameters, 'use_sim_time': sim_time.lower() == 'true'}
    return kind(
        package='robot_localization', executable=executable, name=name,
        namespace=_argument(context, 'namespace'), output='screen',
        parameters=[_argument(context, 'ekf_params_file'), parameters],
        remappings=[
            ('odometry/filtered', ODOMETRY[name]), ('gps/fix', _argument(context, 'fix_topic')),
            ('imu', _argument(context, 'imu_topic')), ('odom', _argument(context, 'odom_topic'))])


def _datum(text: str) -> list[float]:
    """
    Return the datum as navsat_transform_node takes it, with the heading 0.

    :raises RuntimeError: if there is none.
    """
    values = [float(each) for each in yaml.safe_load(text) or []]
    if len(values) not in (2, 3):
        raise RuntimeError("gnss:=true needs datum:='[latitude, longitude]'")
    return [*values[:2], *(values[2:] or [0.0])]


def _frame(context: LaunchContext, name: str) -> str:
    return _argument(context, name) or FRAMES[name]


def _argument(context: LaunchContext, name: str) -> str:
    return LaunchConfiguration(name).perform(context)
