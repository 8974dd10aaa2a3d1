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

"""Messages of `rosbags` as ROS messages."""

from __future__ import annotations

from array import array
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np


def ros_message(message: Any) -> Any:
    """
    Return the ROS 2 message of a deserialized one of a ROS 1 or ROS 2 bag.

    Fields that ROS 2 does not have (a header's ``seq``) are left out; ROS 1 writes the names of
    some others with capitals.
    """
    kind, names = _kind_of(message.__class__, message.__msgtype__)
    converted = kind()
    for name, name_in_ros, is_sequence in names:
        setattr(converted, name_in_ros, _value(getattr(message, name), is_sequence))
    return converted


@cache
def _kind_of(kind: type, name: str) -> tuple[type, list[tuple[str, str, bool]]]:
    """Return the class of ROS, and of its fields the names here and there and if they vary."""
    package, *_, class_name = name.split('/')
    converted = getattr(import_module(f'{package}.msg'), class_name)
    known = converted.get_fields_and_field_types()
    return converted, [
        (field.name, field.name.lower(), known[field.name.lower()].startswith('sequence'))
        for field in fields(kind) if field.name.lower() in known]


def _value(value: Any, is_sequence: bool) -> Any:
    if isinstance(value, (float, int, str)):
        return value
    if is_dataclass(value):
        return ros_message(value)
    if isinstance(value, list):
        return [_value(each, is_sequence=False) for each in value]
    if isinstance(value, np.ndarray) and is_sequence:
        return array(value.dtype.char, value.tobytes())
    return value
