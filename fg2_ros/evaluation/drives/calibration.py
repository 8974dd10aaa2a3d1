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

"""How much images may be believed, found on simulated drives with nothing wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from typing import Callable, Iterable, Sequence

from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.evaluation.metrics import pose_error
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.results import BeliefState, Silence, TrackedPose
from fg2_ros.tracker.settings import Calibration, TrackerSettings
import numpy as np

TEMPERS = (0.7, 1.0, 1.4)
# Errors that these samples make are those of the method, not those of a wrong lock.
RIGHT_MASS, RIGHT_M, RIGHT_RAD = 0.95, 3.0, math.radians(10.0)
LEAST_LENGTH_M = 14.0
NO_BIAS = 1e-3  # a calibration's values are above zero
UNTESTED = 0.3  # a level of agreement that hides few samples
AGREEMENT_QUANTILE = 0.01  # of right samples that may be silenced
LEAST_AGREEMENT, MOST_AGREEMENT = 0.5, 0.9
SHARES = (0.02, 0.3)  # between which the share of images that say nothing is believed


@dataclass(frozen=True)
class Sample:
    """
    An image along a drive: errors are (east m, north m, yaw rad) of base_link.

    :param spread: (3, 3) covariance of the belief without any bias.
    :param measured: error of the image's own measurement; None if it had none.
    :param measured_spread: (3, 3) of it.
    :param distance_m: driven so far.
    """

    drive: int
    distance_m: float
    error: np.ndarray
    spread: np.ndarray
    measured: np.ndarray | None
    measured_spread: np.ndarray | None
    mass: float
    agreement: float
    strength: float
    length_m: float

    @property
    def is_right(self) -> bool:
        """Whether the belief is at the right place, and sure of it."""
        return (self.mass >= RIGHT_MASS and self.length_m >= LEAST_LENGTH_M
                and math.hypot(*self.error[:2]) < RIGHT_M and abs(self.error[2]) < RIGHT_RAD)


def trial_settings(calibration: Calibration) -> TrackerSettings:
    """Return the settings of a tracker whose spreads are to be compared with its errors."""
    return TrackerSettings(calibration=replace(
        calibration, agreement=UNTESTED, bias_m=NO_BIAS, bias_deg=NO_BIAS,
        measurement_temper=calibration.temper, measurement_bias_m=NO_BIAS,
        measurement_bias_deg=NO_BIAS))


def samples_of(drive: int, answers: Iterable[tuple[Pose2, TrackedPose | Silence]]
               ) -> list[Sample]:
    """
    Return what can be learnt of a drive.

    :param answers: the true pose of base_link and what the tracker said, image by image.
    """
    samples, driven_m, before = [], 0.0, None
    for truth, answer in answers:
        if before is not None:
            driven_m += math.hypot(truth.x - before.x, truth.y - before.y)
        before = truth
        if answer.belief is not None:
            samples.append(_sample(drive, driven_m, truth, answer, answer.belief))
    return samples


def calibrated(drives: Sequence[SensorStream],
               followed: Callable[[int, SensorStream, TrackerSettings], list[Sample]],
               fitted_on: str, first: Calibration = Calibration(temper=1.0, nothing_share=0.05),
               tempers: Sequence[float] = TEMPERS) -> Calibration:
    """
    Return the calibration under which beliefs on drives are honest, and sharpest.

    :param drives: with nothing wrong.
    :param followed: lets a tracker of some settings follow a drive and returns its samples.
    :param fitted_on: which drives these are, in words.
    """
    def run(calibration: Calibration) -> list[Sample]:
        return [sample for index, stream in enumerate(drives)
                for sample in followed(index, stream, trial_settings(calibration))]
    samples = run(first)
    base = replace(first, correlation_m=correlation_m(samples),
                   nothing_share=nothing_share(samples), fitted_on=fitted_on)
    fits = []
    for temper in tempers:
        calibration = replace(base, temper=temper)
        samples = run(calibration)
        fitted = fit(calibration, samples)
        fits.append((log_score(fitted, samples), fitted))
    return max(fits, key=lambda each: each[0])[1]


def fit(calibration: Calibration, samples: Sequence[Sample]) -> Calibration:
    """
    Return a calibration with its biases and its level of agreement fitted to samples.

    :raises ValueError: if too few samples are right.
    """
    right = [sample for sample in samples if sample.is_right]
    if len(right) < 20:
        raise ValueError(f'only {len(right)} images were placed right: that is too few to '
                         'calibrate by')
    found = replace(
        calibration, strength=float(np.median([sample.strength for sample in right])))
    found = replace(found, agreement=_agreement(found, right))
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


def log_score(calibration: Calibration, samples: Sequence[Sample]) -> float:
    """Return the mean logarithm of the density that beliefs and single images gave the truth."""
    right = [sample for sample in samples if sample.is_right]
    own = [(sample.measured, sample.measured_spread + calibration.measurement_bias(
        sample.strength)) for sample in right if sample.measured is not None]
    return _score(
        [sample.error for sample in right],
        [sample.spread + calibration.bias(sample.strength) for sample in right]) + _score(
        [error for error, _ in own], [covariance for _, covariance in own])


def correlation_m(samples: Sequence[Sample]) -> float:
    """
    Return the distance at which the correlation of images' errors has fallen to 1/e.

    That of the first pairs of images is extrapolated as an exponential.
    """
    apart, products, squares = [], [], []
    for first, second in zip(samples, samples[1:]):
        pair = first.drive == second.drive and first.is_right and second.is_right
        if pair and first.measured is not None and second.measured is not None:
            apart.append(second.distance_m - first.distance_m)
            products.append(first.measured[:2] @ second.measured[:2])
            squares.append(0.5 * (first.measured[:2] @ first.measured[:2]
                                  + second.measured[:2] @ second.measured[:2]))
    if not apart:
        return Calibration.correlation_m
    correlation = float(np.clip(np.sum(products) / np.sum(squares), 0.05, 0.95))
    return float(np.clip(-np.mean(apart) / math.log(correlation), 0.5, 50.0))


def nothing_share(samples: Sequence[Sample]) -> float:
    """Return the share of images whose own best place is not where the belief rightly is."""
    right = [sample for sample in samples if sample.is_right]
    silent = np.mean([sample.measured is None for sample in right]) if right else 0.0
    return float(np.clip(silent, *SHARES))


def _sample(drive: int, distance_m: float, truth: Pose2, answer: TrackedPose | Silence,
            belief: BeliefState) -> Sample:
    measurement = answer.measurement if isinstance(answer, TrackedPose) else None
    return Sample(
        drive, distance_m, np.array(pose_error(belief.mean, truth)), belief.covariance,
        None if measurement is None else np.array(pose_error(measurement.base, truth)),
        None if measurement is None else measurement.covariance, belief.mass, belief.agreement,
        belief.strength, belief.length_m)


def _agreement(calibration: Calibration, right: Sequence[Sample]) -> float:
    """Return the asymptotic level of agreement that nearly all right samples exceed."""
    told_m = np.array([
        calibration.telling_m(sample.length_m, sample.strength) for sample in right])
    told = told_m >= LEAST_LENGTH_M
    extra = np.exp(-told_m[told] / calibration.agreement_m)
    level = (np.array([sample.agreement for sample in right])[told] - extra) / (1 - extra)
    lowest = float(np.quantile(level, AGREEMENT_QUANTILE)) if len(level) else 1.0
    return float(np.clip(lowest, LEAST_AGREEMENT, MOST_AGREEMENT))


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


def _score(errors: Sequence[np.ndarray], covariances: Sequence[np.ndarray]) -> float:
    if not errors:
        return 0.0
    stacked = np.array(covariances)
    return float(np.mean(-0.5 * _squares(np.array(errors), stacked)
                         - 0.5 * np.linalg.slogdet(stacked)[1]))


def _squares(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return the (N,) squared Mahalanobis distances."""
    return np.einsum('ni,ni->n', errors, np.linalg.solve(covariances, errors[..., None])[..., 0])
