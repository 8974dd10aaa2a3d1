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

"""Imagery around and ahead of the vehicle is there before it is needed; nothing waits for it."""

from test.helpers.http_stub import address, GREY_TILE, HttpStub, Reply
import threading

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import ImageryError
from fg2_ros.imagery.lookahead import Lookahead, Motion
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.imagery.tiles.mosaic import footprint
import numpy as np
import pytest

FRAME = MapFrame(47.0, 8.5)
SIZE_M, SIZE_PX = 56.0, 256
RING_M, AHEAD_S = 20.0, 6.0
WAIT_S = 60.0


class Clock:
    """A clock that goes only when told."""

    now = 0.0

    def __call__(self):
        """Return the time in seconds."""
        return self.now


class Recorder:
    """Imagery that only notes what is wished for."""

    def __init__(self):
        """Have nothing under way."""
        self.pending, self.wishes = 0, []

    def status(self):
        """Return what is under way."""
        return ImageryStatus('recorder', pending=self.pending)

    def request(self, view):
        """Note a wish."""
        self.wishes.append((view.centre_m, view.size_m, view.size_px))


class WatchedServer(HttpStub):
    """Has a grey tile everywhere; tells when it was asked for certain tiles."""

    def __init__(self, may_answer=None):
        """Answer at once, or once an event is set."""
        self.asked = []
        self._changed = threading.Condition()
        self._may_answer = may_answer
        super().__init__(self._answer)

    def wait_for(self, tiles):
        """Return whether it is asked for all of some tiles in time."""
        with self._changed:
            return self._changed.wait_for(lambda: set(tiles) <= set(self.asked), WAIT_S)

    def _answer(self, path, headers):
        with self._changed:
            self.asked.append(TileId(*address(path)))
            self._changed.notify_all()
        if self._may_answer:
            self._may_answer.wait(WAIT_S)
        return Reply(body=GREY_TILE)


def lookahead(imagery, clock, ring_m=RING_M, ahead_s=AHEAD_S, size_px=SIZE_PX):
    """Return a lookahead."""
    return Lookahead(imagery, SIZE_M, size_px, ring_m, ahead_s, clock)


def drive(look, clock, velocity, steps, frame=FRAME, step_s=0.5):
    """Report the places along a straight line; return the last."""
    for step in range(steps):
        clock.now += step_s
        place = tuple(np.multiply(velocity, step * step_s))
        look.request(frame, place)
    return place


def tiles_of(imagery, centre_m):
    """Return the tiles that a patch needs."""
    return footprint(PatchView(FRAME, centre_m, SIZE_M, SIZE_PX), imagery.store.layout()).addresses


def test_tiles_ahead_are_there_before_the_vehicle_is(open_imagery):
    """Every half second, all along a drive with a turn, none is missing where it arrives."""
    clock, late = Clock(), 0
    velocities = [(12.0, 5.0)] * 16 + [(-4.0, 12.0)] * 16
    places = np.cumsum(np.multiply(velocities, 0.5), axis=0)
    with WatchedServer() as server:
        imagery = open_imagery(server.template)
        look = lookahead(imagery, clock)
        for step, (place, velocity) in enumerate(zip(places, velocities)):
            clock.now += 0.5
            if step > 0:
                late += len(set(tiles_of(imagery, place)) - set(server.asked))
            look.request(FRAME, tuple(place))
            wanted = set(tiles_of(imagery, place))
            if step % 16 > 9:  # the course has been the same for longer than the memory of it
                wanted |= set(tiles_of(imagery, place + np.multiply(velocity, AHEAD_S)))
            assert server.wait_for(wanted)
            while imagery.status().pending:
                imagery.patch(PatchView(FRAME, place, SIZE_M, SIZE_PX), WAIT_S)
        assert late == 0
        assert len(server.asked) == len(set(server.asked)) == imagery.status().downloads


def test_nothing_waits_for_a_slow_server(open_imagery):
    """Every answer is held back until the drive is over: whoever waited would wait for ever."""
    may_answer, clock = threading.Event(), Clock()
    with WatchedServer(may_answer) as server:
        imagery = open_imagery(server.template)
        place = drive(lookahead(imagery, clock), clock, (20.0, 0.0), 40)
        wished = imagery.status().pending
        may_answer.set()
        patch = imagery.patch(PatchView(FRAME, place, SIZE_M, SIZE_PX), WAIT_S)
        assert patch.valid is None
        # With the ring around, what lies ahead, and coarser ones if it took a second in all.
        on_the_way = {tile for east_m in np.arange(0.0, place[0] + 1, 10.0)
                      for tile in tiles_of(imagery, (east_m, 0.0))}
        assert wished < 4 * len(on_the_way)


def test_the_patch_of_now_goes_first_then_the_nearest():
    """The source works through the newest wish first, so the most urgent is wished for last."""
    imagery, clock = Recorder(), Clock()
    look = lookahead(imagery, clock)
    drive(look, clock, (15.0, 0.0), 8)
    clock.now += 2.5
    imagery.wishes.clear()
    look.request(FRAME, (90.0, 0.0))
    *outlook, now = imagery.wishes
    assert now == ((90.0, 0.0), SIZE_M, SIZE_PX)
    ahead_m = np.array([centre_m for centre_m, *_ in outlook]) - now[0]
    assert np.all(np.diff(ahead_m[:, 0]) <= 0) and not ahead_m[:, 1].any()
    assert ahead_m[0, 0] >= 15.0 * AHEAD_S * 0.99 and ahead_m[-1, 0] == 0
    assert np.all(-np.diff(ahead_m[:, 0]) < RING_M + 0.5)  # each reaches as far as to the next
    assert all(size_m >= SIZE_M + 2 * RING_M for _, size_m, _ in outlook)


def test_wishes_have_the_resolution_of_the_patch():
    """Another one could mean tiles of another zoom, of no use to the patch."""
    imagery, clock = Recorder(), Clock()
    drive(lookahead(imagery, clock, ring_m=17.3), clock, (15.0, 0.0), 8)
    for _, size_m, size_px in imagery.wishes:
        assert size_m / size_px == pytest.approx(SIZE_M / SIZE_PX, rel=1e-12)


def test_a_slow_source_is_told_where_the_vehicle_is_now():
    """What it still has to do for places left behind keeps nothing from being asked for."""
    imagery, clock = Recorder(), Clock()
    imagery.pending = 1
    look = lookahead(imagery, clock)
    drive(look, clock, (15.0, 0.0), 20)
    rings = [wish[0][0] for wish in imagery.wishes if wish[1] > SIZE_M]
    assert max(rings) > 15.0 * clock.now and min(rings[-5:]) > 15.0 * (clock.now - 3.0)


@pytest.mark.parametrize('size_px', [256, 630, 1400])
def test_wishes_are_bounded_at_any_speed_and_setting(size_px):
    imagery, clock = Recorder(), Clock()
    look = lookahead(imagery, clock, ring_m=900.0, ahead_s=120.0, size_px=size_px)
    drive(look, clock, (60.0, 60.0), 9)
    imagery.wishes.clear()
    drive(look, clock, (60.0, 60.0), 1)
    pixels = {tuple(np.floor(np.add(centre, offset) / SIZE_M * size_px / 64))
              for centre, size_m, _ in imagery.wishes
              for offset in np.mgrid[-size_m / 2:size_m / 2:40j, -size_m / 2:size_m / 2:40j]
              .reshape(2, -1).T}
    assert len(pixels) * 64 ** 2 < 5_000_000
    assert max(wish[2] for wish in imagery.wishes) <= 1500


def test_a_vehicle_that_stands_asks_again_only_after_a_while():
    """Noise of GNSS is no course; failed tiles are tried again."""
    imagery, clock, noise = Recorder(), Clock(), np.random.default_rng(0)
    look = lookahead(imagery, clock)
    for _ in range(100):
        clock.now += 0.1
        look.request(FRAME, tuple(noise.normal(0, 0.5, 2)))
    rings = [wish for wish in imagery.wishes if wish[1] > SIZE_M]
    assert 4 <= len(rings) <= 6
    assert all(np.hypot(*wish[0]) < 3.0 for wish in rings)


def test_motion_is_the_slope_of_the_last_seconds():
    clock, noise = Clock(), np.random.default_rng(1)
    motion = Motion(clock)
    for step in range(200):
        clock.now = step * 0.1
        turned = step >= 100
        motion.see(FRAME, (10.0 * clock.now if not turned else 100.0,
                           0.0 if not turned else 8.0 * (clock.now - 10.0)))
    assert motion.velocity_mps() == pytest.approx([0.0, 8.0], abs=1e-6)
    for step in range(200):
        clock.now += 0.1
        motion.see(FRAME, tuple(np.multiply(clock.now, (3.0, -4.0)) + noise.normal(0, 1.0, 2)))
    assert motion.velocity_mps() == pytest.approx([3.0, -4.0], abs=0.6)


@pytest.mark.parametrize('frame, place_m', [(FRAME, (5000.0, 0.0)), (MapFrame(48, 9), (0.0, 0.0))])
def test_a_jump_is_no_speed(frame, place_m):
    clock = Clock()
    motion = Motion(clock)
    for step in range(6):
        clock.now = step * 0.5
        motion.see(FRAME, (step * 5.0, 0.0))
    assert motion.velocity_mps() == pytest.approx([10.0, 0.0])
    clock.now += 0.5
    motion.see(frame, place_m)
    assert not motion.velocity_mps().any()


def test_the_end_of_the_tiles_is_told_where_it_is_reached(grey_server, open_imagery):
    frame = MapFrame(mercator.MAX_LATITUDE_DEG - 0.002, 8.5)  # 223 m to go
    imagery, clock = open_imagery(grey_server.template, max_zoom=12), Clock()
    look = lookahead(imagery, clock)
    drive(look, clock, (0.0, 15.0), 20, frame)  # it looks beyond, and goes on
    with pytest.raises(ImageryError, match='of latitude'):
        look.request(frame, (0.0, 250.0))


def test_a_ring_that_does_not_fit_is_left_out_and_told_once(grey_server, open_imagery, caplog):
    imagery, clock = open_imagery(grey_server.template, memory_bytes=6_000_000), Clock()
    drive(lookahead(imagery, clock, ring_m=100.0), clock, (0.0, 15.0), 8)
    assert caplog.text.count('that there is room for') == 1
    assert imagery.patch(PatchView(FRAME, (0.0, 50.0), SIZE_M, SIZE_PX), WAIT_S).valid is None
