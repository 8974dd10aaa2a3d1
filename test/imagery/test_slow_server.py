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
"""A server slower than the vehicle: coarser imagery serves until the finer is there."""

from dataclasses import replace
from test.helpers.asking import FRAME
from test.helpers.http_stub import address, GREY_TILE, quick_http, Reply
from test.helpers.processes import PATIENCE_S
import threading

from fg2_ros.bench.slow_server import drive
from fg2_ros.geometry import mercator
from fg2_ros.imagery import ImageryNotReady, PatchView, TileImagery
from fg2_ros.imagery.patch import Label
from fg2_ros.imagery.server.opening import open_server
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.store import Lookup, TileLayout
import numpy as np
import pytest

VIEW = PatchView(FRAME, (0.0, 0.0), 71.0, 630)  # zoom 20, 3 or 4 tiles along a side
BEST = 20


@pytest.fixture(autouse=True)
def with_overview(monkeypatch):
    """Let coarser tiles be asked for, as in use."""
    monkeypatch.setattr('fg2_ros.imagery.tiles.pyramid._OUTRUN_S', 10.0)
    monkeypatch.setattr('fg2_ros.imagery.tiles.pyramid._SLOW_S', 1.0)


class SlowStore:
    """Tiles of which those of some zooms come at once, and the others never."""

    label, patch_bytes = Label('slow'), 50_000_000

    def __init__(self, tile_s: float, zooms=()):
        self.tile_s, self.zooms = tile_s, set(zooms)
        self.requests: list[list[TileId]] = []
        self.there: set[TileId] = set()

    def layout(self):
        return TileLayout('slow', 256, 0, BEST)

    def get(self, tiles, tile_px, wait_s=0.0):
        self.request(tiles)
        there = {tile: np.full((256, 256, 3), tile.zoom, np.uint8)
                 for tile in tiles if tile in self.there}
        return Lookup(there, pending=len(tiles) - len(there))

    def request(self, tiles):
        self.requests.append(list(tiles))
        self.there.update(tile for tile in tiles if tile.zoom in self.zooms)

    def lacks(self, tiles):
        return sum(tile not in self.there for tile in tiles)

    def status(self):
        return ImageryStatus('slow')

    def asked(self) -> list[int]:
        """Return the zooms asked for, in the order of the requests."""
        return [tiles[0].zoom for tiles in self.requests if tiles]


def moved(east_m: float) -> PatchView:
    return replace(VIEW, centre_m=(east_m, 0.0))


def test_coarser_imagery_serves_until_finer_is_there():
    store = SlowStore(tile_s=0.2)  # 16 tiles take 3 s
    imagery = TileImagery(store)
    with pytest.raises(ImageryNotReady, match='16 of 16 tiles'):
        imagery.patch(VIEW)
    assert set(store.asked()) == {17, 18, 19, 20}
    for zoom in (17, 19, 20):
        store.zooms.add(zoom)
        for _ in range(2):  # asked for with the first, there with the second
            patch = imagery.patch(VIEW)
        assert np.all(patch.image == zoom) and patch.valid is None
        assert patch.is_coarse == (zoom < 20)
        assert patch.native_resolution_m == pytest.approx(
            mercator.ground_resolution_m(FRAME.datum[0], zoom))


def test_a_quick_server_is_not_asked_for_coarser_imagery():
    store = SlowStore(tile_s=0.05)  # 16 tiles take 0.8 s
    imagery = TileImagery(store)
    for _ in range(5):
        with pytest.raises(ImageryNotReady):
            imagery.patch(VIEW)
        imagery.request(VIEW)
    assert set(store.asked()) == {BEST}


def test_who_waits_long_enough_gets_the_finest_only():
    store = SlowStore(tile_s=0.2)
    with pytest.raises(ImageryNotReady):
        TileImagery(store).patch(VIEW, wait_s=10.0)
    assert set(store.asked()) == {BEST}


def test_a_vehicle_that_outruns_a_quick_server_gets_an_overview():
    """At each place a few tiles are lacking, for a moment only, but the vehicle is gone then."""
    store = SlowStore(tile_s=0.01, zooms=[17])
    imagery = TileImagery(store)
    for step in range(3):
        with pytest.raises(ImageryNotReady):
            imagery.patch(moved(4.0 * step))
    assert set(store.asked()) == {BEST}
    for step in range(3, 20):
        try:
            patch = imagery.patch(moved(4.0 * step))
        except ImageryNotReady:
            assert step == 3
    assert set(store.asked()) == {BEST, 17} and np.all(patch.image == 17)


def test_what_is_asked_for_ahead_is_coarse_as_well_where_the_server_is_slow():
    store = SlowStore(tile_s=0.2)
    TileImagery(store).request(VIEW)
    assert set(store.asked()) == {17, 18, 19, 20}
    overview = {tile for tiles in store.requests for tile in tiles if tile.zoom == 17}
    assert len(overview) >= 4  # it reaches beyond the view


def test_no_coarser_imagery_than_allowed_is_asked_for():
    store = SlowStore(tile_s=0.2)
    imagery = TileImagery(store, coarsest_m=0.5)
    with pytest.raises(ImageryNotReady):
        imagery.patch(VIEW)
    assert set(store.asked()) == {18, 19, 20}


@pytest.fixture
def gated(serve):
    """Return a server that holds its first answer back until it is released, and the release."""
    begun, released = threading.Event(), threading.Event()

    def reply(path, headers):
        if not begun.is_set():
            begun.set()
            released.wait(PATIENCE_S)
        return Reply(body=GREY_TILE)

    server = serve(reply)
    server.begun, server.released = begun, released
    yield server
    released.set()


def test_coarse_tiles_go_before_fine_ones(gated):
    imagery = open_server(gated.template, http=quick_http(connections=1, read_timeout_s=60.0))
    fine = [TileId(18, 10 + i, 10) for i in range(4)]
    imagery.store.request(fine)
    assert gated.begun.wait(PATIENCE_S)
    imagery.store.request([TileId(15, 2, 2)])
    gated.released.set()
    imagery.store.get(fine, 256, PATIENCE_S)
    zooms = [address(path)[0] for path in gated.paths]
    assert zooms[:2] == [18, 15] and sorted(zooms) == [15, 18, 18, 18, 18]
    assert imagery.store.tile_s > 0
    imagery.close()


def test_what_nobody_asks_for_any_more_is_given_up(gated, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.server.fetcher._WANTED_S', -1.0)
    imagery = open_server(gated.template, http=quick_http(connections=1, read_timeout_s=60.0))
    left_behind, ahead = ([TileId(18, x + i, 10) for i in range(4)] for x in (10, 90))
    imagery.store.request(left_behind)
    assert gated.begun.wait(PATIENCE_S)
    monkeypatch.setattr('fg2_ros.imagery.server.fetcher._WANTED_S', 0.0)
    imagery.store.request(ahead)
    gated.released.set()
    imagery.store.get(ahead, 256, PATIENCE_S)
    asked = {TileId(*address(path)) for path in gated.paths}
    assert asked >= set(ahead) and len(asked & set(left_behind)) == 1
    assert not imagery.status().pending
    imagery.close()


def test_as_many_connections_are_used_as_the_source_allows(serve):
    barrier = threading.Barrier(4)

    def reply(path, headers):
        barrier.wait(PATIENCE_S)
        return Reply(body=GREY_TILE)

    server = serve(reply)
    imagery = open_server(server.template, http=quick_http(connections=4, read_timeout_s=60.0))
    tiles = [TileId(18, x, 10) for x in range(4)]
    assert len(imagery.store.get(tiles, 256, PATIENCE_S).tiles) == 4
    assert server.most_connections == 4
    imagery.close()


def test_a_drive_along_a_slow_server_is_counted():
    driven = drive(speed_mps=36.0, delay_s=0.01, duration_s=1.0)
    assert driven.requests > 0 and len(driven.resolutions_m) > 0
    assert 0 <= driven.finest_share <= driven.served_share <= 1
