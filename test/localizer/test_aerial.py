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

"""When the aerial patch is kept, replaced, waited for and completed."""

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import AerialPatch, ImageryError, ImageryNotReady
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.status import ImageryStatus
from fg2_ros.localizer import PatchSettings
from fg2_ros.localizer.aerial import AerialMemory
from fg2_ros.network import FG2Config
from fg2_ros.tracker.initial_search import SearchArea, start_grids
from fg2_ros.tracker.settings import PriorSettings
import numpy as np
import pytest

FRAME = MapFrame(10.0, 20.0)


class ScriptedImagery:
    """Imagery that has gaps or problems when told so."""

    def __init__(self):
        """Start without any."""
        self.missing_rows, self.problem, self.resolution_m = 0, None, None
        self.asked, self.requested = [], []

    def patch(self, view, wait_s=0.0):
        """Return a patch, or raise the problem."""
        self.asked.append(view.centre_m)
        if self.problem:
            raise self.problem
        valid = np.ones((view.size_px, view.size_px), bool)
        valid[:self.missing_rows] = False
        image = np.full((view.size_px, view.size_px, 3), len(self.asked), np.uint8)
        return AerialPatch(image, view, valid, 'scripted',
                           native_resolution_m=self.resolution_m)

    def status(self):
        """Return that nothing is under way."""
        return ImageryStatus('scripted')

    def request(self, view):
        """Note what is wanted."""
        self.requested.append(view)


@pytest.fixture
def imagery():
    """Return scripted imagery."""
    return ScriptedImagery()


@pytest.fixture
def clock():
    """Return a clock that stands still until its ``now`` is set."""
    def read():
        return read.now
    read.now = 0.0
    return read


@pytest.fixture
def memory(imagery, clock):
    """Return an empty memory."""
    return AerialMemory(imagery, 28.0, 16, PatchSettings(kept=3), clock)


def number(kept):
    """Return how many patches had been asked for when a patch was, itself included."""
    return int(kept.patch.image[0, 0, 0])


def test_kept_while_near_replaced_when_far(memory, imagery):
    """Distances count from the patch's centre, on the farther axis."""
    for place, asked in (((0, 0), 1), ((5.9, -5.9), 1), ((0, 6.1), 2), ((0, 3.2), 2)):
        assert number(memory.patch(FRAME, place)) == asked
        assert len(imagery.asked) == asked


def test_patches_are_found_again_and_the_oldest_gives_way(memory, imagery):
    """A search looks at many places in turn; what it made of them is kept with them."""
    for east_m in (0, 33, 66):
        memory.patch(FRAME, (east_m, 0)).described[0.0] = east_m
    assert memory.patch(FRAME, (4, 0)).described == {0.0: 0}
    assert len(imagery.asked) == 3
    memory.patch(FRAME, (99, 0))
    assert memory.patch(FRAME, (66, 0)).described == {0.0: 66}
    assert not memory.patch(FRAME, (33, 0)).described
    memory.forget()
    assert not memory.patch(FRAME, (0, 0)).described


def test_another_map_frame_is_another_patch(memory, imagery):
    """Coordinates of one frame mean nothing in another."""
    memory.patch(FRAME, (0, 0))
    assert memory.patch(MapFrame(10.0, 20.1), (0, 0)).patch.view.frame != FRAME
    assert len(imagery.asked) == 2


def test_the_old_patch_serves_while_the_new_one_is_on_its_way(memory, imagery):
    """Up to a distance; other problems are told at once, and without a patch so is this."""
    imagery.problem = ImageryNotReady('coming')
    with pytest.raises(ImageryNotReady):
        memory.patch(FRAME, (0, 0))
    imagery.problem = None
    memory.patch(FRAME, (0, 0))
    imagery.problem = ImageryNotReady('coming')
    assert memory.patch(FRAME, (10, 0)).patch.centre_m == (0, 0)
    with pytest.raises(ImageryNotReady):
        memory.patch(FRAME, (13, 0))
    imagery.problem = ImageryError('gone')
    with pytest.raises(ImageryError, match='gone'):
        memory.patch(FRAME, (10, 0))


def test_gaps_are_filled_when_more_imagery_has_come(memory, imagery, clock):
    """Asked again after a while only; the patch changes then and not otherwise."""
    imagery.missing_rows = 4
    assert number(memory.patch(FRAME, (0, 0))) == 1
    clock.now = 1.0
    memory.patch(FRAME, (0, 0))
    assert len(imagery.asked) == 1
    clock.now = 2.5
    assert number(memory.patch(FRAME, (1, 0))) == 1  # nothing new
    assert imagery.asked == [(0, 0), (0, 0)]
    clock.now, imagery.problem = 5.0, ImageryError('down')
    memory.patch(FRAME, (0, 0))
    clock.now, imagery.problem, imagery.missing_rows = 8.0, None, 0
    better = memory.patch(FRAME, (0, 0))
    assert better.patch.valid.all() and number(better) == 4
    clock.now = 20.0
    assert memory.patch(FRAME, (0, 0)) is better
    assert len(imagery.asked) == 4


def test_a_coarse_patch_is_replaced_when_finer_imagery_has_come(memory, imagery, clock):
    """A server failed when the vehicle came; it stands still since. Coarser is no gain."""
    for now, resolution_m, missing_rows, features in (
            (0.0, 7.0, 0, 1), (1.0, 1.75, 0, 1), (3.0, 14.0, 0, 1), (6.0, 3.5, 4, 1),
            (9.0, 3.5, 0, 4), (12.0, 1.75, 0, 5), (15.0, 0.5, 0, 5)):
        clock.now, imagery.resolution_m = now, resolution_m
        imagery.missing_rows = missing_rows
        assert number(memory.patch(FRAME, (0, 0))) == features
    assert len(imagery.asked) == 5


def test_the_surroundings_are_requested_then_the_patch(memory, imagery):
    """What is requested last is fetched first."""
    memory.request(FRAME, (3, 4))
    surroundings, patch = imagery.requested
    assert patch == PatchView(FRAME, (3, 4), 28.0, 16)
    assert (surroundings.frame, surroundings.centre_m) == (FRAME, (3, 4))
    assert surroundings.size_m >= 28.0 + 2 * 25.0


def test_all_patches_of_the_widest_search_are_kept():
    """They are described once, not again for each image: the oldest must not give way."""
    reach_m, cell_m = PriorSettings().largest_reach_m, FG2Config.preset('sim').cell_m
    grids = start_grids(SearchArea(lambda yaw_rad: np.zeros(2), reach_m, 0.3), False, cell_m)
    assert len(grids) > 100
    assert len({grid.middle[:2] for grid in grids}) <= PatchSettings().kept
