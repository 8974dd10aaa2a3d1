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

"""Decompression of chunks of bags: damaged ones as far as possible, and bounded in size."""

from __future__ import annotations

import bz2
from importlib import import_module
from pathlib import Path
from typing import Any

LARGEST_BYTES = 1 << 29  # of a chunk or a message: raw panoramas are smaller
ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_PIECE = 1 << 20


def decompressed(data: bytes, kind: str, limit: int = LARGEST_BYTES) -> bytes:
    """
    Return what compressed bytes hold; of bytes that break off, what comes before that.

    :param kind: '' or 'none', 'lz4', 'zstd' or 'bz2'.
    :param limit: most bytes to return.
    :raises ValueError: if the bytes are damaged, there are more, or the kind is not known.
    """
    if kind in ('', 'none'):
        return data
    decompressor = _decompressor(kind)
    try:
        whole = decompressor.decompress(data, max_length=limit + 1)
    except Exception as error:  # each library has its own
        raise ValueError(f'{kind} data are damaged ({error})') from None
    if len(whole) > limit:
        raise ValueError(f'{kind} data hold more than {limit} bytes')
    return whole


def message_bytes(data: bytes) -> bytes:
    """
    Return a message's bytes, which rosbag2 may have compressed one by one.

    :raises ValueError: if they are damaged or too many.
    """
    # No message of ROS 2 begins so: its first byte is zero.
    return decompressed(data, 'zstd') if data.startswith(ZSTD_MAGIC) else data


def decompress_file(path: Path, to: Path) -> str:
    """
    Decompress a zstd file as far as it is whole.

    :return: why that is not to its end; '' if it is.
    """
    with path.open('rb') as source, to.open('wb') as target:
        decompressor = _decompressor('zstd')
        while piece := source.read(_PIECE):
            try:
                target.write(decompressor.decompress(piece))
            except Exception as error:
                return f'its zstd data are damaged ({error})'
    return '' if decompressor.eof else 'its zstd data break off'


def _decompressor(kind: str) -> Any:
    if kind == 'bz2':
        return bz2.BZ2Decompressor()
    if kind == 'lz4':
        return import_module('lz4.frame').LZ4FrameDecompressor()
    if kind == 'zstd':
        return _zstd().ZstdDecompressor()
    raise ValueError(f'the compression {kind!r} is not known')


def _zstd() -> Any:
    for name in ('compression.zstd', 'backports.zstd'):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise ValueError('zstd data are read with the Python package backports.zstd, which is not '
                     'installed: pip install backports.zstd')
