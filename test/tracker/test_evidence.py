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

"""The odds that images are of a place and not of one that looks alike."""

from dataclasses import replace
import math

from fg2_ros.geometry.pose_volume import PoseGrid, PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker import evidence
from fg2_ros.tracker.belief import Belief
from fg2_ros.tracker.evidence import features, log_odds, Recent
from fg2_ros.tracker.inputs import Fix, Observation
from fg2_ros.tracker.motion import OdometryChain
from fg2_ros.tracker.publication import (
    KEEP_AGREEMENT, LOST_AGREEMENT, PublicationTest, USUALLY_SEARCHED)
from fg2_ros.tracker.sensor_history import SensorHistory
from fg2_ros.tracker.settings import Calibration, TrackerSettings
import numpy as np
import pytest

CALIBRATION = Calibration(odds_begin=0.0, odds_gain=3.0, odds_shortfall=40.0, odds_strength=5.0,
                          strength=20.0, odds_lack=4.0, resemblance=9.0)
HERE = Pose2(0.0, 0.0, 0.0)
UNMOVED = Pose2(0.0, 0.0, 0.0)  # steps are left out: all images are asked about one pose
GRID = PoseGrid(HERE, 1.0, math.radians(2.0), (3, 31, 31))


def image(driven_m, strength=20.0, shortfall=0.0, resemblances=()):
    """Return an image that was taken some metres ago; its best place may be elsewhere."""
    east, north = np.meshgrid(GRID.easts_m, GRID.norths_m)
    peak = (1 - shortfall) * np.exp(-0.5 * (east ** 2 + north ** 2))
    if shortfall:
        peak = peak + np.exp(-0.5 * ((east - 9.0) ** 2 + north ** 2))
    values = np.broadcast_to(strength * peak, GRID.shape).astype(np.float32)
    likelihood = evidence.ImageLikelihood.of(
        0, Observation((PoseVolume(GRID, values),), resemblances=resemblances), None)
    return Recent(likelihood, UNMOVED, driven_m)


def road(length_m, every_m=2.0, **change):
    """Return images along a road that ends here."""
    return [image(driven_m, **change)
            for driven_m in np.arange(length_m, -1e-9, -every_m)]


def odds(images):
    """Return the logarithm of the odds at the pose where images have their peaks."""
    return log_odds(HERE, images, CALIBRATION)


def test_the_further_images_agree_the_likelier_the_place():
    """And it levels out, for what is long ago fades."""
    values = [odds(road(length_m)) for length_m in (0.0, 10.0, 20.0, 100.0, 200.0)]
    assert values == sorted(values)
    assert values[-1] - values[-2] < 0.4 < 1.0 < values[1] - values[0]


def test_the_road_counts_not_the_number_of_images():
    """A camera that is four times as fast proves little more."""
    assert odds(road(20.0, every_m=0.5)) == pytest.approx(odds(road(20.0, every_m=2.0)), abs=0.7)
    standing = [image(0.0) for _ in range(50)]
    assert odds(standing) == pytest.approx(odds(standing[:1]))


def test_some_images_that_fall_short_by_much_weigh_more_than_many_by_little():
    """So a street that looks alike for the most part is told from the right one."""
    right = road(30.0, shortfall=0.1)
    alike = [image(each.driven_m, shortfall=0.4 if index % 4 == 0 else 0.0)
             for index, each in enumerate(right)]
    assert np.mean([each.image.at(HERE) for each in alike]) == pytest.approx(
        np.mean([each.image.at(HERE) for each in right]))
    assert odds(alike) < odds(right) - 1.0


def test_images_that_match_weakly_are_worth_less():
    """By the logarithm of how much more weakly than usual."""
    assert odds(road(20.0, strength=10.0)) == pytest.approx(
        odds(road(20.0)) - 5.0 * math.log(2), abs=1e-3)


def test_images_whose_surroundings_are_not_found_are_worth_less():
    """Only lack counts, and no more than so much; where it is not known it is as usual."""
    usual = odds(road(20.0))
    for enough in (9.001, 12.0):
        assert odds(road(20.0, resemblances=(enough,))) == usual
    assert odds(road(20.0, resemblances=(8.6,))) == pytest.approx(usual - 4.0 * 0.4)
    assert odds(road(20.0, resemblances=(-50.0,))) == pytest.approx(usual - 4.0 * 0.5)
    one = [*road(20.0)[:-1], image(0.0, resemblances=(8.6,))]
    assert odds(one) == pytest.approx(usual - 4.0 * 0.4), 'those of which it is known speak alone'


def test_resemblance_is_that_of_the_volume_a_pose_is_in():
    """Each look has its aerial patch; one without imagery has none."""
    volume = PoseVolume(GRID, np.zeros(GRID.shape, np.float32))
    likelihood = evidence.ImageLikelihood.of(0, Observation(
        (volume, None, volume.moved(Pose2(100.0, 0.0, 0.0))), resemblances=(1.0, np.nan, 3.0)),
        None)
    assert likelihood.resemblance_at(HERE) == 1.0
    assert likelihood.resemblance_at(Pose2(100.0, 0.0, 0.0)) == 3.0
    assert math.isnan(likelihood.resemblance_at(Pose2(50.0, 0.0, 0.0)))


def test_a_better_place_counts_only_if_it_is_around():
    """One further away is a rival place, for the belief to weigh: this one may still be right."""
    usual = road(20.0)

    def with_rival(away_m):
        return [each._replace(image=evidence.ImageLikelihood.of(0, Observation((
            *each.image.volumes, replace(each.image.volumes[0].moved(Pose2(away_m, 0.0, 0.0)),
                                         values=2 * each.image.volumes[0].values))), None))
                for each in usual]
    assert features(HERE, with_rival(100.0))[2] == features(HERE, usual)[2] == pytest.approx(0.0)
    assert features(HERE, with_rival(20.0))[2] > 0.1


def test_a_pose_that_no_image_looked_at_is_unlikely():
    """The images say no more of it than of any other."""
    assert log_odds(Pose2(500.0, 0.0, 0.0), road(20.0), CALIBRATION) < -20.0
    assert np.isfinite(log_odds(HERE, [], CALIBRATION))


def judge(searched=0.0, fix_m=0.0):
    """Return one who has searched so many m^2 rad, with a fix so far away."""
    inputs = SensorHistory(TrackerSettings().prior, OdometryChain(TrackerSettings().motion))
    inputs.add_fix(0, Fix(np.array([fix_m, 0.0]), 3.0))
    test = PublicationTest(TrackerSettings(calibration=CALIBRATION), inputs)
    test.searched = searched
    test.compare_inputs(0, HERE, [])
    return test


def agreement_of(searched, fix_m):
    """Return what a judge says of a pose with which images of some metres agree."""
    return judge(searched, fix_m).agreement(0, HERE, road(12.0))


def test_more_must_agree_where_more_was_searched_and_far_from_gnss():
    """By chance one of many places agrees; and a fix far away is a witness against it."""
    usual = agreement_of(USUALLY_SEARCHED, 0.0)
    assert usual == agreement_of(0.0, 0.0) == agreement_of(USUALLY_SEARCHED, 5.0)
    many = 20 * USUALLY_SEARCHED
    assert agreement_of(many, 0.0) < usual
    assert agreement_of(USUALLY_SEARCHED, 60.0) < agreement_of(USUALLY_SEARCHED, 8.0) < usual
    assert 0.0 <= agreement_of(many, 1000.0) < agreement_of(many, 0.0) < 1.0


def believed(*places):
    """Return a belief with a box around each place, where it is likeliest, and its mode."""
    peak = -0.5 * np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2).astype(np.float32)
    belief = Belief(tuple(PoseVolume(
        PoseGrid(place, 1.0, math.radians(2.0), (3, 7, 7)), np.stack([peak - 1, peak, peak - 1])
    ) for place in places)).normalised()
    return belief, belief.mode()


def test_a_belief_is_refuted_only_if_nothing_is_left_of_it():
    """Neither one of its places nor that many were searched is a reason to begin again."""
    elsewhere = road(8.0, shortfall=0.8)  # where their other peak is
    there = HERE._replace(x=9.0)
    assert judge().agreement(0, HERE, elsewhere) < LOST_AGREEMENT
    assert judge().refutes(*believed(HERE), elsewhere, LOST_AGREEMENT)
    assert not judge().refutes(*believed(HERE, there), elsewhere, KEEP_AGREEMENT)
    assert judge().refutes(*believed(HERE, HERE._replace(y=9.0)), elsewhere, LOST_AGREEMENT)
    right = road(4.0)
    searched = 1e6 * USUALLY_SEARCHED
    assert judge(searched).agreement(0, HERE, right) < LOST_AGREEMENT
    assert not judge(searched).refutes(*believed(HERE), right, LOST_AGREEMENT)
