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

"""Test helper: MCAP files byte by byte, also such as no recorder of ROS 2 writes."""

from __future__ import annotations

import struct
from zlib import crc32

from backports import zstd
import lz4.frame

MAGIC = b'\x89MCAP0\r\n'
PACK = {'': bytes, 'lz4': lz4.frame.compress, 'zstd': zstd.compress}


def record(kind: int, body: bytes) -> bytes:
    """Return a record."""
    return struct.pack('<BQ', kind, len(body)) + body


def text(value: str | bytes) -> bytes:
    """Return a string with its length."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack('<I', len(data)) + data


def header(profile: str = 'ros2') -> bytes:
    """Return how a file begins."""
    return MAGIC + record(1, text(profile) + text('test'))


def schema(number: int, name: str, encoding: str, data: str | bytes) -> bytes:
    """Return the definition of a type."""
    return record(3, struct.pack('<H', number) + text(name) + text(encoding) + text(data))


def channel(number: int, schema_number: int, topic: str, encoding: str = 'cdr') -> bytes:
    """Return a topic."""
    return record(4, struct.pack('<HH', number, schema_number) + text(topic) + text(encoding)
                  + text(''))


def message(number: int, time_ns: int, data: bytes) -> bytes:
    """Return a message on a channel."""
    return record(5, struct.pack('<HIQQ', number, 0, time_ns, time_ns) + data)


def chunk(records: bytes, start_ns: int, end_ns: int, compression: str = '',
          checksum: int | None = None) -> bytes:
    """Return a chunk of records."""
    checksum = crc32(records) if checksum is None else checksum
    packed = PACK[compression](records)
    return record(6, struct.pack('<QQQI', start_ns, end_ns, len(records), checksum)
                  + text(compression) + struct.pack('<Q', len(packed)) + packed)


def footer() -> bytes:
    """Return how a file ends that has no summary."""
    return record(15, bytes(4)) + record(2, bytes(20)) + MAGIC
