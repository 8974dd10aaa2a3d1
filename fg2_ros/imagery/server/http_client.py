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

"""One tile over HTTP: bounded in time and size, polite, and without secrets in its messages."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
import re
import threading
import time
from urllib.parse import unquote, urljoin, urlsplit

from fg2_ros.imagery.server import connections
from fg2_ros.imagery.server.connections import Attempt
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.decoding import TileProblem
from fg2_ros.settings import MAINTAINERS
from fg2_ros.version import __version__
import urllib3
from urllib3 import exceptions

_REDIRECTS = 3
_CHUNK_BYTES = 1 << 16
_NO_IMAGE_TYPES = {'html': 'HTML', 'xhtml': 'HTML', 'xml': 'XML', 'json': 'JSON'}


@dataclass(frozen=True)
class HttpSettings:
    """
    How a tile server is treated.

    :param connect_timeout_s: longest time to connect.
    :param read_timeout_s: longest silence in an answer.
    :param total_timeout_s: longest time for a whole tile.
    :param max_tile_bytes: largest body that is accepted.
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
    contact: str = MAINTAINERS
    user_agent: str = ''
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    absent_s: float = 3600.0
    revalidate_s: float = 60.0
    placeholders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Download:
    """
    What a server answered.

    :param data: the encoded tile; None if the one we have is still the current one.
    :param etag: the tile's ETag, or ''.
    :param fresh_s: how long it may be used before asking again; None if the server does not say.
    :param may_store: whether it may be kept on disk.
    :param modified: the tile's Last-Modified, or ''.
    """

    data: bytes | None
    etag: str
    fresh_s: float | None
    may_store: bool
    modified: str = ''


class Downloader:
    """
    Fetches tiles of one source; any number of threads may share it.

    :param source: the tile pyramid.
    :param settings: time-outs, limits and who we say we are.
    """

    def __init__(self, source: TileSource, settings: HttpSettings):
        self._source = source
        self._settings = settings
        self._lock = threading.Lock()
        self._attempts: set[Attempt] = set()
        self._closed = False
        connections.keep_out_of_logs(source.secrets())
        connections.join(self)

    def fetch(self, tile: TileId, etag: str = '', modified: str = '') -> Download:
        """
        Return a tile's bytes, unchecked.

        :param etag: of the copy we have; then the answer may be that it is current.
        :param modified: Last-Modified of that copy.
        :raises TileProblem: whatever goes wrong.
        """
        attempt = Attempt(self._settings.total_timeout_s)
        self._begin(attempt)
        try:
            with attempt:
                return self._fetch(self._source.url(tile), _conditions(etag, modified), attempt)
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
        for attempt in attempts:
            attempt.break_off()
        connections.leave(self)

    def _begin(self, attempt: Attempt) -> None:
        with self._lock:
            if self._closed:
                raise TileProblem('is closed')
            self._attempts.add(attempt)

    def _fetch(self, url: str, headers: dict[str, str], attempt: Attempt) -> Download:
        for _ in range(_REDIRECTS + 1):
            response = self._open(url, headers, attempt)
            try:
                target = response.get_redirect_location()
                if not target:
                    return self._receive(response, attempt)
                url = self._allowed_redirect(url, target)
            finally:
                attempt.let_go()
                response.close()  # a connection in an unknown state is not worth keeping ...
                response.release_conn()  # but its place in the pool is given back
        raise TileProblem(f'redirected more than {_REDIRECTS} times')

    def _open(self, url: str, headers: dict[str, str],
              attempt: Attempt) -> urllib3.BaseHTTPResponse:
        left_s, settings = attempt.remaining_s(), self._settings
        timeout = urllib3.Timeout(connect=min(left_s, settings.connect_timeout_s),
                                  read=min(left_s, settings.read_timeout_s))
        address, login = _without_login(url)
        return connections.pool_for(address).request(
            'GET', address, headers={**self._headers(), **headers, **login}, timeout=timeout,
            pool_timeout=left_s, retries=False, redirect=False, preload_content=False,
            decode_content=False)

    def _headers(self) -> dict[str, str]:
        contact = f' (+{self._settings.contact})' if self._settings.contact else ''
        return {
            'User-Agent': self._settings.user_agent or f'fg2_ros/{__version__}{contact}',
            'Accept': 'image/webp,image/png,image/jpeg',
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
        if elsewhere and self._source.leaks_key(target):
            raise TileProblem('redirected to another host, which would see the API key')
        return target

    def _receive(self, response, attempt: Attempt) -> Download:
        status, headers = response.status, response.headers
        fresh_s = _fresh_s(headers)
        if status in (204, 404, 410):
            self._spare_connection(response, attempt)
            raise TileProblem(f'answered {status}', absent=True, believe_s=fresh_s)
        if status not in (200, 304):
            raise TileProblem(f'answered {status}',
                              retry_after_s=_seconds(headers.get('Retry-After')))
        if status == 200:
            _refuse_other_types(headers.get('Content-Type', ''))
            data = self._body(response, attempt)
        else:
            data = None
            _reuse(response, attempt)
        return Download(data, headers.get('ETag', ''), fresh_s,
                        may_store='no-store' not in headers.get('Cache-Control', '').lower(),
                        modified=headers.get('Last-Modified', ''))

    def _spare_connection(self, response, attempt: Attempt) -> None:
        """Read the page that comes with an error if it is short: the connection stays usable."""
        announced = response.headers.get('Content-Length', '0' if response.status == 204 else '')
        shortest = min(_CHUNK_BYTES, self._settings.max_tile_bytes)
        if announced.isdigit() and int(announced) <= shortest:
            self._body(response, attempt)

    def _body(self, response, attempt: Attempt) -> bytes:
        # `read` would wait for a whole chunk, however slowly it comes. Older releases of urllib3
        # have no `read1`, but the standard library's response inside them does.
        read = getattr(response, 'read1', None) or response._fp.read1
        announced, most = response.headers.get('Content-Length', ''), self._settings.max_tile_bytes
        too_long = TileProblem(f'sent more than {most} bytes')
        if announced.isdigit() and int(announced) > most:
            raise too_long
        body = bytearray()
        while chunk := read(_CHUNK_BYTES):
            body += chunk
            if len(body) > most:
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


def _conditions(etag: str, modified: str) -> dict[str, str]:
    conditions = {'If-None-Match': etag, 'If-Modified-Since': modified}
    return {name: value for name, value in conditions.items() if value}


def _without_login(url: str) -> tuple[str, dict[str, str]]:
    """Return an address without the user name and password in it, and a header that has them."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition('@')
    if not login:
        return url, {}
    return (parts._replace(netloc=host).geturl(),
            urllib3.make_headers(basic_auth=unquote(login)))


def _refuse_other_types(content_type: str) -> None:
    """
    Refuse what says that it is no image before any of it is read.

    Many servers do not know their images for what they are, so only what is surely none counts.
    """
    kind = re.split(r'[/+._]', content_type.partition(';')[0].strip().lower())[-1]
    if kind in _NO_IMAGE_TYPES:
        raise TileProblem(f'sent {_NO_IMAGE_TYPES[kind]} instead of an image')


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


def _fresh_s(headers) -> float | None:
    """Return for how long an answer is current (RFC 9111, 4.2.1); None if it does not say."""
    control = headers.get('Cache-Control', '').lower()
    if 'no-cache' in control:
        return 0.0
    max_age = re.search(r'(?<![\w-])max-age="?(\d{1,10})', control)
    if max_age:
        return max(0.0, float(max_age.group(1)) - (_seconds(headers.get('Age')) or 0.0))
    if 'Expires' not in headers:
        return None
    now = _unix_time(headers.get('Date', '')) or time.time()  # the server's clock: it set Expires
    until = _unix_time(headers['Expires'])
    return max(0.0, until - now) if until is not None else 0.0  # '0' and nonsense: out of date


def _seconds(value: str | None) -> float | None:
    """Return the seconds from now that a header of seconds or a date means; None if neither."""
    if value is None:
        return None
    if re.fullmatch(r'\d{1,10}', value.strip()):
        return float(value)
    until = _unix_time(value)
    return None if until is None else max(0.0, until - time.time())


def _unix_time(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
