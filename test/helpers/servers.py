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

"""Fixtures: tile servers and sources that are closed at the end of a test."""

from contextlib import ExitStack
from pathlib import Path
import socket
import tempfile
from test.helpers.cache_kit import MEMORY
from test.helpers.http_stub import GREY_TILE, HttpStub, quick_http, Reply

from fg2_ros.imagery.server.opening import open_server
import pytest


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Let no proxy of the environment stand between the tests and their servers."""
    for name in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def no_resolver(monkeypatch):
    """Know at once that .invalid has no hosts: some resolvers take long to find that out."""
    look_up = socket.getaddrinfo

    def found(host, *arguments, **options):
        if str(host).endswith('.invalid'):
            raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')
        return look_up(host, *arguments, **options)
    monkeypatch.setattr(socket, 'getaddrinfo', found)


@pytest.fixture(autouse=True)
def no_overview(monkeypatch):
    """Let no coarser tiles be asked for because a busy machine is slow."""
    monkeypatch.setattr('fg2_ros.imagery.tiles.pyramid._OUTRUN_S', 0.0)
    monkeypatch.setattr('fg2_ros.imagery.tiles.pyramid._SLOW_S', 1000.0)


@pytest.fixture
def serve():
    """Return a function that starts a stub server from its reply function."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(HttpStub(*arguments))


@pytest.fixture
def folder():
    """Return an empty folder, in memory if there is any."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as path:
        yield Path(path)


@pytest.fixture
def grey_server(serve):
    """Return a server that has a grey tile everywhere; its ``reply`` may be replaced."""
    return serve(lambda path, headers: Reply(body=GREY_TILE))


@pytest.fixture
def open_imagery():
    """Return a function that makes a `TileImagery` with short time-outs."""
    with ExitStack() as stack:
        def open_one(template, cache_path=None, cache_bytes=10_000_000, **options):
            options.setdefault('http', quick_http())
            imagery = open_server(template, cache_path, cache_bytes, **options)
            stack.callback(imagery.close)
            return imagery

        yield open_one
