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

"""How much images may be believed, found on drives with nothing wrong and on wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import math
from typing import NamedTuple

from fg2_ros.evaluation.drives.odds import odds, Searcher, stretches_of
from fg2_ros.evaluation.drives.samples import Sample
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.tracker.settings import Calibration, PublicationSettings, TrackerSettings
from fg2_ros.tracker.tracker import Tracker
import numpy as np

Followed = Callable[[int, SensorStream, TrackerSettings, type[Tracker]], list[Sample]]
TEMPERS = (0.5, 0.63, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)  # each is a pass over all drives
UNCALIBRATED = Calibration(temper=1.0, nothing_share=0.05)  # what is fitted begins with it
LEAST_NEES = 0.8  # average NEES before a bias: with less, spreads are much too large
NO_BIAS = 1e-3  # a calibration's values are above zero
UNTESTED = 30.0  # odds under which the search never begins again
NEVER_M = 1e3  # of road before a pose is published: further than a search goes on
LEAST_WRONG = 300  # samples: odds fitted to fewer, of a few streets, are too strict elsewhere
USUALLY_LESS = 0.15  # share of the right images whose resemblance is less than the usual one
PILOT, LEAST_PILOTS = 4, 8  # one drive in so many tells how alike errors of neighbours are
FARTHEST_PAIR_M = 15.0  # of images whose errors are compared
CORRELATIONS_M = (0.5, 50.0)  # between which the length is looked for
SHARES = (0.02, 0.3)  # between which the share of images that say nothing is believed


class Score(NamedTuple):
    """
    How good covariances are; the first value decides, then the second.

    :param nees: average NEES of the position before any bias is added, up to 0.8: with less
        the errors are far smaller than is claimed, which no bias makes good.
    :param log_score: mean logarithm of the density that is given to the truth.
    """

    nees: float
    log_score: float

    @classmethod
    def of(cls, claims: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Score:
        """Return it of errors (3,), with their spreads and biases (3, 3)."""
        if not claims:
            return cls(0.0, 0.0)
        errors, spreads, biases = (np.array(each) for each in zip(*claims))
        nees = _squares(errors[:, :2], spreads[:, :2, :2]).mean() / 2
        return cls(min(float(nees), LEAST_NEES), _score(errors, spreads + biases))


class Trial(NamedTuple):
    """A calibration with some temper, and how good its beliefs and single images are."""

    calibration: Calibration
    beliefs: Score
    images: Score


class Calibrated(NamedTuple):
    """
    The result of a calibration.

    :param wrong: images whose belief was sure of a wrong place.
    """

    calibration: Calibration
    wrong: int

    @property
    def has_odds(self) -> bool:
        """Whether the odds are of these drives, too, and not those that the fit began with."""
        return self.wrong >= LEAST_WRONG


def trial_settings(calibration: Calibration) -> TrackerSettings:
    """Return the settings of a tracker whose spreads are to be compared with its errors."""
    return TrackerSettings(
        publication=PublicationSettings(pose_every_m=0.0), calibration=replace(
            calibration, odds_begin=UNTESTED, strength=1.0, bias_m=NO_BIAS, bias_deg=NO_BIAS,
            measurement_temper=calibration.temper, measurement_bias_m=NO_BIAS,
            measurement_bias_deg=NO_BIAS))


def search_settings(calibration: Calibration) -> TrackerSettings:
    """Return the settings of a tracker that goes on searching, whatever images say."""
    return replace(trial_settings(calibration), publication=PublicationSettings(
        min_distance_m=NEVER_M))


def calibrated(drives: Sequence[SensorStream], wrong_drives: Sequence[SensorStream],
               followed: Followed, fitted_on: str, first: Calibration = UNCALIBRATED,
               tempers: Sequence[float] = TEMPERS) -> Calibrated:
    """
    Return the calibration under which beliefs on drives are honest, and sharpest.

    Its odds stay as they were if fewer than 300 images are sure of a wrong place.

    :param drives: with nothing wrong.
    :param wrong_drives: on which no belief can be right, to learn how wrong places look.
    :param followed: lets a tracker of some settings and kind follow a drive, or a stretch of
        one, and returns its samples.
    :param fitted_on: which drives these are, in words.
    :param tempers: ascending.
    """
    def run(streams: Sequence[SensorStream], calibration: Calibration) -> list[Sample]:
        return [sample for index, stream in enumerate(streams) for sample in followed(
            index, stream, trial_settings(calibration), Tracker)]
    samples = run(drives[::max(min(len(drives) // LEAST_PILOTS, PILOT), 1)], first)
    base = replace(first, correlation_m=correlation_m(samples),
                   nothing_share=nothing_share(samples), fitted_on=fitted_on)

    def with_temper(temper: float) -> Trial:
        calibration = replace(base, temper=temper)
        return trial_of(calibration, run(drives, calibration))
    best = climbed(tempers, with_temper)

    def searched(streams: Sequence[SensorStream]) -> list[list[Sample]]:
        stretches = [each for stream in streams for each in stretches_of(stream)]
        return [followed(index, stretch, search_settings(best), Searcher)
                for index, stretch in enumerate(stretches)]
    wrong = searched(wrong_drives)
    found = Calibrated(best, sum(sample.is_sure for stretch in wrong for sample in stretch))
    return found._replace(
        calibration=odds(best, searched(drives), wrong)) if found.has_odds else found


def climbed(tempers: Sequence[float], tried: Callable[[float], Trial]) -> Calibration:
    """
    Return the calibration of the temper with the best beliefs, which is looked for from 1 uphill.

    Single images have a temper of their own: the best for them of those that were tried.

    :param tried: returns what comes of a temper, which takes minutes.
    """
    at = begin = min(range(len(tempers)), key=lambda index: abs(math.log(tempers[index])))
    trials = {at: tried(tempers[at])}
    for step in (1, -1):
        while 0 <= at + step < len(tempers):
            trials[at + step] = tried(tempers[at + step])
            if trials[at + step].beliefs <= trials[at].beliefs:
                break
            at += step
        if at != begin:
            break
    own = max(trials.values(), key=lambda trial: trial.images).calibration
    return replace(
        trials[at].calibration, measurement_temper=own.measurement_temper,
        measurement_bias_m=own.measurement_bias_m, measurement_bias_deg=own.measurement_bias_deg)


def trial_of(calibration: Calibration, samples: Sequence[Sample]) -> Trial:
    """Return a calibration whose biases are fitted to samples, and how good it is."""
    found = fit(calibration, samples)
    right = [sample for sample in samples if sample.is_right]
    return Trial(found, Score.of([
        (each.error, each.spread, found.bias(each.strength)) for each in right]), Score.of([
            (each.measured, each.measured_spread, found.measurement_bias(each.strength))
            for each in right if each.measured is not None and each.measured_spread is not None]))


def fit(calibration: Calibration, samples: Sequence[Sample]) -> Calibration:
    """
    Return a calibration whose usual values and whose biases are fitted to samples.

    :raises ValueError: if too few samples are right.
    """
    right = [sample for sample in samples if sample.is_right]
    if len(right) < 20:
        raise ValueError(f'only {len(right)} images were placed right: that is too few to '
                         'calibrate by')
    found = replace(
        calibration, strength=float(np.median([sample.strength for sample in right])),
        resemblance=_usual_resemblance(right))
    shares = np.array([found.share(sample.strength) for sample in right])
    own = [(sample.measured, sample.measured_spread, found.share(sample.strength))
           for sample in right
           if sample.measured is not None and sample.measured_spread is not None]
    return replace(
        found,
        bias_m=_bias([each.error[:2] for each in right],
                     [each.spread[:2, :2] for each in right], shares),
        bias_deg=math.degrees(_bias([each.error[2:] for each in right],
                                    [each.spread[2:, 2:] for each in right], 1.0)),
        measurement_temper=calibration.temper,
        measurement_bias_m=_bias([error[:2] for error, _, _ in own],
                                 [spread[:2, :2] for _, spread, _ in own],
                                 np.array([share for _, _, share in own])),
        measurement_bias_deg=math.degrees(_bias(
            [error[2:] for error, _, _ in own],
            [spread[2:, 2:] for _, spread, _ in own], 1.0)))


def correlation_m(samples: Sequence[Sample]) -> float:
    """
    Return the distance at which the correlation of images' errors has fallen to 1/e.

    It is that of the exponential with as much correlation in all over the pairs of images that
    are near each other. Neighbours alone would not do: noise of single images hides from them
    how long the rest lasts.
    """
    own = [(sample.drive, sample.distance_m, sample.measured[:2]) for sample in samples
           if sample.is_right and sample.measured is not None]
    apart_m, products, squares = [], [], []
    for index, (drive, distance_m, error) in enumerate(own):
        for other_drive, other_distance_m, other in own[index + 1:]:
            away_m = other_distance_m - distance_m
            if other_drive != drive or away_m > FARTHEST_PAIR_M:
                break
            apart_m.append(away_m)
            products.append(error @ other)
            squares.append(0.5 * (error @ error + other @ other))
    if not apart_m:
        return Calibration.correlation_m
    lengths_m = np.geomspace(*CORRELATIONS_M, 200)
    decays = [np.exp(-np.array(apart_m) / length_m).mean() for length_m in lengths_m]
    return float(np.interp(np.sum(products) / np.sum(squares), decays, lengths_m))


def nothing_share(samples: Sequence[Sample]) -> float:
    """Return the share of images whose own best place is not where the belief rightly is."""
    right = [sample for sample in samples if sample.is_right]
    silent = np.mean([sample.measured is None for sample in right]) if right else 0.0
    return float(np.clip(silent, *SHARES))


def _usual_resemblance(right: Sequence[Sample]) -> float:
    """Return the resemblance that most of the images have at the right place."""
    known = [sample.features[-1] for sample in right if math.isfinite(sample.features[-1])]
    return float(np.quantile(known, USUALLY_LESS)) if known else Calibration.resemblance


def _bias(errors: Sequence[np.ndarray], spreads: Sequence[np.ndarray],
          shares: np.ndarray | float) -> float:
    """Return the standard deviation to add, times shares, for an average NEES of 1."""
    error, spread = np.array(errors), np.array(spreads)
    size = error.shape[1]
    low, high = 1e-3, 100.0
    for _ in range(40):  # the NEES falls with the bias
        middle = math.sqrt(low * high)
        added = np.multiply.outer((middle * np.broadcast_to(shares, len(error))) ** 2,
                                  np.eye(size))
        nees = _squares(error, spread + added).mean() / size
        low, high = (middle, high) if nees > 1 else (low, middle)
    return math.sqrt(low * high)


def _score(errors: np.ndarray, covariances: np.ndarray) -> float:
    return float(np.mean(-0.5 * _squares(errors, covariances)
                         - 0.5 * np.linalg.slogdet(covariances)[1]))


def _squares(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return the (N,) squared Mahalanobis distances."""
    return np.einsum('ni,ni->n', errors, np.linalg.solve(covariances, errors[..., None])[..., 0])
