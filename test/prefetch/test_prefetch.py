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

"""Tiles fetched into a cache, from servers that behave and that do not."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
import socket
from test.helpers.http_stub import address, encoded, GREY_TILE, quick_http, Reply
import threading
import time

from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.server.tile_server_client import TileServerClient
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from fg2_ros.imagery.tiles.address import TileId, TileSource
from fg2_ros.imagery.tiles.mbtiles import row_of
from fg2_ros.prefetch.plan import make_plan, tiles_at
from fg2_ros.prefetch.prefetch import Prefetch, Summary
from fg2_ros.prefetch.routes import Route
import numpy as np
import pytest

WAIT_S = 60.0
ZOOM = 17
STREET = Route((np.array([[47.0, 8.5], [47.001, 8.503]]),))


@pytest.fixture
def cache(tmp_path):
    """Return a tile cache."""
    with_cache = TileCache(tmp_path / 'tiles.mbtiles', 50_000_000, 'test')
    yield with_cache
    with_cache.close()


def source_of(server, **options):
    """Return the source of a stub server."""
    return TileSource(server.template, 'Orthos', **options)


def plan_of(route, margin_m, source, cache, zoom=ZOOM):
    """Return the plan of one zoom."""
    area = tiles_at(route, margin_m, zoom, source.layout)
    return make_plan((area,), read_mbtiles_index(cache.path), source.tile_px)


def prefetched(source, cache, plan, **http):
    """Follow a plan; return the summary, and why it was given up."""
    summary = Summary()
    with Prefetch(source, quick_http(**http), cache) as prefetch:
        for outcome in prefetch.outcomes(plan):
            summary.add(outcome)
    return summary, prefetch.gave_up


def test_everything_is_fetched_once_with_manners(grey_server, cache):
    source = source_of(grey_server)
    plan = plan_of(STREET, 200.0, source, cache)
    assert plan.to_fetch == plan.tiles > 10 and plan.tile_bytes == 20_000
    summary, gave_up = prefetched(source, cache, plan, contact='me@example.org')
    assert not gave_up and summary.fetched == plan.tiles == summary.tried
    assert summary.fetched_bytes == plan.tiles * len(GREY_TILE)
    assert sorted(TileId(*address(path)) for path in grey_server.paths) == sorted(plan)
    assert all('me@example.org' in headers['User-Agent'] for headers in grey_server.headers)
    holdings = read_mbtiles_index(cache.path)
    assert plan.held_in(holdings) == plan.tiles
    again = plan_of(STREET, 200.0, source, cache)
    assert (again.to_fetch, again.held) == (0, plan.tiles)


def test_two_tiles_are_fetched_at_a_time_and_no_more(serve, cache):
    """They go through the barrier in pairs; meanwhile a third would be seen."""
    lock, pair, busy, most = threading.Lock(), threading.Barrier(2), [0], [0]
    waiting = iter(range(10))

    def reply(path, headers):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            waits = next(waiting, None) is not None
        if waits:
            pair.wait(WAIT_S)
        with lock:
            busy[0] -= 1
        return Reply(body=GREY_TILE)

    source = source_of(serve(reply))
    summary, _ = prefetched(source, cache, plan_of(STREET, 300.0, source, cache))
    assert most[0] == 2 and not pair.broken and summary.failed == 0


def test_tiles_out_of_date_are_asked_for_with_their_etag(serve, cache):
    def reply(path, headers):
        if headers.get('If-None-Match') == '"1"':
            return Reply(304, headers={'Cache-Control': 'max-age=1000'})
        return Reply(body=GREY_TILE, headers={'ETag': '"1"', 'Cache-Control': 'max-age=0'})

    source = source_of(serve(reply))
    first = plan_of(STREET, 50.0, source, cache)
    prefetched(source, cache, first)
    second = plan_of(STREET, 50.0, source, cache)
    assert second.to_fetch == first.tiles and second.tile_bytes in (20_000, len(GREY_TILE))
    summary, _ = prefetched(source, cache, second)
    assert (summary.current, summary.fetched) == (first.tiles, 0)
    assert plan_of(STREET, 50.0, source, cache).to_fetch == 0


def test_an_accident_is_told_and_ends_it(grey_server, cache, monkeypatch):
    def break_down(*_):
        raise RuntimeError('S3CRET')

    source = source_of(grey_server)
    plan = plan_of(STREET, 50.0, source, cache)
    monkeypatch.setattr(TileServerClient, 'fetch', break_down)
    summary, gave_up = prefetched(source, cache, plan)
    assert gave_up == 'Orthos: RuntimeError while a tile was handled' and not summary.tried


def test_absent_tiles_are_counted_and_not_asked_for_again(serve, cache):
    def reply(path, headers):
        return Reply(404) if address(path)[1] % 2 else Reply(body=GREY_TILE)

    source = source_of(serve(reply))
    plan = plan_of(STREET, 300.0, source, cache)
    odd = sum(tile.x % 2 for tile in plan)
    summary, _ = prefetched(source, cache, plan)
    assert (summary.absent, summary.fetched, summary.failed) == (odd, plan.tiles - odd, 0)
    again = plan_of(STREET, 300.0, source, cache)
    assert (again.lacking, again.to_fetch) == (odd, 0)


def test_a_failing_server_is_asked_again_later(serve, cache):
    """With the pause it asks for; in the end nothing is missing."""
    troubles = iter([Reply(503), Reply(429, headers={'Retry-After': '1'}), Reply(500),
                     Reply(body=b'<html>sorry</html>')])
    lock, times = threading.Lock(), []

    def reply(path, headers):
        with lock:
            times.append(time.monotonic())
            return next(troubles, Reply(body=GREY_TILE))

    source = source_of(serve(reply))
    plan = plan_of(STREET, 50.0, source, cache)
    summary, gave_up = prefetched(source, cache, plan, backoff_s=0.01, max_backoff_s=0.02)
    assert not gave_up and summary.fetched == plan.tiles
    assert times[-1] - times[0] >= 1.0


def test_one_bad_tile_does_not_keep_the_others_away(serve, cache):
    bad = []

    def reply(path, headers):
        bad.append(path) if not bad else None
        return Reply(500) if path == bad[0] else Reply(body=GREY_TILE)

    source = source_of(serve(reply))
    plan = plan_of(STREET, 100.0, source, cache)
    summary, gave_up = prefetched(source, cache, plan, backoff_s=0.01, max_backoff_s=0.02)
    assert not gave_up and summary.fetched == plan.tiles - 1
    assert dict(summary.reasons) == {'Orthos answered 500': 1}
    assert plan_of(STREET, 100.0, source, cache).to_fetch == 1


def test_a_server_that_always_fails_is_given_up_without_a_storm(serve, cache):
    server = serve(lambda path, headers: Reply(500))
    source = source_of(server)
    plan = plan_of(STREET, 1000.0, source, cache)
    summary, gave_up = prefetched(source, cache, plan, backoff_s=0.01, max_backoff_s=0.02)
    assert 'Orthos answered 500, 16 times in a row' in gave_up
    assert len(server.paths) <= 17 < plan.tiles
    assert summary.tried < plan.tiles and summary.fetched == 0


def test_tiles_that_must_not_be_kept_end_it(serve, cache):
    server = serve(lambda path, headers: Reply(
        body=GREY_TILE, headers={'Cache-Control': 'no-store'}))
    source = source_of(server)
    summary, gave_up = prefetched(source, cache, plan_of(STREET, 1000.0, source, cache))
    assert 'forbids to keep its tiles' in gave_up
    assert summary.fetched == 0 and len(server.paths) <= 2


def test_breaking_off_leaves_what_was_fetched_and_waits_for_nobody(serve, cache):
    """The server is silent from the tenth tile on, and the pause would be an hour."""
    asked = count(1)  # two threads never get the same number

    def reply(path, headers):
        if next(asked) > 9:
            server.stopping.wait(WAIT_S)
        return Reply(body=GREY_TILE)

    server = serve(reply)
    source = source_of(server)
    plan = plan_of(STREET, 1000.0, source, cache)
    done = []
    with pytest.raises(KeyboardInterrupt):
        with Prefetch(source, quick_http(
                read_timeout_s=3600.0, total_timeout_s=3600.0), cache) as prefetch:
            for outcome in prefetch.outcomes(plan):
                done.append(outcome)
                if len(done) == 9:
                    raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if 'prefetch' in thread.name]
    holdings = read_mbtiles_index(cache.path)
    assert plan.held_in(holdings) == 9
    rest = plan_of(STREET, 1000.0, source, cache)
    assert (rest.held, rest.to_fetch) == (9, plan.tiles - 9)


def test_sizes_are_estimated_from_what_is_there(grey_server, cache):
    source = source_of(grey_server)
    assert plan_of(STREET, 500.0, source, cache).tile_bytes == 20_000
    prefetched(source, cache, plan_of(STREET, 500.0, source, cache))
    assert plan_of(STREET, 2000.0, source, cache).tile_bytes == len(GREY_TILE)


def test_tiles_of_the_plan_stay_when_others_make_room(serve, tmp_path):
    """Old ones that are needed again outlive newer ones that are not."""
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    tile = encoded(noise, 'JPEG')
    source = source_of(serve(lambda path, headers: Reply(body=tile)))
    elsewhere = Route((STREET.lines[0] + [1.0, 0.0],))
    cache = TileCache(tmp_path / 'small.mbtiles', 30 * len(tile), 'test')
    for route, margin_m in ((STREET, 100.0), (elsewhere, 100.0), (STREET, 250.0)):
        plan = plan_of(route, margin_m, source, cache)
        prefetched(source, cache, plan)
    assert plan.held >= 4 and plan.to_fetch >= 4
    assert plan.held_in(read_mbtiles_index(cache.path)) == plan.tiles
    other = plan_of(elsewhere, 100.0, source, cache)
    assert other.held < other.tiles
    cache.close()


def test_a_full_disk_ends_it(serve, cache):
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    tile = encoded(noise, 'JPEG')
    server = serve(lambda path, headers: Reply(body=tile))
    source = source_of(server)
    cache._database.execute('PRAGMA max_page_count = 30')  # what SQLite takes for a full disk
    _, gave_up = prefetched(source, cache, plan_of(STREET, 1000.0, source, cache))
    assert str(cache.path) in gave_up and 'full' in gave_up
    assert len(server.paths) <= 4


def test_two_that_fill_one_cache_ask_for_each_tile_once(serve, tmp_path):
    """Also for those that the other one is just fetching, and for those that do not exist."""
    server = serve(lambda path, headers: server.stopping.wait(0.01) or (
        Reply(404) if address(path)[1] % 3 == 0 else Reply(body=GREY_TILE)))
    source, path = source_of(server), tmp_path / 'tiles.mbtiles'
    caches = [TileCache(path, 50_000_000, 'test') for _ in range(2)]
    plans = [plan_of(STREET, 600.0, source, cache) for cache in caches]
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(
            lambda cache, plan: prefetched(source, cache, plan)[0], caches, plans)
    asked = [TileId(*address(path)) for path in server.paths]
    assert sorted(asked) == sorted(plans[0]) and len(asked) > 30
    assert first.tried == second.tried == plans[0].tiles and first.failed == second.failed == 0
    assert first.absent == second.absent == sum(tile.x % 3 == 0 for tile in plans[0])
    assert first.fetched > 0 < second.fetched
    for cache in caches:
        cache.close()


@pytest.mark.parametrize('owner', [
    f'{socket.gethostname()} 4194999 gone', 'elsewhere 1 gone', 'nonsense'])
def test_tiles_of_one_that_crashed_are_taken_over(owner, grey_server, cache):
    """A process that is no more has none; of others nobody knows, but their time is over."""
    source = source_of(grey_server)
    plan = plan_of(STREET, 100.0, source, cache)
    until = time.time() + (20 if '4194999' in owner else -1)
    with cache._database as database:
        database.executemany('INSERT INTO fg2_leases VALUES (?, ?, ?, ?, ?)', [
            (*row_of(tile), owner, until) for tile in plan])
    summary, gave_up = prefetched(source, cache, plan)
    assert summary.fetched == plan.tiles and not gave_up
    assert cache._database.execute('SELECT count(*) FROM fg2_leases').fetchone() == (0,)


def test_a_lease_is_kept_from_others_until_it_is_given_back(tmp_path):
    mine, others = (TileCache(tmp_path / 'c.mbtiles', 10_000_000, 'test') for _ in range(2))
    tile = TileId(ZOOM, 5, 6)
    assert mine.lease(tile, 60.0) and mine.lease(tile, 60.0) and not others.lease(tile, 60.0)
    mine.give_back(tile)
    assert others.lease(tile, 60.0) and not mine.lease(tile, 60.0)
    with others._database as database:
        database.execute('UPDATE fg2_leases SET until = ?', (time.time() + 1e6,))
    assert mine.lease(tile, 60.0), 'the clock was put back'
    mine.close()
    others.close()
