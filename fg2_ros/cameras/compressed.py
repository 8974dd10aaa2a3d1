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

"""Decoding JPEG and PNG, after a check of the size against decompression bombs."""

from __future__ import annotations

import cv2
import numpy as np

MOST_PIXELS = 2 ** 27  # 16384 x 8192: more than the panoramas of today
_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
# Of JPEG: the markers of frames, whose segments hold the size, and of what has no segment.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset(range(0xD0, 0xD9)) | {0x01}
_SCAN = 0xDA


def decoded(data: bytes | bytearray | memoryview, label: str = '', grey: bool = False
            ) -> np.ndarray:
    """
    Return the (H, W, 3) uint8 RGB array of a JPEG or PNG image.

    :param data: the file's bytes.
    :param label: what sentences call it; '' for nothing.
    :param grey: whether to return its (H, W) brightness instead.
    :raises ValueError: if they are no whole JPEG or PNG image, or too large a one.
    """
    width, height = size_of(data, label)
    if width * height > MOST_PIXELS:
        raise ValueError(f'a compressed image of {width} x {height} pixels is not decoded: '
                         f'{MOST_PIXELS} pixels are the most')
    _require_whole(bytes(data), label)
    flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(  # a camera's driver turns no pictures: nor does what a file says of it
        np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError(f'a compressed image{_named(label)} is damaged')
    return pixels if grey else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def size_of(data: bytes | bytearray | memoryview, label: str = '') -> tuple[int, int]:
    """
    Return (width, height) of a JPEG or PNG image by its header.

    :raises ValueError: if there is none.
    """
    data = memoryview(data)
    if bytes(data[:8]) == _PNG and bytes(data[12:16]) == b'IHDR' and len(data) >= 24:
        return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
    if bytes(data[:3]) != _JPEG:
        raise ValueError(
            f'a compressed image{_named(label)} is neither JPEG nor PNG, or damaged')
    return _size_of_jpeg(data, label)


def _size_of_jpeg(data: memoryview, label: str) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _FRAMES:
            return (int.from_bytes(data[at + 7:at + 9], 'big'),
                    int.from_bytes(data[at + 5:at + 7], 'big'))
        elif marker == _SCAN:
            break
        else:
            at += 2 + int.from_bytes(data[at + 2:at + 4], 'big')
    raise ValueError(f'a compressed image{_named(label)} is damaged: its header has no size')


def _require_whole(data: bytes, label: str) -> None:
    """Raise ValueError if the end is missing: what was decoded of such an image may be grey."""
    if data.rfind(b'IEND' if data.startswith(_PNG) else b'\xff\xd9') < len(data) // 2:
        raise ValueError(f'a compressed image{_named(label)} is truncated')


def _named(label: str) -> str:
    return f' ({label!r})' if label else ''
