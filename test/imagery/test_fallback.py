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

"""Several sources as one: which one gives the patch, what is waited for, how gaps are filled."""

import dataclasses
from test.helpers.asking import ask_until, is_patch
from test.helpers.http_stub import encoded, GREY_TILE, quick_http, Reply
from test.helpers.local_files import write_folder

from fg2_ros.geometry import mercator
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import (
    AerialPatch, FallbackImagery, ImageryError, ImageryNotReady, RasterImagery)
from fg2_ros.imagery.patch import ImageryGaps, PatchView
from fg2_ros.imagery.status import ImageryStatus, PatchOrigin
from fg2_ros.imagery.stores.opening import open_local
import numpy as np
import pytest

FRAME = MapFrame(47.0, 8.5)
CENTRE, SIZE_M, SIZE_PX = (0.0, 0.0), 56.0, 128
VIEW = PatchView(FRAME, CENTRE, SIZE_M, SIZE_PX)


class Scripted:
    """A source that gives a patch of one brightness, or the problem it is told to have."""

    def __init__(self, name, brightness, missing_rows=slice(0, 0), resolution_m=0.2):
        self.name, self.brightness, self.missing_rows = name, brightness, missing_rows
        self.resolution_m = resolution_m
        self.problem, self.offline = None, False
        self.waits, self.requests, self.closed = [], 0, False

    def patch(self, view, wait_s=0.0):
        self.waits.append(wait_s)
        if self.problem:
            raise self.problem
        return self.given(view)

    def given(self, view):
        size_px = view.size_px
        valid = np.ones((size_px, size_px), bool)
        valid[self.missing_rows] = False
        image = np.where(valid[..., None], np.uint8(self.brightness), np.uint8(0))
        return AerialPatch(
            np.broadcast_to(image, (size_px, size_px, 3)), view,
            None if valid.all() else valid, self.name, f'year of {self.name}', f'(c) {self.name}',
            self.resolution_m)

    def request(self, *what):
        self.requests += 1
        if self.problem:
            raise self.problem

    def close(self):
        self.closed = True

    def status(self):
        return ImageryStatus(
            self.name, hits=len(self.waits), misses=1, errors=2, pending=3, offline=self.offline,
            last_error=f'{self.name} broke' if self.offline else '')


@pytest.fixture
def first():
    return Scripted('first', 10)


@pytest.fixture
def second():
    return Scripted('second', 20)


@pytest.fixture
def chain(first, second):
    return FallbackImagery([first, second], coarsest_m=1.0)


def ask(chain, wait_s=0.0):
    return chain.patch(VIEW, wait_s)


def test_the_first_choice_is_taken_and_nobody_else_is_asked(chain, first, second):
    patch = ask(chain)
    assert patch.source == 'first' and np.all(patch.image == 10) and patch.valid is None
    assert second.waits == []


def test_what_the_first_lacks_the_second_gives(chain, first, second):
    first.problem = ImageryError('first has nothing here')
    patch = ask(chain)
    assert (patch.source, patch.vintage) == ('second', 'year of second')
    assert patch.attribution == '(c) second' and np.all(patch.image == 20)
    first.problem = None
    assert ask(chain).source == 'first'


def test_a_slow_first_choice_is_waited_for(chain, first, second):
    first.problem = ImageryNotReady('first is fetching')
    with pytest.raises(ImageryNotReady, match='first is fetching'):
        ask(chain, wait_s=0.25)
    assert second.waits == [] and 0 < first.waits[0] <= 0.25


def test_a_failing_first_choice_is_not_waited_for(chain, first, second):
    first.problem, first.offline = ImageryNotReady('first is fetching'), True
    assert ask(chain, wait_s=9.0).source == 'second'
    assert first.waits == [0.0] and second.waits[0] > 8.0


def test_the_last_one_is_waited_for_even_if_it_fails(second):
    second.offline = True
    ask(FallbackImagery([second]), wait_s=9.0)
    assert second.waits[0] > 8.0


def test_imagery_too_coarse_is_passed_over(chain, first, second):
    first.resolution_m = 1.5
    assert ask(chain).source == 'second'
    second.resolution_m = 2.0
    with pytest.raises(ImageryError, match=r'first has 1\.50 m .*1\.00 m allowed; second has 2'):
        ask(chain)


def test_nobody_has_it(chain, first, second):
    first.problem, second.problem = ImageryError('first: 404'), ImageryError('second: 403')
    with pytest.raises(ImageryError, match='first: 404; second: 403') as error:
        ask(chain)
    assert error.type is ImageryError
    second.problem = ImageryNotReady('second is fetching')
    with pytest.raises(ImageryNotReady, match='first: 404; second is fetching'):
        ask(chain)


def test_gaps_are_filled_from_the_next(chain, first, second):
    first.missing_rows, second.resolution_m = slice(0, 40), 0.5
    patch = ask(chain)
    assert patch.valid is None and patch.source == 'first + second'
    assert np.all(patch.image[:40] == 20) and np.all(patch.image[40:] == 10)
    assert patch.vintage == 'year of first + year of second'
    assert patch.native_resolution_m == 0.5
    second.missing_rows = slice(30, 60)
    patch = ask(chain)
    assert np.array_equal(np.flatnonzero(~patch.valid.all(axis=1)), np.arange(30, 40))
    assert np.all(patch.image[30:40] == 0)


@pytest.mark.parametrize('problem', [ImageryError('no'), ImageryNotReady('later')])
def test_gaps_stay_while_the_next_has_nothing_for_them(chain, first, second, problem):
    first.missing_rows, second.problem = slice(0, 40), problem
    patch = ask(chain)
    assert patch.source == 'first' and (~patch.valid).sum() == 40 * SIZE_PX


def test_a_filler_that_adds_nothing_is_not_named(chain, first, second):
    first.missing_rows = second.missing_rows = slice(0, 40)
    assert ask(chain).source == 'first'


def test_a_source_without_a_pixel_is_not_named_wherever_it_stands(first, second):
    nothing, rest = Scripted('nothing', 30, slice(0, None), resolution_m=0.9), slice(0, 40)
    nothing.problem = ImageryGaps('nothing lacks 100%', nothing.given(VIEW))
    for members in ([nothing, first, second], [first, nothing, second], [first, second, nothing]):
        first.missing_rows = rest
        patch = ask(FallbackImagery(members))
        assert (patch.source, patch.attribution) == ('first + second', '(c) first + (c) second')
        assert patch.native_resolution_m == 0.2
    patch = ask(FallbackImagery([nothing, second]))
    assert (patch.source, patch.attribution) == ('second', '(c) second')


def test_parts_that_are_too_small_alone_are_enough_together(tmp_path):
    """One has the west of a patch, 45 % of it, the other its north-east, 28 %."""
    x, y = (int(value) for value in mercator.world_pixel_from_geodetic(*FRAME.datum, 19, 1))
    corner = FRAME.map_from_geodetic(*mercator.geodetic_from_world_pixel(x, y, 19, 1))
    centre = corner[0] + 0.05 * SIZE_M, corner[1]
    members = [
        open_local(write_folder(tmp_path / name, {
            (19, *tile): encoded(np.full((256, 256, 3), shade, np.uint8)) for tile in tiles}))
        for name, shade, tiles in (('west', 10, [(x - 1, y - 1), (x - 1, y)]),
                                   ('east', 20, [(x, y - 1)]))]
    for member, missing in zip(members, ('west lacks 5[56]%', 'east lacks 7[23]%')):
        with pytest.raises(ImageryError, match=missing):
            member.patch(PatchView(FRAME, centre, SIZE_M, SIZE_PX))
    chain = FallbackImagery(members)
    patch = chain.patch(PatchView(FRAME, centre, SIZE_M, SIZE_PX))
    assert patch.source == 'west + east' and patch.valid_share == pytest.approx(0.71, abs=0.02)
    assert set(np.unique(patch.image[patch.valid])) == {10, 20}
    with pytest.raises(ImageryError, match='west lacks .*; east lacks 100%'):
        chain.patch(PatchView(FRAME, (centre[0], centre[1] - SIZE_M / 2), SIZE_M, SIZE_PX))
    chain.close()


def test_a_part_that_is_too_small_waits_for_the_rest(chain, first, second):
    first.missing_rows, second.problem = slice(0, 80), ImageryNotReady('second is fetching')
    first.problem = ImageryGaps('first lacks much', first.given(VIEW))
    with pytest.raises(ImageryNotReady, match='first lacks much; second is fetching'):
        ask(chain)
    second.problem = None
    assert ask(chain).source == 'first + second'
    first.resolution_m = 1.5
    first.problem = ImageryGaps('first lacks much', first.given(VIEW))
    assert ask(chain).source == 'second'


def test_requests_go_where_the_last_patch_came_from(chain, first, second):
    chain.request(VIEW)
    assert (first.requests, second.requests) == (1, 0)
    first.missing_rows = slice(0, 40)
    ask(chain)
    chain.request(VIEW)
    assert (first.requests, second.requests) == (2, 1)
    first.missing_rows = slice(0, 0)
    ask(chain)
    chain.request(VIEW)
    assert (first.requests, second.requests) == (3, 1)


def test_what_the_first_has_nothing_of_is_requested_from_the_next(chain, first, second):
    """Before any patch is asked for there: the vehicle is still inside the first's bounds."""
    ask(chain)
    first.problem = ImageryError('first has no imagery there')
    chain.request(VIEW)
    assert (first.requests, second.requests) == (1, 1)
    second.problem = ImageryError('second has no imagery there')
    chain.request(VIEW)
    assert (first.requests, second.requests) == (2, 2)


def test_statistics_are_summed_and_name_the_source_that_fails(chain, first, second):
    second.offline = True
    ask(chain)
    status = chain.status()
    assert status.source == chain.name == 'first, second'
    assert (status.hits, status.misses, status.errors, status.pending) == (1, 2, 4, 6)
    assert status.offline is True and status.last_error == 'second broke'
    assert [member.source for member in status.members] == ['first', 'second']
    assert status.last_patch == PatchOrigin(
        'first', 'year of first', '(c) first', SIZE_M / SIZE_PX, 0.2)


def test_closing_closes_all(chain, first, second):
    chain.close()
    assert first.closed and second.closed


def test_a_chain_has_members():
    with pytest.raises(ValueError, match='at least one'):
        FallbackImagery([])


def test_falling_back_is_said_once(chain, first, second, caplog):
    first.problem = ImageryError('first has nothing here')
    for _ in range(3):
        ask(chain)
    assert [record.getMessage() for record in caplog.records] == [
        'the aerial imagery is now from second: first fails or has gaps here']


def test_a_filled_patch_keeps_its_place():
    raster = RasterImagery(np.full((300, 300, 3), 7, np.uint8), FRAME, CENTRE, 0.5)
    whole = raster.patch(VIEW)
    assert whole.filled_from(whole) is whole and whole.native_resolution_m == 0.5
    empty = dataclasses.replace(whole, valid=np.zeros((SIZE_PX, SIZE_PX), bool), source='empty')
    assert empty.filled_from(whole) is whole, 'what gives nothing is not named'
    gap = np.ones((SIZE_PX, SIZE_PX), bool)
    gap[:, :10] = False
    filled = dataclasses.replace(whole, valid=gap, source='gappy').filled_from(whole)
    assert filled.valid is None and filled.view == VIEW


def test_real_servers_take_over_and_give_back(serve, open_imagery):
    """The first server dies after its tiles were begun to be fetched, and heals."""
    good = serve(lambda path, headers: Reply(body=GREY_TILE))
    bad = serve(lambda path, headers: Reply(503))
    members = [open_imagery(server.template, name=name, http=quick_http())
               for name, server in (('bad', bad), ('good', good))]
    chain = FallbackImagery(members)
    patch = ask_until(chain, is_patch)
    assert patch.source == 'good' and np.all(patch.image == 99)
    assert chain.status().offline and 'bad answered 503' in chain.status().last_error
    healed = encoded(np.full((256, 256, 3), 50, np.uint8))
    bad.reply = lambda path, headers: Reply(body=healed)
    ask_until(chain, lambda outcome: is_patch(outcome) and outcome.source == 'bad'
              and np.all(outcome.image == 50) and not chain.status().offline)
