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

"""ROS parameters out of settings dataclasses: declared, read, checked, and typos pointed out."""

from __future__ import annotations

from array import array
from dataclasses import Field
from typing import Any

from fg2_ros.settings import converted, explanation, settings_of, with_values
from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node

_OF_RCLPY = ('use_sim_time', 'start_type_description_service')


class Parameters:
    """
    The parameters of a node, declared from the defaults of a settings dataclass.

    Parameters are typed dynamically so that an integer where a double is wanted is no error; the
    types and ranges are checked here instead, with a sentence for the user.

    :param node: the node that declares them.
    :param defaults: a settings instance; nested ones become dotted names.
    """

    def __init__(self, node: Node, defaults: Any):
        """Declare all parameters; what is wrong with them is said by `read`."""
        self._node = node
        self._defaults = defaults
        self._declared = settings_of(defaults)
        self._problems = [
            problem for name in self._declared if (problem := self._declare(name))]
        node.add_on_set_parameters_callback(self._check)

    def read(self) -> Any:
        """
        Return the settings with the values of the parameters.

        :raises ValueError: if values are of the wrong type or out of range; names them all.
        """
        values, problems = {}, list(self._problems)
        for name, (declared, default) in self._declared.items():
            value = shown(self._node.get_parameter(name).value)
            try:
                values[name] = converted(f'parameter {name}', value, declared, default)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError('; '.join(problems))
        return with_values(self._defaults, values)

    def __contains__(self, name: str) -> bool:
        """Return whether there is a setting of this name."""
        return name in self._declared

    def unknown(self) -> list[str]:
        """Return the names that the user set and nobody declares: typos, mostly."""
        return sorted(
            name for name in self._overrides
            if name not in self._declared and name not in _OF_RCLPY
            and not name.startswith('qos_overrides.'))

    @property
    def _overrides(self) -> dict[str, Any]:
        """Return what the user set, by name; rclpy has no public way."""
        return getattr(self._node, '_parameter_overrides', {})

    def _declare(self, name: str) -> str:
        declared, value = self._declared[name]
        value = list(value) if isinstance(value, tuple) else value
        # `[]` in a parameter file has no type for rcl and would undo the default; a dump of the
        # parameters would then have a null, which no parameter file may have.
        says_nothing = name in self._overrides and self._overrides[name].value is None
        try:
            self._node.declare_parameter(
                name, value, descriptor_of(name, declared), ignore_override=says_nothing)
        except InvalidParameterValueException as error:
            self._node.declare_parameter(
                name, value, descriptor_of(name, declared), ignore_override=True)
            return f'parameter {name}: {error}'
        return ''

    def _check(self, parameters: list) -> SetParametersResult:
        """Refuse what cannot be; rclpy refuses what is read-only."""
        for parameter in parameters:
            if parameter.name in self._declared:
                declared, _ = self._declared[parameter.name]
                try:
                    converted(f'parameter {parameter.name}', shown(parameter.value), declared)
                except ValueError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def shown(value: Any) -> Any:
    """Return the value of a parameter as people write it: rclpy has arrays of numbers."""
    return list(value) if isinstance(value, array) else value


def descriptor_of(name: str, declared: Field) -> ParameterDescriptor:
    """Return what `ros2 param describe` says of a settings field."""
    about = declared.metadata
    descriptor = ParameterDescriptor(
        name=name, description=explanation(declared), dynamic_typing=True,
        read_only=bool(about.get('read_only')))
    if about.get('choices'):
        descriptor.additional_constraints = 'one of ' + ', '.join(map(repr, about['choices']))
    if about.get('range'):
        low, high = about['range']
        if isinstance(declared.default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))]
    return descriptor
