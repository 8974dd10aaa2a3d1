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

"""An HTTP client, bounded in time and size, that keeps secrets out of its messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
import threading
import time
from urllib.parse import unquote, urljoin, urlsplit

from fg2_ros.imagery.server import connections
from fg2_ros.imagery.server.connections import Attempt
from fg2_ros.imagery.server.content_encoding import unpacked
from fg2_ros.imagery.tiles.decoding import TileProblem
from fg2_ros.settings import MAINTAINERS
from fg2_ros.version import __version__
import urllib3
from urllib3 import exceptions

_REDIRECTS = 3
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class HttpSettings:
    """
    How a tile server is treated.

    :param connect_timeout_s: longest time to connect.
    :param read_timeout_s: longest silence in an answer.
    :param total_timeout_s: longest time for a whole tile.
    :param max_tile_bytes: largest body that is accepted.
    :param connections: to its host at a time.
    :param rate_per_s: most requests a second; 0 for no such limit.
    :param contact: mail address or URL that the operator of a server finds in the User-Agent.
    :param user_agent: the whole User-Agent instead.
    :param backoff_s: pause after the first failure; it doubles with each further one ...
    :param max_backoff_s: ... up to this.
    :param absent_s: how long a 404 or an empty tile is believed if the server does not say.
    :param revalidate_s: a tile in memory is used for at least so long before the server is asked
        whether it changed, whatever it says: 'no-cache' would mean with every fix of GNSS.
    :param placeholders: SHA-256 in hexadecimals of the files by which a server says that it has no
        imagery somewhere; transparent, black and white ones are recognised without.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    total_timeout_s: float = 20.0
    max_tile_bytes: int = 8_000_000
    connections: int = 2
    rate_per_s: float = 0.0
    contact: str = MAINTAINERS
    user_agent: str = ''
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    absent_s: float = 3600.0
    revalidate_s: float = 60.0
    placeholders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """
    What a server answered.

    :param headers: by name, in whatever case.
    :param body: unpacked; only the beginning of it if it was cut off.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class BodyLimit:
    """
    How much of an answer is read.

    :param most_bytes: of its body, packed and unpacked.
    :param cut: whether a longer one is cut off; otherwise it is an error.
    """

    most_bytes: int
    cut: bool = False


class HttpClient:
    """
    GET requests to one source; any number of threads may share it.

    :param settings: time-outs, limits and who we say we are.
    :param secrets: what no log may show.
    :param leaks_key: says of an address whether it holds a secret.
    """

    def __init__(self, settings: HttpSettings, secrets: tuple[str, ...] = (),
                 leaks_key: Callable[[str], bool] = lambda url: False):
        self._settings = settings
        self._leaks_key = leaks_key
        self._lock = threading.Lock()
        self._attempts: set[Attempt] = set()
        self._turn_s = 0.0  # monotonic; when the next request may begin
        self._closed = False
        self._closing = threading.Event()
        connections.keep_out_of_logs(secrets)
        connections.join(self)

    def get(self, url: str, headers: Mapping[str, str],
            limit: Callable[[int, Mapping[str, str]], BodyLimit]) -> Answer:
        """
        Return what a server answers, redirects followed.

        :param headers: to be sent beside our own.
        :param limit: says from status and headers how much is read, or raises `TileProblem`.
        :raises TileProblem: whatever goes wrong.
        """
        self._wait_for_turn()
        attempt = Attempt(self._settings.total_timeout_s)
        self._begin(attempt)
        try:
            with attempt:
                return self._get(url, headers, limit, attempt)
        except TileProblem:
            raise
        except (exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
            # The library's messages carry the whole URL, so only the kind of error is passed on.
            raise TileProblem(
                'timed out' if attempt.broken_off else _what_happened(error)) from None
        finally:
            with self._lock:
                self._attempts.discard(attempt)

    def close(self) -> None:
        """Break off what is under way and refuse to start anything new."""
        with self._lock:
            self._closed = True
            attempts = list(self._attempts)
        self._closing.set()
        for attempt in attempts:
            attempt.break_off()
        connections.leave(self)

    def _wait_for_turn(self) -> None:
        """Wait until the rate allows one more request."""
        if not self._settings.rate_per_s:
            return
        with self._lock:
            now_s = time.monotonic()
            turn_s = max(now_s, self._turn_s)
            self._turn_s = turn_s + 1 / self._settings.rate_per_s
        self._closing.wait(turn_s - now_s)

    def _begin(self, attempt: Attempt) -> None:
        with self._lock:
            if self._closed:
                raise TileProblem('is closed')
            self._attempts.add(attempt)

    def _get(self, url: str, headers: Mapping[str, str], limit, attempt: Attempt) -> Answer:
        for _ in range(_REDIRECTS + 1):
            response = self._open(url, headers, attempt)
            try:
                target = response.get_redirect_location()
                if not target:
                    return self._receive(response, limit, attempt)
                url = self._allowed_redirect(url, target)
                attempt.redirected = True
            finally:
                attempt.let_go()
                response.close()  # a connection in an unknown state is not worth keeping ...
                response.release_conn()  # but its place in the pool is given back
        raise TileProblem(f'redirected more than {_REDIRECTS} times')

    def _open(self, url: str, headers: Mapping[str, str],
              attempt: Attempt) -> urllib3.BaseHTTPResponse:
        left_s, settings = attempt.remaining_s(), self._settings
        timeout = urllib3.Timeout(connect=min(left_s, settings.connect_timeout_s),
                                  read=min(left_s, settings.read_timeout_s))
        address, login = _without_login(url)
        pool = connections.pool_for(address, settings.connections)
        connections.require_allowed(address, attempt)
        return pool.request(
            'GET', address, headers={**self._headers(), **headers, **login}, timeout=timeout,
            pool_timeout=left_s, retries=False, redirect=False, preload_content=False,
            decode_content=False)

    def _headers(self) -> dict[str, str]:
        contact = f' (+{self._settings.contact})' if self._settings.contact else ''
        return {
            'User-Agent': self._settings.user_agent or f'fg2_ros/{__version__}{contact}',
            'Accept-Encoding': 'identity'}

    def _allowed_redirect(self, url: str, target: str) -> str:
        try:
            target = urljoin(url, target)
            old, new = urlsplit(url), urlsplit(target)
            elsewhere = (new.hostname, new.port) != (old.hostname, old.port)
        except ValueError:
            raise TileProblem('redirected to a strange address') from None
        if new.scheme != 'https' and new.scheme != old.scheme:
            known = new.scheme in ('data', 'file', 'ftp', 'http')
            raise TileProblem(f'redirected to a {new.scheme if known else "strange"} address')
        if elsewhere and self._leaks_key(target):
            raise TileProblem('redirected to another host, which would see the API key')
        return target

    def _receive(self, response, limit, attempt: Attempt) -> Answer:
        status, headers = response.status, response.headers
        if status in (204, 304):
            _reuse(response, attempt)
            return Answer(status, headers, b'')
        allowed = limit(status, headers)
        body = _body(response, allowed, attempt)
        encoding = headers.get('Content-Encoding', '')
        return Answer(status, headers, unpacked(body, encoding, allowed.most_bytes, allowed.cut))


def _body(response, limit: BodyLimit, attempt: Attempt) -> bytes:
    # `read` would wait for a whole chunk, however slowly it comes. Older releases of urllib3
    # have no `read1`, but the standard library's response inside them does.
    read = getattr(response, 'read1', None) or response._fp.read1
    announced, most = response.headers.get('Content-Length', ''), limit.most_bytes
    too_long = TileProblem(f'sent more than {most} bytes')
    if announced.isdigit() and int(announced) > most and not limit.cut:
        raise too_long
    body = bytearray()
    while chunk := read(_CHUNK_BYTES):
        body += chunk
        if len(body) > most:
            if limit.cut:
                return bytes(body[:most])
            raise too_long
        if time.monotonic() > attempt.deadline_s:
            raise TileProblem('timed out')
    if attempt.broken_off:
        raise TileProblem('timed out')
    if announced.isdigit() and len(body) < int(announced):
        raise TileProblem('broke off its answer')
    _reuse(response, attempt)
    return bytes(body)


def _reuse(response, attempt: Attempt) -> None:
    """Let the connection of a response that has come to its end serve the next tile."""
    attempt.let_go()
    response.drain_conn()
    response.release_conn()


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without the user name and password in it, and a header that has them."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition('@')
    if not login:
        return url, {}
    return (parts._replace(netloc=host).geturl(),
            urllib3.make_headers(basic_auth=unquote(login)))


def _what_happened(error: Exception) -> str:
    if isinstance(error, exceptions.ProxyError):
        return 'cannot be reached through the proxy'
    if isinstance(error, exceptions.NewConnectionError):  # in urllib3 1 also a time-out: go first
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ConnectionRefusedError):
            return 'refused the connection'
        return 'cannot be reached'
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return 'timed out'
    if isinstance(error, exceptions.SSLError):
        unknown = 'CERTIFICATE_VERIFY_FAILED' in str(error)
        return 'failed the certificate check' if unknown else 'failed the TLS handshake'
    if isinstance(error, exceptions.EmptyPoolError):
        return 'is busy with other downloads'
    return 'broke off its answer'
