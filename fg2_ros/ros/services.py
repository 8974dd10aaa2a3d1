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

"""What an operator may ask of a node while it runs: services, each answered with a sentence."""

from __future__ import annotations

import importlib
from typing import Any, Callable

from fg2_ros.ros.localization import Localization
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

Act = Callable[[Localization, Any], str]


class Services:
    """
    The services of a node: ``~/reset``, ``~/relocalize``, ``~/pause`` and ``~/set_datum``.

    :param localization: returns what follows the vehicle; None unless the node is configured.
    """

    def __init__(self, node: Node, localization: Callable[[], Localization | None]):
        """Offer them from now on."""
        self._node, self._localization = node, localization
        self._offer(Trigger, '~/reset', lambda asked, _: asked.reset())
        self._offer(Trigger, '~/relocalize', lambda asked, _: asked.relocalize())
        self._offer(SetBool, '~/pause', lambda asked, request: asked.pause(request.data))
        if (kind := set_datum_type()) is not None:
            node.create_service(kind, '~/set_datum', self.set_datum)

    def set_datum(self, request: Any, response: Any) -> Any:
        """Set the parameter `datum`; the answer is empty, so the log says what came of it."""
        place = request.geo_pose.position
        result = self._node.set_parameters(
            [Parameter('datum', value=[place.latitude, place.longitude])])[0]
        if not result.successful:
            self._node.get_logger().warning(f'set_datum: {result.reason}')
        return response

    def _offer(self, kind: type, name: str, act: Act) -> None:
        def answer(request: Any, response: Any) -> Any:
            response.success, response.message = self._answer(act, request)
            log = self._node.get_logger()
            (log.info if response.success else log.warning)(f'{name[2:]}: {response.message}')
            return response
        self._node.create_service(kind, name, answer)

    def _answer(self, act: Act, request: Any) -> tuple[bool, str]:
        localization = self._localization()
        if localization is None:
            return False, 'the node is not configured'
        try:
            return True, act(localization, request)
        except ValueError as error:
            return False, str(error)


def set_datum_type() -> type | None:
    """Return robot_localization's `SetDatum`; without that package there is the parameter."""
    try:
        return importlib.import_module('robot_localization.srv').SetDatum
    except ImportError:
        return None
