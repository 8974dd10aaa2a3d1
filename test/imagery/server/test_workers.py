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

"""Background work: the most urgent first, bounded, not ended by an accident; and pauses."""

import logging
import threading
import time

from fg2_ros.imagery.log_throttle import LogThrottle
from fg2_ros.imagery.server.backoff import Backoff
from fg2_ros.imagery.server.workers import TileWorkers
from fg2_ros.imagery.tiles.address import TileId


def tiles(first, last):
    return [TileId(18, x, 0) for x in range(first, last)]


def rank(tile):
    return tile.x


def test_the_most_urgent_is_next_also_if_its_rank_changed_while_it_waited():
    handled, begun, released = [], threading.Event(), threading.Event()
    ranks = {tile: tile.x for tile in tiles(0, 5)}
    ended = threading.Event()

    def handle(tile):
        begun.set()
        released.wait(60)
        handled.append(tile.x)
        if len(handled) == len(ranks):
            ended.set()

    lane = TileWorkers('test', 1, handle, ranks.get)
    lane.push(tiles(0, 1))
    begun.wait(60)
    lane.push(tiles(2, 5))
    lane.push(tiles(1, 3))
    ranks[TileId(18, 3, 0)] = -1
    released.set()
    assert ended.wait(60)
    lane.stop()
    assert lane.join(60)
    assert handled == [0, 3, 1, 2, 4]


def test_too_many_wishes_drop_the_least_urgent():
    blocked = threading.Event()
    lane = TileWorkers('test', 1, lambda tile: blocked.wait(60), lambda tile: -tile.x)
    lane.push(tiles(0, 2000))
    dropped = lane.push(tiles(2000, 4000))
    assert dropped and all(tile.x < 2000 for tile in dropped)
    lane.stop()
    blocked.set()
    assert lane.join(60)


def test_an_accident_does_not_end_the_thread(caplog):
    handled = threading.Event()

    def handle(tile):
        if tile.x == 0:
            raise RuntimeError('boom')
        handled.set()

    lane = TileWorkers('test', 1, handle, rank)
    lane.push(tiles(0, 1))
    lane.push(tiles(1, 2))
    assert handled.wait(60)
    lane.stop()
    assert lane.join(60)


def test_pauses_double_up_to_the_longest_and_end_with_a_success():
    backoff = Backoff(10.0, 60.0)
    pauses = []
    for _ in range(5):
        backoff.failed(time.monotonic())
        pauses.append(backoff.remaining_s())
    for pause, expected in zip(pauses, (10, 20, 40, 60, 60)):
        assert 0.89 * expected < pause < 1.11 * expected
    assert backoff.failing
    backoff.succeeded()
    assert backoff.remaining_s() == 0 and not backoff.failing


def test_attempts_that_fail_together_count_once_and_the_server_s_wish_is_bounded():
    backoff = Backoff(10.0, 60.0)
    began = time.monotonic()
    backoff.failed(began)
    backoff.failed(began)
    assert backoff.remaining_s() < 11.1
    backoff.failed(began, retry_after_s=1e9)
    assert 3590 < backoff.remaining_s() <= 3600


def test_a_notice_is_not_repeated(caplog):
    notices = LogThrottle(logging.getLogger('test'))
    for _ in range(3):
        notices.warn('first')
    notices.warn('second')
    assert [record.getMessage() for record in caplog.records] == ['first', 'second']
    for i in range(1000):
        notices.warn(f'number {i}')
    assert len(caplog.records) == 20
