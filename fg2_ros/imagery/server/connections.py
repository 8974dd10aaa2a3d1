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

"""Connections to tile servers: limited per host, through proxies, interruptible."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import unquote, urlsplit
import urllib.request

from fg2_ros.imagery.server.networks import kind_of, kinds_of_host, PUBLIC
from fg2_ros.imagery.tiles.decoding import TileProblem
import urllib3

_HOSTS = 32
_LONGEST_IDLE_S = 15.0  # mobile networks forget connections without telling either end
_under_way = threading.local()  # .attempt: that of this thread
_lock = threading.Lock()
_pools: dict[tuple[str, int], urllib3.PoolManager] = {}  # by proxy ('': none) and connections
_users: set[object] = set()
os.register_at_fork(after_in_child=_pools.clear)  # the sockets are the parent's


class Attempt:
    """
    One request with its redirects, which ends when its time is up: use as a context manager.

    Time-outs of sockets begin anew with every byte, so the connection is broken off from outside.
    A redirect leads out of the network that the first server is in only into the public one.

    :param timeout_s: longest time it may take.
    """

    def __init__(self, timeout_s: float):
        """Prepare; the time begins now."""
        self.deadline_s = time.monotonic() + timeout_s
        self.broken_off = False
        self.redirected = False
        self._network = ''  # that the first server is in, see `networks`
        self._connection = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(timeout_s, self.break_off)
        self._timer.daemon = True

    def __enter__(self) -> Attempt:
        """Take the connections that this thread opens from now on."""
        _under_way.attempt = self
        self._timer.start()
        return self

    def __exit__(self, *_) -> None:
        """Let go of what is left."""
        self._timer.cancel()
        self.let_go()
        del _under_way.attempt

    def use(self, connection) -> None:
        """
        Note the connection that is used from now on.

        :raises OSError: if the attempt is over already.
        """
        with self._lock:
            if self.broken_off:
                raise OSError('broken off')
            self._connection = connection

    def require_network(self, network: str) -> None:
        """
        Accept the network that a server is in.

        :raises TileProblem: if a redirect must not lead there.
        """
        if not self.redirected:
            self._network = self._network or network
        elif network not in (PUBLIC, self._network):
            raise TileProblem(f'redirected into the {network} network')

    def let_go(self) -> None:
        """Give the connection back: another attempt may use it."""
        with self._lock:
            self._connection = None

    def break_off(self) -> None:
        """End the attempt at once; may be called from any thread."""
        with self._lock:
            self.broken_off = True
            if self._connection is not None:
                _wake_reader(self._connection)

    def remaining_s(self) -> float:
        """Return how much of its time is left, a little at least."""
        return max(0.05, self.deadline_s - time.monotonic())


def join(user: object) -> None:
    """Count a user of the connections."""
    with _lock:
        _users.add(user)


def leave(user: object) -> None:
    """Close what is idle if this was the last user."""
    with _lock:
        _users.discard(user)
        unused = [] if _users else list(_pools.values())
        if unused:
            _pools.clear()
    for pool in unused:
        pool.clear()


def pool_for(url: str, count: int) -> urllib3.PoolManager:
    """
    Return the connections that reach an address, as the environment's proxy settings say.

    These are ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``; this machine itself
    is reached directly.

    :param count: most connections to its host, of all that ask for as many together.
    :raises TileProblem: if the settings make no sense.
    """
    proxy = _proxy_for(url)
    with _lock:
        if (proxy, count) not in _pools:
            try:
                _pools[proxy, count] = _pool(proxy, count)
            except (ValueError, urllib3.exceptions.HTTPError):
                raise TileProblem('cannot be reached: the proxy address in the environment is no '
                                  'http:// or https:// address') from None
        return _pools[proxy, count]


def require_allowed(url: str, attempt: Attempt) -> None:
    """
    Look up, before it is asked for anything, where a redirect leads.

    Where it really led is seen once more when there is a connection, as names may mean one thing
    now and another then; a proxy, though, looks up names by itself.

    :raises TileProblem: if it must not lead there.
    """
    if attempt.redirected:
        for network in kinds_of_host(urlsplit(url).hostname or ''):
            attempt.require_network(network)
    elif _proxy_for(url):
        attempt.require_network(PUBLIC)


def keep_out_of_logs(secrets: tuple[str, ...]) -> None:
    """Black out secrets in what the HTTP library logs: at debug, it logs whole addresses."""
    if not secrets:
        return
    with _lock:
        _SECRET_FILTER.secrets |= set(secrets)
    for name in ('urllib3.connectionpool', 'urllib3.connection', 'urllib3.poolmanager'):
        logging.getLogger(name).addFilter(_SECRET_FILTER)


def peer_of(connected: socket.socket) -> str:
    """Return the numeric address at the other end of a connection."""
    return connected.getpeername()[0]


def _proxy_for(url: str) -> str:
    """Return the address of the proxy for an address; '' for none, as for this machine's own."""
    parts = urlsplit(url)
    host = parts.hostname or ''
    if (host in ('localhost', '::1') or host.startswith('127.')
            or urllib.request.proxy_bypass(parts.netloc.rpartition('@')[2])):
        return ''
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get('all') or ''
    return proxy if not proxy or '://' in proxy else f'http://{proxy}'


def _pool(proxy: str, count: int) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        'num_pools': _HOSTS, 'maxsize': count, 'block': True, 'retries': False}
    pool: urllib3.PoolManager
    if proxy:
        parts = urlsplit(proxy)
        login, _, host = parts.netloc.rpartition('@')
        headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
        pool = urllib3.ProxyManager(
            f'{parts.scheme}://{host}', proxy_headers=headers, **options)
    else:
        pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = {
        'http': _noticed(urllib3.HTTPConnectionPool),
        'https': _noticed(urllib3.HTTPSConnectionPool)}
    return pool


def _noticed(pool_class: Any) -> type:
    """Return a connection pool class whose connections are told to the thread's attempt."""
    class Connection(pool_class.ConnectionCls):

        used_s = -_LONGEST_IDLE_S

        def _new_conn(self):
            connected = super()._new_conn()
            try:
                self._require_network(connected)
            except TileProblem:
                connected.close()
                raise
            return connected

        def connect(self):
            _under_way.attempt.use(self)
            super().connect()
            _under_way.attempt.use(self)  # it may have been broken off before there was a socket

        def putrequest(self, *args, **options):
            _under_way.attempt.use(self)
            if self.sock is not None:  # kept from another attempt, which may have been allowed it
                self._require_network(self.sock)
            self.used_s = time.monotonic()
            return super().putrequest(*args, **options)

        def _require_network(self, connected):
            if not self.proxy:
                _under_way.attempt.require_network(kind_of(peer_of(connected)))

    class Pool(pool_class):

        ConnectionCls = Connection

        def _get_conn(self, timeout=None):
            connection = super()._get_conn(timeout)
            if time.monotonic() - connection.used_s > _LONGEST_IDLE_S:
                connection.close()  # it opens itself anew
            return connection

    Pool.__name__ = pool_class.__name__
    return Pool


def _wake_reader(connection) -> None:
    try:
        # close() would leave the reader waiting, and TLS is not to be ended from another thread.
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
    except (AttributeError, OSError, TypeError):
        pass  # not connected any more


class _SecretFilter(logging.Filter):

    secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: A003
        message = record.getMessage()
        for secret in self.secrets:
            message = message.replace(secret, '***')
        record.msg, record.args = message, ()
        return True


_SECRET_FILTER = _SecretFilter()
