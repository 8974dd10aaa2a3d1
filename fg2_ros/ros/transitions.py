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

"""Requests to change the state of a lifecycle node: none can end the process."""

from __future__ import annotations

from typing import NamedTuple

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode


class _Transition(NamedTuple):
    """One that can be made from the present state, as rclpy describes it."""

    id: int  # noqa: A003, as ROS calls it
    label: str
    start_id: int
    start_label: str
    goal_id: int
    goal_label: str


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """
    Answer requests for a transition that the node's state does not have with success = false.

    rclpy (7.1) raises an exception out of the service instead, which ends the process; the
    service has no other handle than these private ones.
    """
    service = node._service_change_state
    change_state = service.callback

    def answer(request: ChangeState.Request,
               response: ChangeState.Response) -> ChangeState.Response:
        there_are = [_Transition(*each) for each in node._state_machine.available_transitions]
        asked = request.transition
        for each in there_are:
            if (each.label == asked.label) if asked.label else (each.id == asked.id):
                request.transition.id, request.transition.label = each.id, ''
                return change_state(request, response)
        node.get_logger().warning(
            f'change_state: there is no transition {asked.label or asked.id!r} from the state '
            f'{node._state_machine.current_state[1]}, only '
            f'{", ".join(f"{each.label} ({each.id})" for each in there_are) or "none"}')
        response.success = False
        return response
    service.callback = answer
