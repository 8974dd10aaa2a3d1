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

"""A calibration from samples whose errors are known."""

from dataclasses import dataclass, replace
import math

from fg2_ros.evaluation.drives.calibration import (
    calibrated, climbed, correlation_m, fit, nothing_share, Score, search_settings, Trial,
    trial_of, trial_settings)
from fg2_ros.evaluation.drives.samples import Sample
from fg2_ros.evaluation.drives.stream import CameraFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.settings import Calibration
from fg2_ros.tracker.tracker import Tracker
import numpy as np
import pytest

SPREAD_M, BIAS_M, BIAS_DEG = 0.2, 0.3, 0.5
WRONG = np.array([20.0, 0.0, 0.0])


def sample(rng, drive=0, distance_m=0.0, strength=10.0, **change):
    """Return a sample whose error has the spread and the bias as its variance."""
    def draw():
        share = min(10.0 / strength, 1.0) ** 2
        place = rng.normal(0, math.hypot(SPREAD_M, BIAS_M * share), 2)
        yaw = rng.normal(0, math.hypot(0.001, math.radians(BIAS_DEG)))
        return np.array([*place, yaw])
    spread = np.diag([SPREAD_M, SPREAD_M, 0.001]) ** 2
    values = {
        'drive': drive, 'distance_m': distance_m, 'error': draw(), 'spread': spread,
        'measured': draw(), 'measured_spread': spread, 'mass': 1.0, 'strength': strength,
        'features': np.array([1.0, 2.0, 0.01, strength, 9.0]), 'length_m': 30.0} | change
    return Sample(**values)


def many(count=4000, **change):
    """Return samples that match weakly and strongly by halves."""
    rng = np.random.default_rng(0)
    return [sample(rng, strength=10.0, **change) if index % 2 else
            sample(rng, strength=10.0, **change) for index in range(count)]


def test_biases_are_found():
    """Those with which the average NEES is 1."""
    found = fit(Calibration(temper=1.3), many())
    assert found.bias_m == pytest.approx(BIAS_M, rel=0.05)
    assert found.bias_deg == pytest.approx(BIAS_DEG, rel=0.05)
    assert found.measurement_bias_m == pytest.approx(BIAS_M, rel=0.05)
    assert found.measurement_temper == found.temper == 1.3
    assert found.strength == pytest.approx(10.0)
    assert found.resemblance == 9.0
    unknown = [replace(each, features=np.append(each.features[:4], math.nan)) for each in many(50)]
    assert fit(Calibration(), unknown).resemblance == Calibration().resemblance


@dataclass(frozen=True)
class Road:
    """A drive as far as it is cut into stretches; its samples are known."""

    shots: tuple
    samples: tuple = ()


def road(samples):
    """Return a drive of one stretch that has some samples."""
    return Road(tuple(CameraFrame(0.0, Pose2(east, 0.0, 0.0), None) for east in (0.0, 25.0)),
                tuple(samples))


def test_odds_of_too_few_wrong_places_stay_as_they_were():
    """And the caller is told; one more, and they are fitted to stretches."""
    kinds = []

    def found(wrong):
        def followed(index, drive, settings, kind):
            kinds.append((kind is Tracker, settings.publication.min_distance_m))
            return list(drive.samples)
        return calibrated([road(many(50))], [road(many(wrong, error=WRONG))], followed,
                          'a drive', Calibration(odds_begin=2.0), tempers=(1.0,))
    few, enough = found(299), found(300)
    assert (few.wrong, few.has_odds, few.calibration.odds_begin) == (299, False, 2.0)
    assert enough.has_odds and enough.calibration.odds_begin != 2.0
    whole, searched = (True, 10.0), (False, 1000.0)
    assert kinds == [whole, whole, searched, whole, whole, searched, searched]


def test_wrong_places_teach_nothing():
    """Errors of wrong locks are no matter of calibration."""
    rng = np.random.default_rng(1)
    wrong = [sample(rng, error=np.array([20.0, 0.0, 0.0])) for _ in range(400)]
    unsure = [sample(rng, mass=0.5, error=np.array([2.9, 0.0, 0.0])) for _ in range(400)]
    alone, together = fit(Calibration(), many()), fit(Calibration(), many() + wrong + unsure)
    assert alone == together


def test_too_few_samples_are_refused():
    """The sentence says how many there were."""
    with pytest.raises(ValueError, match='only 5 images'):
        fit(Calibration(), many(5))


def test_correlation_length_of_a_known_process():
    """Errors that forget over 8 m are found to do so."""
    rng, samples, error = np.random.default_rng(2), [], np.zeros(2)
    keep = math.exp(-2.0 / 8.0)
    for index in range(5000):
        error = keep * error + math.sqrt(1 - keep ** 2) * rng.normal(0, 0.4, 2)
        samples.append(sample(rng, distance_m=2.0 * index, measured=np.array([*error, 0.0])))
    assert correlation_m(samples) == pytest.approx(8.0, rel=0.15)
    assert correlation_m(samples[:1]) == Calibration.correlation_m


def test_noise_of_single_images_does_not_hide_what_lasts():
    """Neighbours correlate by a half only, yet those 8 m apart hardly less."""
    rng, samples, error = np.random.default_rng(5), [], np.zeros(2)
    keep = math.exp(-2.0 / 16.0)
    for index in range(3000):
        error = keep * error + math.sqrt(1 - keep ** 2) * rng.normal(0, 0.4, 2)
        seen = error + rng.normal(0, 0.3, 2)
        samples.append(sample(rng, distance_m=2.0 * index, measured=np.array([*seen, 0.0])))
    assert 5.0 < correlation_m(samples) < 16.0


def test_share_of_images_that_say_nothing():
    """One in ten has no measurement near the belief."""
    rng = np.random.default_rng(3)
    samples = [sample(rng, measured=None if index % 10 == 0 else np.zeros(3))
               for index in range(500)]
    assert nothing_share(samples) == pytest.approx(0.1)


def test_the_temper_of_the_sharpest_honest_belief_wins():
    """Of several, each with its biases fitted."""
    def followed(index, stream, settings, kind):
        rng = np.random.default_rng(index)
        off = abs(math.log(settings.calibration.temper / 1.6))
        return [sample(rng, index, 2.0 * step, error=rng.normal(0, 1, 3) * (
            0.2 * (1 + off), 0.2 * (1 + off), 0.005)) for step in range(200)]
    found = calibrated([Road(())] * 5, [], followed, 'five drives').calibration
    assert found.temper == 1.6
    assert found.fitted_on == 'five drives'
    assert Calibration.of({'tracker': found.to_dict()}) == found


def trial(temper, beliefs=Score(0.8, 0.0), images=Score(0.8, 0.0)):
    """Return a trial whose bias of single images tells which one it is."""
    return Trial(Calibration(temper=temper, measurement_temper=temper, measurement_bias_m=temper),
                 beliefs, images)


@pytest.mark.parametrize('best, asked', [
    (1.0, [1.0, 1.5, 0.7]), (1.5, [1.0, 1.5, 2.0]), (2.0, [1.0, 1.5, 2.0]),
    (0.7, [1.0, 1.5, 0.7])])
def test_the_best_temper_is_climbed_to(best, asked):
    """Each that is tried takes minutes, so no more are than show it to be the best."""
    tried = []

    def score(temper):
        tried.append(temper)
        return trial(temper, Score(0.8, -abs(math.log(temper / best))))
    assert climbed((0.7, 1.0, 1.5, 2.0), score).temper == best
    assert tried == asked


def test_single_images_have_a_temper_of_their_own():
    """With the bias that belongs to it."""
    found = climbed((0.7, 1.0, 1.5, 2.0), lambda temper: trial(
        temper, Score(0.8, temper), Score(0.8, -temper)))
    assert found.temper == 2.0
    assert found.measurement_temper == found.measurement_bias_m == 1.0


def test_beliefs_that_claim_much_too_little_are_no_choice():
    """However well they score: no bias makes a spread smaller; a bold one has its bias fitted."""
    def of_errors(scale):
        return trial_of(Calibration(temper=1.0), [
            replace(each, error=each.error * scale, measured=each.measured * scale)
            for each in many(400)])
    timid, bold, bolder = of_errors(0.1), of_errors(1.0), of_errors(2.0)
    assert timid.beliefs.nees < 0.2 and timid.images.nees < 0.2
    assert bold.beliefs.nees == bolder.beliefs.nees == 0.8
    assert timid.beliefs.log_score > bold.beliefs.log_score > bolder.beliefs.log_score
    assert timid.beliefs < bolder.beliefs < bold.beliefs
    assert bold.calibration.bias_m > 0.1


def test_a_trial_claims_no_more_than_the_spread():
    """What is fitted afterwards must not be in it already."""
    trial = trial_settings(Calibration(temper=1.2)).calibration
    assert trial.bias_m < 0.01 and trial.measurement_bias_m < 0.01
    assert trial_settings(Calibration()).publication.pose_every_m == 0
    searching = search_settings(Calibration(temper=1.2))
    assert searching.calibration == trial and searching.publication.min_distance_m > 500
