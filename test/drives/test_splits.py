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

"""Splits are of places: blocks of ground, the same for every drive."""

from collections import Counter
from dataclasses import replace

from fg2_ros.drives.keyframes import NEAR, STANDING, thinned
from fg2_ros.drives.settings import clock_of, PlaceSettings, shares_of
from fg2_ros.drives.splits import split_of, splits_of_places
from fg2_ros.geometry.frames import MapFrame
import numpy as np
import pytest

FRAME = MapFrame(47.0, 8.0)
SETTINGS = PlaceSettings()


def lattice_m(reach_m, step_m):
    axis = np.arange(-reach_m, reach_m, step_m)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize('latitude_deg', [-33.9, 0.0, 47.0, 78.0])
def test_blocks_are_square_and_of_the_shares_that_are_wanted(latitude_deg):
    frame = MapFrame(latitude_deg, 179.95)  # across the date line, too
    places = lattice_m(10_000, 250)
    splits = [split_of(*place, SETTINGS) for place in zip(*frame.geodetic_from_map(*places.T))]
    shares = {name: count / len(places) for name, count in Counter(splits).items()}
    assert shares['train'] == pytest.approx(0.8, abs=0.03)
    assert shares['test'] == pytest.approx(0.1, abs=0.03)


def test_two_drives_with_other_maps_agree():
    places = lattice_m(1500, 90)
    other = MapFrame(47.01, 8.02)
    moved = np.stack(other.map_from_geodetic(*FRAME.geodetic_from_map(*places.T)), axis=1)
    first, second = (splits_of_places(frame, each, SETTINGS)
                     for frame, each in ((FRAME, places), (other, moved)))
    differing = [pair for pair in zip(first, second) if pair[0] != pair[1]]
    assert all('' in pair for pair in differing)  # the squares of patches are turned a little
    assert len(differing) < 0.03 * len(places)


def test_no_ground_is_seen_by_two_splits():
    places = lattice_m(1500, 30)
    splits = np.array(splits_of_places(FRAME, places, SETTINGS))
    assert set(splits) == {'train', 'validation', 'test', ''}
    for name in ('validation', 'test'):
        apart = places[splits == name][:, None] - places[splits == 'train'][None]
        assert np.abs(apart).max(axis=-1).min() >= SETTINGS.patch_m


def test_a_whole_drive_may_be_of_one_split():
    wanted = replace(SETTINGS, split='test')
    assert set(splits_of_places(FRAME, lattice_m(1000, 100), wanted)) == {'test'}


def test_blocks_are_no_smaller_than_patches():
    with pytest.raises(ValueError, match='blocks of 30 m are smaller than patches of 40 m'):
        PlaceSettings(block_m=30.0)


@pytest.mark.parametrize('value, shares', [
    ('80/10/10', (0.8, 0.1, 0.1)), ([1, 1, 2], (0.25, 0.25, 0.5)), ('1/0/0', (1.0, 0.0, 0.0))])
def test_shares_are_of_any_sum(value, shares):
    assert shares_of(value) == pytest.approx(shares)


@pytest.mark.parametrize('value', ['80/20', '0/0/0', 'a/b/c', '-1/1/1', None])
def test_what_are_no_shares_is_refused(value):
    with pytest.raises(ValueError, match='is not like 80/10/10'):
        shares_of(value)


def test_a_clock_offset_may_be_stated():
    assert [clock_of(value) for value in ('auto', 'off', '-0.1')] == ['auto', 'off', -0.1]
    for value in ('soon', 'nan', '1e9'):
        with pytest.raises(ValueError, match='offset|neither auto nor off'):
            clock_of(value)


def test_images_are_kept_each_so_many_metres():
    places = np.array([[0, 0], [1, 0], [1.9, 0], [2.1, 0], [2.2, 0], [5, 0], [5, 1.9], [5, 2.2]])
    speed_mps = np.array([5, 5, 5, 5, 0.1, 5, 5, 5])
    reasons = np.array(['', '', '', '', '', 'doubt', '', ''], object)
    found = thinned(places, speed_mps, reasons, 2.0)
    assert found.tolist() == ['', NEAR, NEAR, '', STANDING, 'doubt', '', NEAR]
    assert reasons.tolist().count('') == 7
