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

"""All that a tile server is known to do wrong, as replies of `http_stub.HttpStub`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import gzip
import hashlib
import io
import socket
import struct
from test.helpers.http_stub import encoded, GREY_TILE, HttpStub, Reply
from typing import Any

import numpy as np
from PIL import Image

PLACEHOLDER = encoded(np.tile(np.arange(256, dtype=np.uint8)[:, None], (256, 1, 3))[:, :256])


@dataclass(frozen=True)
class Fault:
    """
    Something that goes wrong.

    :param name: of the test.
    :param sentence: what is said about it, after the source's name.
    :param reply: called with the server for each request.
    :param absent: the server works and only says that it has nothing there.
    :param requests: most requests that one try for a tile may take.
    :param http: settings under which it is over soon.
    """

    name: str
    sentence: str
    reply: Callable[[HttpStub], Reply]
    absent: bool = False
    requests: int = 1
    http: dict[str, Any] = field(default_factory=dict)


def status(code: int, **headers: str) -> Callable:
    return lambda server: Reply(
        code, b'<html>no</html>', {name.replace('_', '-'): value
                                   for name, value in headers.items()})


def body(data: bytes, **headers: str) -> Callable:
    return lambda server: Reply(body=data, headers={
        'Content-Type': 'image/png', **{name.replace('_', '-'): value
                                        for name, value in headers.items()}})


def image(pixels: np.ndarray, image_format: str = 'PNG') -> Callable:
    return body(encoded(np.asarray(pixels, np.uint8), image_format))


def half_of(image_format: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    data = encoded(noise, image_format)
    return data[:len(data) // 2]


def redirect(target: str) -> Callable:
    return lambda server: Reply(302, headers={'Location': target})


def silence(server: HttpStub) -> Reply:
    server.stopping.wait(60)
    return Reply(take_over=lambda connection: None)


def drip(server: HttpStub, data: bytes, announced: bool) -> Reply:
    """Send a byte, wait (a second in real life), send the next."""
    def send(connection: socket.socket) -> None:
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n' if announced else ''
        connection.sendall(head.encode())
        for byte in data:
            connection.sendall(bytes([byte]))
            if server.stopping.wait(0.03):
                return

    return Reply(take_over=send)


def reset(server: HttpStub) -> Reply:
    """Send half a tile, and then a TCP reset."""
    def send(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n' + GREY_TILE[:100])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        connection.close()

    return Reply(take_over=send)


def raw(data: bytes) -> Callable:
    return lambda server: Reply(take_over=lambda connection: connection.sendall(data))


def flood(headers: str) -> Callable:
    """Send a gigabyte, or as much of it as the other side takes."""
    def send(connection: socket.socket) -> None:
        connection.sendall(f'HTTP/1.1 200 OK\r\n{headers}\r\n'.encode())
        chunk = bytes(1 << 16)
        if 'chunked' in headers:
            chunk = b'%x\r\n%b\r\n' % (len(chunk), chunk)
        for _ in range((1 << 30) // (1 << 16)):
            connection.sendall(chunk)

    return lambda server: Reply(take_over=send)


def bomb(side_px: int) -> bytes:
    """Return a PNG that is small as a file only."""
    file = io.BytesIO()
    Image.new('1', (side_px, side_px)).save(file, 'PNG')
    return file.getvalue()


def transparent() -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 4))
    pixels[..., 3] = 0
    return pixels


def transparent_palette() -> bytes:
    file = io.BytesIO()
    Image.new('P', (256, 256), 0).save(file, 'PNG', transparency=0)
    return file.getvalue()


def transparent_gif() -> bytes:
    file = io.BytesIO()
    Image.new('P', (1, 1), 0).save(file, 'GIF', transparency=0)
    return file.getvalue()


def white() -> np.ndarray:
    return np.full((256, 256, 3), 255)


QUICK = {'read_timeout_s': 1.0, 'total_timeout_s': 2.0}  # time enough to see the request
EMPTY = 'has only an empty tile there'
FAULTS = [
    Fault('403', 'answered 403 to everything', status(403), requests=9),
    Fault('403 for now', 'answered 403', status(403, Retry_After='0')),
    Fault('400', 'answered 400, to whatever', status(400), requests=9),
    Fault('404', 'answered 404', status(404), absent=True),
    Fault('410', 'answered 410', status(410), absent=True),
    Fault('204', 'answered 204', lambda server: Reply(204), absent=True),
    Fault('429', 'answered 429', status(429, Retry_After='0')),
    Fault('500', 'answered 500', status(500)),
    Fault('503', 'answered 503', status(503)),
    Fault('304 without being asked', 'answered 304', lambda server: Reply(304)),  # has no body
    Fault('reset in the middle', 'broke off its answer', reset),
    Fault('closed in the middle', 'broke off its answer',
          raw(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n' + GREY_TILE)),
    Fault('closed without a word', 'broke off its answer', raw(b'')),
    Fault('not HTTP', 'broke off its answer', raw(b'SSH-2.0-OpenSSH_9.6\r\n' * 9)),
    Fault('endless headers', 'broke off its answer',
          raw(b'HTTP/1.1 200 OK\r\n' + b'X-Header: 1\r\n' * 100_000)),
    Fault('silence', 'timed out', silence, http=QUICK),
    Fault('byte by byte', 'timed out', lambda server: drip(server, GREY_TILE, True), http=QUICK),
    Fault('headers byte by byte', 'timed out', lambda server: drip(
        server, b'HTTP/1.1 200 OK\r\n' + b'X' * 9999, False), http=QUICK),
    Fault('truncated image', 'sent a damaged image', body(GREY_TILE[:len(GREY_TILE) // 2])),
    Fault('truncated JPEG', 'sent a damaged image', body(half_of('JPEG'))),
    Fault('truncated WebP', 'sent a damaged image', body(half_of('WEBP'))),
    Fault('wrong content type', 'sent JSON instead of an image',
          body(b'{"error": 7}', Content_Type='application/json; charset=utf-8'), requests=9),
    Fault('WMS exception', 'sent XML instead of an image',
          body(b'<ServiceException/>', Content_Type='application/vnd.ogc.se_xml'), requests=9),
    Fault('exception called PNG', 'sent XML instead of an image',
          body(b'<?xml version="1.0"?><ows:ExceptionReport/>'), requests=9),
    Fault('tile out of range', 'says that the tile is out of range',
          body(b'<ExceptionReport><Exception exceptionCode="TileOutOfRange"/></ExceptionReport>',
               Content_Type='application/xml'), absent=True),
    Fault('HTML', 'sent HTML instead of an image',
          body(b'<!doctype html><p>Log in', Content_Type='text/html')),
    Fault('HTML called PNG', 'sent HTML instead of an image', body(b'\n <!doctype html><p>')),
    Fault('text called PNG', 'sent something that is not an image', body(b'quota exceeded')),
    Fault('empty body', 'sent nothing', body(b''), absent=True),
    Fault('gigabyte', 'sent more than 1000000 bytes', flood('Content-Length: 1073741824\r\n'),
          http={'max_tile_bytes': 1_000_000}),
    Fault('gigabyte in chunks', 'sent more than 1000000 bytes',
          flood('Transfer-Encoding: chunked\r\n'), http={'max_tile_bytes': 1_000_000}),
    Fault('gigabyte until the end', 'sent more than 1000000 bytes', flood(''),
          http={'max_tile_bytes': 1_000_000}),
    Fault('bomb', 'sent a tile of 9000 x 9000 pixels', body(bomb(9000))),
    Fault('large bomb', 'sent a damaged image', body(bomb(20000))),
    Fault('compressed body', 'sent more than 8000000 bytes',
          body(gzip.compress(bytes(50_000_000), 1), Content_Encoding='gzip')),
    Fault('damaged compressed body', 'sent a damaged answer',
          body(b'\x1f\x8b\x08' + bytes(100), Content_Encoding='gzip')),
    Fault('half a compressed body', 'broke off its answer',
          body(gzip.compress(GREY_TILE)[:-20], Content_Encoding='gzip')),
    Fault('Brotli', 'packed its answer in a way that nobody asked for',
          body(bytes(100), Content_Encoding='br')),
    Fault('wrong size', 'sent a tile of 256 x 255 pixels', image(np.zeros((255, 256, 3)))),
    Fault('redirect loop', 'redirected more than 3 times', redirect('/1/2/3'), requests=4),
    Fault('redirect to a file', 'redirected to a file address', redirect('file:///etc/passwd')),
    Fault('redirect to FTP', 'redirected to a ftp address', redirect('ftp://127.0.0.1/')),
    Fault('redirect to data', 'redirected to a data address', redirect('data:image/png,1')),
    Fault('redirect to gopher', 'redirected to a strange address', redirect('gopher://h/')),
    Fault('redirect to nonsense', 'redirected to a strange address', redirect('http://[::1/')),
    Fault('transparent', EMPTY, image(transparent()), absent=True),
    Fault('transparent palette', EMPTY, body(transparent_palette()), absent=True),
    Fault('white', EMPTY, image(white(), 'JPEG'), absent=True),
    Fault('black', EMPTY, image(np.zeros((512, 512, 3)), 'WEBP'), absent=True),
    Fault('light grey', EMPTY, image(np.full((256, 256, 3), (221, 224, 219))), absent=True),
    Fault('speck', EMPTY, image(np.full((1, 1, 3), 200)), absent=True),
    Fault('transparent GIF', EMPTY, body(transparent_gif()), absent=True),
    Fault('transparent and odd', EMPTY, image(np.zeros((100, 300, 4))), absent=True),
    Fault('placeholder', EMPTY, body(PLACEHOLDER), absent=True,
          http={'placeholders': (hashlib.sha256(PLACEHOLDER).hexdigest(),)}),
]
