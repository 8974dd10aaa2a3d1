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

"""An HTTP server whose whole behaviour is one function of the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import ssl
from test.helpers.processes import join_all
import threading

from fg2_ros.imagery import HttpSettings
import numpy as np
from PIL import Image


@dataclass
class Reply:
    """What is answered; ``write`` may send the body, ``take_over`` all, in their own way."""

    status: int = 200
    body: bytes = b''
    headers: dict[str, str] = field(default_factory=dict)
    write: Callable | None = None  # called with a file to write to
    take_over: Callable | None = None  # called with the socket, nothing else is sent


class HttpStub:
    """Serves ``reply(path, headers) -> Reply`` on loopback; counts and keeps the requests."""

    def __init__(self, reply: Callable[[str, dict], Reply], port: int = 0,
                 tls: ssl.SSLContext | None = None):
        self.reply = reply
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections, self.most_connections = 0, 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(('127.0.0.1', port), _Handler)
        self._scheme = 'https' if tls else 'http'
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients break off as they please
        self._server.block_on_close = False
        self._server.stub = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f'{self._scheme}://127.0.0.1:{self._server.server_address[1]}'

    @property
    def template(self) -> str:
        return self.url + '/{z}/{x}/{y}'

    def __enter__(self) -> HttpStub:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        self._server.shutdown()
        join_all(self._thread)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # else the body waits 40 ms for the headers' acknowledgement

    def setup(self) -> None:
        super().setup()
        self._count(1)

    def finish(self) -> None:
        self._count(-1)
        super().finish()

    def do_GET(self) -> None:  # noqa: N802
        stub = self.server.stub
        stub.paths.append(self.path)
        stub.headers.append(dict(self.headers))
        reply = stub.reply(self.path, dict(self.headers))
        try:
            self._answer(reply)
        except OSError:
            self.close_connection = True

    do_CONNECT = do_GET  # as a proxy's

    def _answer(self, reply: Reply) -> None:
        if reply.take_over:
            self.close_connection = True
            reply.take_over(self.connection)
            return
        self.send_response(reply.status)
        for name, value in {'Content-Length': str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        reply.write(self.wfile) if reply.write else self.wfile.write(reply.body)

    def _count(self, change: int) -> None:
        stub = self.server.stub
        with stub.lock:
            stub.connections += change
            stub.most_connections = max(stub.most_connections, stub.connections)

    def log_message(self, *_) -> None:
        pass


def encoded(image: np.ndarray, image_format: str = 'PNG', **options) -> bytes:
    """Return an image as a file's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, image_format, **options)
    return file.getvalue()


def address(path: str) -> tuple[int, int, int]:
    """Return (zoom, x, y) of a request's path."""
    return tuple(int(part) for part in path.split('?')[0].strip('/').split('/')[:3])


GREY_TILE = encoded(np.full((256, 256, 3), 99, np.uint8))


def quick_http(**changes) -> HttpSettings:
    """Return settings under which a fault is over soon, and nothing else fails for time."""
    return HttpSettings(**{
        'connect_timeout_s': 10.0, 'read_timeout_s': 10.0, 'total_timeout_s': 20.0,
        'backoff_s': 0.05, 'max_backoff_s': 0.2, 'revalidate_s': 0.0, **changes})
