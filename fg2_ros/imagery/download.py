"""One tile over HTTP: bounded in time and size, polite, and without secrets in its messages."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
import logging
import re
import socket
import threading
import time
from urllib.parse import urljoin, urlsplit
import weakref

from fg2_ros import __version__
from fg2_ros.imagery.decoding import TileProblem
from fg2_ros.imagery.sources import TileId, TileSource
import urllib3
from urllib3 import exceptions

_CONNECTIONS = 2  # a host, as the usage policies of tile services ask for
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
    :param contact: mail address or URL that the operator of a server finds in the User-Agent.
    :param user_agent: the whole User-Agent instead.
    :param backoff_s: pause after the first failure; it doubles with each further one ...
    :param max_backoff_s: ... up to this.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    total_timeout_s: float = 20.0
    max_tile_bytes: int = 8_000_000
    contact: str = ''
    user_agent: str = ''
    backoff_s: float = 1.0
    max_backoff_s: float = 60.0


@dataclass(frozen=True)
class Download:
    """
    What a server answered.

    :param data: the encoded tile; None if the one with our ETag is still the current one.
    :param etag: the tile's ETag, or ''.
    :param fresh_s: how long it may be used before asking again; None if the server does not say.
    :param may_store: whether it may be kept on disk.
    """

    data: bytes | None
    etag: str
    fresh_s: float | None
    may_store: bool


class Downloader:
    """
    Fetches tiles of one source; any number of threads may share it.

    :param source: the tile pyramid.
    :param settings: time-outs, limits and who we say we are.
    """

    def __init__(self, source: TileSource, settings: HttpSettings):
        """Make the connection pool; nothing is opened yet."""
        self._source = source
        self._settings = settings
        self._pool = urllib3.PoolManager(
            num_pools=4, maxsize=_CONNECTIONS, block=True, retries=False)
        self._connections = _OpenConnections()
        self._pool.pool_classes_by_scheme = {
            'http': self._connections.tracked(urllib3.HTTPConnectionPool),
            'https': self._connections.tracked(urllib3.HTTPSConnectionPool)}
        _keep_out_of_logs(source.secrets())

    def fetch(self, tile: TileId, etag: str = '') -> Download:
        """
        Return a tile's bytes, unchecked.

        :param etag: of the copy we have; then the answer may be that it is current.
        :raises TileProblem: whatever goes wrong.
        """
        deadline = time.monotonic() + self._settings.total_timeout_s
        try:
            return self._fetch(self._source.url(tile), etag, deadline)
        except TileProblem:
            raise
        except (exceptions.HTTPError, OSError, ValueError) as error:
            # The library's messages carry the whole URL, so only the kind of error is passed on.
            raise TileProblem(_what_happened(error)) from None

    def close(self) -> None:
        """Break off what is under way and refuse to start anything new."""
        self._connections.break_off()
        self._pool.clear()

    def _fetch(self, url: str, etag: str, deadline: float) -> Download:
        for _ in range(_REDIRECTS + 1):
            response = self._open(url, etag, deadline)
            try:
                target = response.get_redirect_location()
                if not target:
                    return self._receive(response, deadline)
                url = _allowed_redirect(url, target)
            finally:
                response.close()  # a connection in an unknown state is not worth keeping ...
                response.release_conn()  # but its place in the pool is given back
        raise TileProblem(f'redirected more than {_REDIRECTS} times')

    def _open(self, url: str, etag: str, deadline: float) -> urllib3.BaseHTTPResponse:
        settings = self._settings
        left_s = max(0.01, deadline - time.monotonic())
        timeout = urllib3.Timeout(connect=min(left_s, settings.connect_timeout_s),
                                  read=min(left_s, settings.read_timeout_s))
        return self._pool.request(
            'GET', url, headers=self._headers(etag), timeout=timeout, retries=False,
            redirect=False, preload_content=False, decode_content=False)

    def _headers(self, etag: str) -> dict[str, str]:
        contact = f' (+{self._settings.contact})' if self._settings.contact else ''
        headers = {
            'User-Agent': self._settings.user_agent or f'fg2_ros/{__version__}{contact}',
            'Accept': 'image/webp,image/png,image/jpeg',
            'Accept-Encoding': 'identity'}
        return {**headers, 'If-None-Match': etag} if etag else headers

    def _receive(self, response, deadline: float) -> Download:
        status, headers = response.status, response.headers
        if status in (204, 404, 410):
            raise TileProblem(f'answered {status}', absent=True)
        if status not in (200, 304):
            raise TileProblem(f'answered {status}',
                              retry_after_s=_seconds(headers.get('Retry-After')))
        data = self._body(response, deadline) if status == 200 else None
        control = headers.get('Cache-Control', '').lower()
        return Download(data, headers.get('ETag', ''), _fresh_s(control, headers.get('Expires')),
                        may_store='no-store' not in control)

    def _body(self, response, deadline: float) -> bytes:
        # `read` would wait for a whole chunk, however slowly it comes. Older releases of urllib3
        # have no `read1`, but the standard library's response inside them does.
        read = getattr(response, 'read1', None) or response._fp.read1
        body = bytearray()
        while chunk := read(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._settings.max_tile_bytes:
                raise TileProblem(f'sent more than {self._settings.max_tile_bytes} bytes')
            if time.monotonic() > deadline:
                raise TileProblem('timed out')
        response.drain_conn()
        response.release_conn()  # ... and a fully read one serves the next tile
        return bytes(body)


def _allowed_redirect(url: str, target: str) -> str:
    target = urljoin(url, target)
    scheme = urlsplit(target).scheme
    if scheme != 'https' and scheme != urlsplit(url).scheme:
        raise TileProblem(f'redirected to a {scheme or "strange"} address')
    return target


def _what_happened(error: Exception) -> str:
    if isinstance(error, exceptions.NewConnectionError):  # in urllib3 1 also a time-out: go first
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ConnectionRefusedError):
            return 'refused the connection'
        return 'cannot be reached'
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return 'timed out'
    if isinstance(error, exceptions.SSLError):
        return 'failed the certificate check'
    return 'broke off its answer'


def _fresh_s(cache_control: str, expires: str | None) -> float | None:
    if 'no-cache' in cache_control:
        return 0.0
    max_age = re.search(r'max-age=(\d{1,10})', cache_control)
    return float(max_age.group(1)) if max_age else _seconds(expires)


def _seconds(value: str | None) -> float | None:
    """Return the seconds from now that a header of seconds or a date means; None if neither."""
    if value is None:
        return None
    if re.fullmatch(r'\d{1,10}', value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


class _OpenConnections:
    """The open connections of a pool, so that they can be broken off from another thread."""

    def __init__(self):
        self._connections = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def add(self, connection) -> None:
        with self._lock:
            if self._closed:
                raise OSError('closed')
            self._connections.add(connection)

    def break_off(self) -> None:
        with self._lock:
            self._closed = True
            for connection in self._connections:
                _wake_reader(connection)

    def tracked(self, pool_class: type) -> type:
        """Return a connection pool class whose connections are added once they are open."""
        opened = self.add

        class Connection(pool_class.ConnectionCls):

            def connect(self):
                super().connect()
                opened(self)

        return type(pool_class.__name__, (pool_class,), {'ConnectionCls': Connection})


def _wake_reader(connection) -> None:
    try:
        connection.sock.shutdown(socket.SHUT_RDWR)  # close() would leave the reader waiting
    except (AttributeError, OSError):
        pass  # not connected any more


class _SecretFilter(logging.Filter):
    """Blacks out secrets in the records of the HTTP library, which logs whole URLs at debug."""

    secrets: set[str] = set()
    lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: A003
        message = record.getMessage()
        for secret in tuple(self.secrets):
            message = message.replace(secret, '***')
        record.msg, record.args = message, ()
        return True


_SECRET_FILTER = _SecretFilter()


def _keep_out_of_logs(secrets: tuple[str, ...]) -> None:
    if not secrets:
        return
    with _SecretFilter.lock:
        _SecretFilter.secrets.update(secrets)
    for name in ('urllib3.connectionpool', 'urllib3.connection', 'urllib3.poolmanager'):
        logging.getLogger(name).addFilter(_SECRET_FILTER)
