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

"""Messages of `rosbags` as those of ROS, which the node's own code takes."""

from __future__ import annotations

from array import array
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np


def ros_message(message: Any) -> Any:
    """
    Return the ROS 2 message of a deserialized one of a ROS 1 or ROS 2 bag.

    Fields that ROS 2 does not have (a header's ``seq``) are left out; ROS 1 writes the names of
    some others with capitals.
    """
    package, *_, name = message.__msgtype__.split('/')
    converted = getattr(import_module(f'{package}.msg'), name)()
    known = converted.get_fields_and_field_types()
    for field in fields(message):
        if field.name.lower() in known:
            value = getattr(message, field.name)
            setattr(converted, field.name.lower(),
                    _value(value, is_sequence=known[field.name.lower()].startswith('sequence')))
    return converted


def _value(value: Any, is_sequence: bool) -> Any:
    if is_dataclass(value):
        return ros_message(value)
    if isinstance(value, list):
        return [_value(each, is_sequence=False) for each in value]
    if isinstance(value, np.ndarray) and is_sequence:
        return array(value.dtype.char, value.tobytes())
    return value
