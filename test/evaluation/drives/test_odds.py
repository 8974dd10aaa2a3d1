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

"""Odds from stretches of road of which it is known which places are right."""

from dataclasses import dataclass, replace
import math

from fg2_ros.evaluation.drives.odds import log_odds_of, odds, PASSING_SHARE, Searcher, stretches_of
from fg2_ros.evaluation.drives.samples import Sample
from fg2_ros.evaluation.drives.stream import CameraFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.inputs import Fix, Odometry
from fg2_ros.tracker.settings import Calibration, PublicationSettings
import numpy as np
import pytest

USUAL = Calibration(strength=25.0, resemblance=8.8)
LEVEL = math.log(PublicationSettings().min_agreement / (1 - PublicationSettings().min_agreement))


@dataclass(frozen=True)
class Road:
    """A drive as far as it is cut into stretches."""

    shots: tuple


def along(places_m):
    """Return a drive along a straight road."""
    return Road(tuple(CameraFrame(0.0, Pose2(float(east), 0.0, 0.0), None) for east in places_m))


def sample(features, off_m=0.0, **change):
    """Return a sample that is sure of a place."""
    values = {
        'drive': 0, 'distance_m': 15.0, 'error': np.array([off_m, 0.0, 0.0]),
        'spread': np.eye(3), 'measured': None, 'measured_spread': None, 'mass': 1.0,
        'features': features, 'strength': 20.0, 'length_m': 15.0} | change
    return Sample(**values)


def stretches(rng, count, shortfall, strength, resemblance=9.0, off_m=0.0):
    """Return stretches of five samples each."""
    weight = rng.uniform(1.0, 3.0, (count, 5))
    features = np.stack([
        np.ones((count, 5)), weight, weight * np.square(rng.normal(0, shortfall, (count, 5))),
        strength * np.exp(rng.normal(0, 0.2, (count, 5))),
        rng.normal(resemblance, 0.3, (count, 5))], -1)
    return [[sample(each, off_m) for each in stretch] for stretch in features]


def passing(found, stretches):
    """Return the share of stretches on which a pose would be published."""
    return np.mean([any(log_odds_of(found, each) >= LEVEL for each in stretch)
                    for stretch in stretches])


@pytest.fixture(scope='module')
def places():
    """Return stretches at right and at wrong places: these fall short and match weakly."""
    rng = np.random.default_rng(4)
    return stretches(rng, 200, 0.1, 25.0), stretches(rng, 600, 0.4, 14.0, 8.5, off_m=20.0)


def test_odds_tell_right_and_wrong_places_apart(places):
    """Nearly all of the right ones pass, and of the wrong ones no more than may."""
    found = odds(USUAL, *places)
    right, wrong = places
    assert passing(found, right) > 0.95
    assert passing(found, wrong) <= PASSING_SHARE
    assert min(found.odds_gain, found.odds_shortfall, found.odds_strength, found.odds_lack) > 0
    assert replace(found, odds_begin=0.0, odds_gain=1.0, odds_shortfall=1.0, odds_strength=1.0,
                   odds_lack=1.0) == replace(USUAL, odds_begin=0.0, odds_gain=1.0,
                                             odds_shortfall=1.0, odds_strength=1.0, odds_lack=1.0)


def test_odds_begin_where_as_many_wrong_places_pass_as_may(places):
    """No stricter: where some look like the right ones, a little more would let others pass."""
    rng = np.random.default_rng(5)
    alike = stretches(rng, 30, 0.1, 25.0, off_m=20.0)
    right, wrong = places[0], [*places[1][:570], *alike]
    found = odds(USUAL, right, wrong)
    assert passing(found, wrong) == pytest.approx(PASSING_SHARE)
    laxer = replace(found, odds_begin=found.odds_begin + 1e-5)
    assert passing(laxer, wrong) > PASSING_SHARE
    assert found.odds_begin < odds(USUAL, *places).odds_begin


def test_odds_are_no_larger_than_a_probability_has_them(places):
    """However easily all wrong places are told: right and wrong ones are thought as many."""
    right, wrong = places
    unsure = [[replace(each, mass=0.5) for each in stretch] for stretch in wrong[20:]]
    few = [*wrong[:20], *unsure]
    found = odds(USUAL, right, few)
    laxer = replace(found, odds_begin=found.odds_begin + 0.1)
    assert passing(laxer, wrong[:20]) * 20 <= PASSING_SHARE * len(few), 'more might pass'
    sure = [log_odds_of(found, each) for each in wrong[0]]
    assert max(sure) < 0.0


def test_odds_of_places_that_look_alike_stay_near_even():
    """Where nothing tells them apart, the odds claim nothing."""
    rng = np.random.default_rng(5)
    right, wrong = stretches(rng, 60, 0.2, 20.0), stretches(rng, 60, 0.2, 20.0, off_m=20.0)
    found = odds(USUAL, right, wrong)
    assert passing(found, right) < 0.1 and passing(found, wrong) <= PASSING_SHARE


def test_a_place_far_from_gnss_passes_less(places):
    """What it takes to surprise is in the fit, and is not learnt to be outweighed."""
    right, wrong = places
    found = odds(USUAL, right, [[replace(each, surprise=2.0) for each in stretch]
                                for stretch in wrong])
    assert log_odds_of(found, sample(right[0][0].features, surprise=2.0)) == pytest.approx(
        log_odds_of(found, right[0][0]) - 2.0)
    assert found.odds_begin >= odds(USUAL, *places).odds_begin


def test_stretches_are_of_twenty_metres_each():
    """Images are in one at most; what is left over at the end is in none."""
    found = stretches_of(along(np.arange(0.0, 60.0, 4.0)))
    assert [[int(shot.truth.x) for shot in each.shots] for each in found] == [
        list(range(0, 24, 4)), list(range(24, 48, 4))]
    assert stretches_of(along([0.0, 19.0])) == []
    assert len(stretches_of(along([0.0, 21.0]))) == 1


def test_a_searcher_looks_under_the_given_heading_alone():
    """Around GNSS, and knows nothing before there is a fix."""
    tracker = Searcher()
    stamp_ns = 10 ** 12
    assert tracker.search(stamp_ns).kind == 'prior'
    tracker.add_odometry(stamp_ns, Odometry(Pose2(0.0, 0.0, 0.0), Pose2(0.0, 0.0, 0.0)))
    tracker.add_heading(stamp_ns, 0.5, 0.05)
    tracker.add_fix(stamp_ns, Fix(np.array([3.0, 4.0]), 2.0))
    plan = tracker.search(stamp_ns)
    assert {round(grid.middle.yaw, 6) for grid in plan.grids} == {0.5}
    assert plan.grids[0].middle[:2] == pytest.approx((3.0, 4.0))
