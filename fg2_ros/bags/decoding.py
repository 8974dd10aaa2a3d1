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

"""Deserializing messages by the definitions that a bag holds."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fg2_ros.bags.compression import message_bytes
from fg2_ros.bags.file import Channel

ENCODINGS = {'cdr', 'ros1'}
HEAD_OF_IDL = '=' * 80 + '\nIDL: '


def why_not_read(channel: Channel) -> str:
    """Return why the messages of a channel are not read; '' if they are."""
    if channel.encoding in ENCODINGS and channel.type_name:
        return ''
    encoding = channel.encoding[:40] or 'an unknown encoding'
    return f'its messages are in {encoding}, not in that of ROS'


class Decoders:
    """Decodes messages; a type's definition is read when the first one comes."""

    def __init__(self) -> None:
        """
        Know no type yet.

        :raises ValueError: if rosbags is not installed.
        """
        try:
            import rosbags.typesys  # noqa: F401
        except ImportError:
            raise ValueError('bags are read with the Python package rosbags, which is not '
                             'installed: pip install rosbags') from None

    def decoded(self, channel: Channel, data: bytes) -> Any:
        """
        Return a message.

        :raises ValueError: if it is damaged, or of a type of which nothing is known.
        """
        try:
            store = _store(channel.type_name, channel.encoding, channel.definition_kind,
                           channel.definition)
            if channel.encoding == 'cdr':
                return store.deserialize_cdr(message_bytes(data), channel.type_name)
            return store.deserialize_ros1(data, channel.type_name)
        except Exception as error:  # with damaged bytes the parsers raise almost anything
            reason = str(error).partition('\n')[0] or type(error).__name__
            raise ValueError(f'a message on {channel.topic} is damaged ({reason})') from None


@lru_cache(maxsize=256)
def _store(type_name: str, encoding: str, kind: str, definition: str) -> Any:
    """Return what knows a type: by the bag's own definition, if it can be read."""
    from rosbags.typesys import get_typestore, Stores
    try:
        types = _types(type_name, kind, definition)
        if type_name in types:
            store = get_typestore(Stores.EMPTY)
            store.register(types)
            return store
    except Exception:  # such as a service's, which has two parts
        pass
    return get_typestore(Stores.ROS2_JAZZY if encoding == 'cdr' else Stores.ROS1_NOETIC)


def _types(type_name: str, kind: str, definition: str) -> dict[str, Any]:
    """Return the types that a definition defines."""
    from rosbags.typesys import get_types_from_idl, get_types_from_msg
    if not definition.strip():
        return {}
    if kind in ('ros2msg', 'ros1msg'):
        return get_types_from_msg(definition, type_name)
    if kind not in ('ros2idl', 'omgidl'):
        return {}
    types: dict[str, Any] = {}
    parts = [definition]
    if definition.startswith(HEAD_OF_IDL):  # several, each after a line with its name
        parts = [part.partition('\n')[2] for part in definition.split(HEAD_OF_IDL)[1:]]
    for part in parts:
        types.update(get_types_from_idl(part))
    return types
