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

"""A real XYZ tile server on loopback, which can also misbehave on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import logging
import re
import threading

import cv2
import numpy as np

Tiles = Callable[[int, int, int], np.ndarray | None]
_TYPES = {'jpg': 'image/jpeg', 'png': 'image/png', 'webp': 'image/webp'}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Faults:
    """
    How a tile server misbehaves; the default is not at all.

    :param delay_s: wait before each answer.
    :param silent: never answer (until the server closes).
    :param reset: close the connection instead of answering.
    :param status: answer this code instead of a tile.
    :param headers: further headers of each answer, or others in the place of the usual ones.
    :param body: send this instead of the image.
    :param truncated: announce the whole body, send half of it and close.
    :param drip_s: send one byte, wait this long, and so on.
    :param applies: which tiles, called with (zoom, x, y); by default all.
    """

    delay_s: float = 0.0
    silent: bool = False
    reset: bool = False
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    truncated: bool = False
    drip_s: float = 0.0
    applies: Callable[[int, int, int], bool] = lambda zoom, x, y: True


class TileServer:
    """
    Serves Web Mercator tiles; use as a context manager, or call `serve_forever`.

    Tiles are drawn when they are asked for; those that do not exist or lie outside the zoom range
    are answered with 404. ``faults`` may be replaced at
    any time; ``requests`` counts what came in, ``requested`` and ``request_headers`` hold the
    latest of it.

    :param tiles: returns the (256, 256, 3) uint8 RGB tile at (zoom, x, y), or None, as
        `fg2_ros.imagery.RasterImagery.tile` does.
    :param min_zoom: coarsest zoom served.
    :param max_zoom: finest zoom served.
    :param image_format: 'jpg', 'png' or 'webp'.
    :param max_age_s: how long clients may keep a tile.
    :param port: TCP port on loopback; 0 takes a free one.
    """

    def __init__(self, tiles: Tiles, min_zoom: int = 17, max_zoom: int = 20,
                 image_format: str = 'jpg', max_age_s: int = 86400, port: int = 0):
        self.faults = Faults()
        self.requests = 0
        self.requested: deque[tuple[int, int, int] | None] = deque(maxlen=10_000)
        self.request_headers: deque[dict[str, str]] = deque(maxlen=10_000)
        self.content_type = _TYPES[image_format]
        self.max_age_s = max_age_s
        self.closing = threading.Event()
        self._tiles = tiles
        self._zooms = range(min_zoom, max_zoom + 1)
        self._image_format = image_format
        self._lock = threading.Lock()
        self.tile = lru_cache(maxsize=4096)(self._render)
        self._http = _Server(('127.0.0.1', port), _Handler)
        self._http.owner = self
        self._serving = False
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Return the TCP port."""
        return self._http.server_address[1]

    @property
    def url_template(self) -> str:
        """Return the URL template that `open_server` takes."""
        return f'http://127.0.0.1:{self.port}/{{z}}/{{x}}/{{y}}.{self._image_format}'

    def serve_forever(self) -> None:
        """Answer requests until `close` is called from another thread or a signal raises."""
        self._serving = True
        self._http.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """Stop answering and free the port."""
        self.closing.set()
        if self._serving:  # else nobody would answer the wish to stop
            self._http.shutdown()
        if self._thread:
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> TileServer:
        """Answer requests in a background thread."""
        self._serving = True
        self._thread = threading.Thread(
            target=self.serve_forever, name='fg2 tile server', daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.close()

    def note(self, address: tuple[int, int, int] | None, headers: dict[str, str]) -> None:
        """Record a request."""
        with self._lock:
            self.requests += 1
            self.requested.append(address)
            self.request_headers.append(headers)

    def _render(self, zoom: int, x: int, y: int) -> bytes | None:
        """Return the encoded tile, or None if there is nothing in it."""
        if zoom not in self._zooms or not (0 <= x < 2 ** zoom and 0 <= y < 2 ** zoom):
            return None
        image = self._tiles(zoom, x, y)
        if image is None:
            return None
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92] if self._image_format == 'jpg' else []
        _, encoded = cv2.imencode(
            f'.{self._image_format}', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
        return encoded.tobytes()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: TileServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = 'HTTP/1.1'  # keeps connections, as real tile servers do
    disable_nagle_algorithm = True  # or the body waits for the answer to the header

    def do_GET(self) -> None:  # noqa: N802
        """Answer one request."""
        address = _address(self.path)
        owner = self.server.owner
        owner.note(address, dict(self.headers))
        faults = owner.faults if address and owner.faults.applies(*address) else Faults()
        if self._stays_away(faults):
            self.close_connection = True
            return
        try:
            self._answer(owner.tile(*address) if address else None, faults)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _stays_away(self, faults: Faults) -> bool:
        """Wait as the faults say; return whether there is to be no answer at all."""
        closing = self.server.owner.closing
        if faults.silent:
            closing.wait()
        elif faults.delay_s:
            closing.wait(faults.delay_s)
        return faults.silent or faults.reset or closing.is_set()

    def _answer(self, tile: bytes | None, faults: Faults) -> None:
        status, body = _status_and_body(tile, faults)
        headers = {'Content-Type': self.server.owner.content_type}
        if status == 200:
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            headers |= {'ETag': etag,
                        'Cache-Control': f'public, max-age={self.server.owner.max_age_s}'}
            if self.headers.get('If-None-Match') == etag:
                status, body = 304, b''
        self.send_response(status)
        for name, value in {**headers, 'Content-Length': str(len(body)), **faults.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(body, faults)

    def _send(self, body: bytes, faults: Faults) -> None:
        if faults.truncated:
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        elif faults.drip_s:
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.server.owner.closing.wait(faults.drip_s):
                    return
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args) -> None:  # noqa: A002
        """Keep the standard error stream quiet."""
        _logger.debug(format, *args)


def _address(path: str) -> tuple[int, int, int] | None:
    """Return the (zoom, x, y) of a request's path, or None."""
    match = re.fullmatch(r'/(\d+)/(\d+)/(\d+)\.\w+(\?.*)?', path)
    if match is None:
        return None
    zoom, x, y = map(int, match.groups()[:3])
    return zoom, x, y


def _status_and_body(tile: bytes | None, faults: Faults) -> tuple[int, bytes]:
    if faults.body is not None:
        return faults.status, faults.body
    if faults.status != 200:
        return faults.status, b''
    return (404, b'') if tile is None else (200, tile)
