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

"""From the bytes of messages to messages, by the definitions that bags hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fg2_ros.bags.file import Channel

ENCODINGS = {'cdr', 'ros1'}
HEAD_OF_IDL = '=' * 80 + '\nIDL: '


def why_not_read(channel: Channel) -> str:
    """Return why the messages of a channel are not read; '' if they are."""
    if channel.encoding in ENCODINGS and channel.type_name:
        return ''
    return f'its messages are in {channel.encoding or "an unknown encoding"}, not in that of ROS'


class Decoders:
    """Decodes messages; a type's definition is read when the first one comes."""

    def __init__(self) -> None:
        """
        Know the types of ROS 2 Jazzy and ROS 1 Noetic.

        :raises ValueError: if rosbags is not installed.
        """
        try:
            from rosbags.typesys import get_typestore, Stores
        except ImportError:
            raise ValueError('bags are read with the Python package rosbags, which is not '
                             'installed: pip install rosbags') from None
        self._known = {'cdr': get_typestore(Stores.ROS2_JAZZY),
                       'ros1': get_typestore(Stores.ROS1_NOETIC)}
        self._empty = lambda: get_typestore(Stores.EMPTY)
        self._decoders: dict[Channel, Callable[[bytes], Any]] = {}

    def decoded(self, channel: Channel, data: bytes) -> Any:
        """
        Return a message.

        :raises ValueError: if it is damaged, or of a type of which nothing is known.
        """
        try:
            if channel not in self._decoders:
                self._decoders[channel] = self._decoder(channel)
            return self._decoders[channel](data)
        except Exception as error:  # with damaged bytes the parsers raise almost anything
            reason = str(error).partition('\n')[0] or type(error).__name__
            raise ValueError(f'a message on {channel.topic} is damaged ({reason})') from None

    def _decoder(self, channel: Channel) -> Callable[[bytes], Any]:
        store = self._store(channel)
        decode = store.deserialize_cdr if channel.encoding == 'cdr' else store.deserialize_ros1
        return lambda data: decode(data, channel.type_name)

    def _store(self, channel: Channel) -> Any:
        """Return what knows a channel's type: by the bag's own definition, if it can be read."""
        known = self._known[channel.encoding]
        try:
            types = _types(channel)
            if channel.type_name not in types:
                return known
            store = self._empty()
            store.register(types)
        except Exception:  # such as a service's, which has two parts
            return known
        return store


def _types(channel: Channel) -> dict[str, Any]:
    """Return the types that a channel's definition defines."""
    from rosbags.typesys import get_types_from_idl, get_types_from_msg
    if not channel.definition.strip():
        return {}
    if channel.definition_kind in ('ros2msg', 'ros1msg'):
        return get_types_from_msg(channel.definition, channel.type_name)
    if channel.definition_kind not in ('ros2idl', 'omgidl'):
        return {}
    types: dict[str, Any] = {}
    for part in channel.definition.split(HEAD_OF_IDL):
        # Each part but those of a bare definition begins with its name.
        text = part.partition('\n')[2] if part is not channel.definition else part
        types.update(get_types_from_idl(text) if text.strip() else {})
    return types
