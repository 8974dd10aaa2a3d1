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

"""Decoding the Content-Encoding of HTTP answers, bounded in size."""

from __future__ import annotations

import zlib

from fg2_ros.imagery.tiles.decoding import TileProblem

_GZIP_START = b'\x1f\x8b'
_LAYERS = 2  # a server and the one before it may both have packed
_AS_GZIP, _AS_ZLIB, _AS_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def unpacked(body: bytes, encoding: str, most_bytes: int, cut: bool = False) -> bytes:
    """
    Return a body as it was before it was packed.

    :param encoding: Content-Encoding: gzip or deflate, or several, the last one applied last.
    :param most_bytes: bound of the result.
    :param cut: whether a longer one, or one that ends too early, is cut off.
    :raises TileProblem: if it is longer, damaged, or packed otherwise.
    """
    names = [name.strip().lower() for name in encoding.split(',')]
    names = [name for name in names if name not in ('', 'identity')]
    if len(names) > _LAYERS:
        raise TileProblem('sent an answer that is packed again and again')
    for name in reversed(names):
        if not body:
            break
        body = _layer(body, _window(name, body), most_bytes, cut)
    return body


def _window(name: str, body: bytes) -> int | None:
    """Return how zlib unpacks a body; None if it is not packed, whatever its header says."""
    if name in ('gzip', 'x-gzip'):
        return _AS_GZIP if body.startswith(_GZIP_START) else None
    if name == 'deflate':  # zlib by the standard; some servers leave its header out
        has_header = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _AS_ZLIB if has_header else _AS_DEFLATE
    raise TileProblem('packed its answer in a way that nobody asked for')


def _layer(body: bytes, window: int | None, most_bytes: int, cut: bool) -> bytes:
    if window is None:
        return body
    unpacker = zlib.decompressobj(window)
    try:
        plain = unpacker.decompress(body, most_bytes + 1)
    except zlib.error:
        raise TileProblem('sent a damaged answer') from None
    if len(plain) > most_bytes and not cut:
        raise TileProblem(f'sent more than {most_bytes} bytes')
    if not unpacker.eof and not cut:
        raise TileProblem('broke off its answer')
    return plain[:most_bytes]
