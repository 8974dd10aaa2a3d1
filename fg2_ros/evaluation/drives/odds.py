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

"""How surely right places are told from wrong ones: odds that are fitted to stretches of road."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import math

from fg2_ros.evaluation.drives.samples import Sample
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.tracker.belief import Belief
from fg2_ros.tracker.initial_search import start_grids
from fg2_ros.tracker.settings import Calibration, PublicationSettings
from fg2_ros.tracker.tracker import Tracker
import numpy as np
from scipy.optimize import minimize
from scipy.special import logit

STRETCH_M = 20.0  # of road, each with a search of its own
PASSING_SHARE = 0.01  # of the stretches at wrong places, on which one may be published
# Weights that served several networks: of the road, shortfall, strength and lack.
USUAL_ODDS = np.array([2.6, -38.0, 3.7, -7.0])
REGULARISATION = 5.0  # stretches that outweigh a difference by a factor of e from these


class Searcher(Tracker):
    """A tracker that only looks around GNSS under the given heading: one box of poses."""

    def _first_belief(self, stamp_ns: int) -> Belief | None:
        place = self._inputs.start(stamp_ns)
        return None if place is None else Belief.over(
            start_grids(place, other_headings=False, cell_m=self._cell_m))


def stretches_of(stream: SensorStream) -> list[SensorStream]:
    """Return a drive cut into stretches of road; what is left at its end is in none."""
    shots = stream.shots
    places = np.array([shot.truth[:2] for shot in shots])
    driven_m = np.append(0.0, np.cumsum(np.hypot(*np.diff(places, axis=0).T)))
    found, first = [], 0
    for index, at_m in enumerate(driven_m):
        if at_m - driven_m[first] >= STRETCH_M:
            found.append(replace(stream, shots=shots[first:index + 1]))
            first = index + 1
            if first == len(shots):
                break
    return found


def odds(calibration: Calibration, right: Sequence[Sequence[Sample]],
         wrong: Sequence[Sequence[Sample]]) -> Calibration:
    """
    Return a calibration whose odds tell right and wrong places apart.

    What counts by how much is found by regression, right and wrong places being as many, and not
    far from what is usual unless many stretches say so: where all places are told apart easily,
    weights would grow without end. The odds to begin with are the largest under which a place
    would be published, at the level that is usual, on no more than one in a hundred of the
    stretches at wrong places; but not larger than those of the regression, under which they are
    a probability.

    :param right: samples of each stretch on which nothing is wrong.
    :param wrong: of each on which no place is right, even if it is near the truth by chance.
    """
    begin, gain, shortfall, strength, lack = _regression(
        calibration,
        [[sample for sample in stretch if sample.is_right] for stretch in right],
        [[sample for sample in stretch if sample.is_sure] for stretch in wrong]).tolist()
    found = replace(
        calibration, odds_begin=0.0, odds_gain=gain, odds_shortfall=-shortfall,
        odds_strength=strength, odds_lack=-lack)
    return replace(found, odds_begin=min(begin, _largest_begin(found, wrong)))


def log_odds_of(calibration: Calibration, sample: Sample) -> float:
    """Return the logarithm of the odds that a tracker would publish a sample by."""
    return float(calibration.odds_weights @ calibration.compared(
        sample.features)) - sample.surprise


def _regression(calibration: Calibration, right: Sequence[Sequence[Sample]],
                wrong: Sequence[Sequence[Sample]]) -> np.ndarray:
    """Return the (5,) weights of features under which right and wrong are the likeliest."""
    samples = [sample for stretch in (*right, *wrong) for sample in stretch]
    features = calibration.compared(np.array([sample.features for sample in samples]))
    surprise = np.array([sample.surprise for sample in samples])
    counts = [sum(map(len, each)) for each in (right, wrong)]
    sign = np.repeat([1.0, -1.0], counts)
    share = np.repeat(np.divide(0.5, counts), counts)
    regularisation = REGULARISATION / sum(map(bool, (*right, *wrong)))

    def weights(free: np.ndarray) -> np.ndarray:
        return np.append(free[0], USUAL_ODDS * np.exp(free[1:]))

    def loss(free: np.ndarray) -> float:
        odds = features @ weights(free) - surprise
        return float(share @ np.logaddexp(0, -sign * odds) + regularisation * free[1:] @ free[1:])
    return weights(minimize(loss, np.zeros(5)).x)


def _largest_begin(calibration: Calibration, wrong: Sequence[Sequence[Sample]]) -> float:
    """Return the largest odds to begin with under which so few wrong stretches pass."""
    highest = sorted((max((log_odds_of(calibration, sample) for sample in stretch
                           if sample.is_sure), default=-math.inf)
                      for stretch in wrong), reverse=True)
    not_to_pass = highest[int(PASSING_SHARE * len(wrong))]
    return float(logit(PublicationSettings().min_agreement)) - not_to_pass - 1e-6
