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

"""Samples that a calibration is fitted to: errors along drives, and the covariances claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import math

from fg2_ros.evaluation.drives.stream import CameraFrame
from fg2_ros.evaluation.metrics import pose_error
from fg2_ros.tracker.results import BeliefState, Rejection, TrackedPose
import numpy as np

# Errors that these samples make are those of the method, not those of a wrong lock.
RIGHT_MASS, RIGHT_M, RIGHT_RAD = 0.95, 3.0, math.radians(10.0)
LEAST_LENGTH_M = 10.0


@dataclass(frozen=True)
class Sample:
    """
    An image along a drive: errors are (east m, north m, yaw rad) of base_link.

    :param spread: (3, 3) covariance of the belief without any bias, and of the truth.
    :param measured: error of the image's own measurement; None if it had none.
    :param measured_spread: (3, 3) of it.
    :param distance_m: driven so far.
    :param features: (5,) of `fg2_ros.tracker.evidence.features`.
    :param surprise: what the place needs more until it is published, see `BeliefState`.
    """

    drive: int
    distance_m: float
    error: np.ndarray
    spread: np.ndarray
    measured: np.ndarray | None
    measured_spread: np.ndarray | None
    mass: float
    features: np.ndarray
    strength: float
    length_m: float
    surprise: float = 0.0

    @property
    def is_sure(self) -> bool:
        """Whether the belief is sure of a place, after some distance."""
        return self.mass >= RIGHT_MASS and self.length_m >= LEAST_LENGTH_M

    @property
    def is_right(self) -> bool:
        """Whether it is sure of the right place: its errors are those of the method."""
        return self.is_sure and (
            math.hypot(*self.error[:2]) < RIGHT_M and abs(self.error[2]) < RIGHT_RAD)


def samples_of(drive: int, answers: Iterable[tuple[CameraFrame, TrackedPose | Rejection]]
               ) -> list[Sample]:
    """
    Return what can be learnt of a drive.

    :param answers: what the tracker said of the images, one after the other.
    """
    samples, driven_m, before = [], 0.0, None
    for shot, answer in answers:
        truth = shot.truth
        if before is not None:
            driven_m += math.hypot(truth.x - before.x, truth.y - before.y)
        before = truth
        if answer.belief is not None:
            samples.append(_sample(drive, driven_m, shot, answer, answer.belief))
    return samples


def _sample(drive: int, distance_m: float, shot: CameraFrame, answer: TrackedPose | Rejection,
            belief: BeliefState) -> Sample:
    measurement = answer.measurement if isinstance(answer, TrackedPose) else None
    truth, of_truth = shot.truth, shot.sigma.covariance
    return Sample(
        drive, distance_m, np.array(pose_error(belief.mean, truth)),
        belief.covariance + of_truth,
        None if measurement is None else np.array(pose_error(measurement.base, truth)),
        None if measurement is None else measurement.covariance + of_truth, belief.mass,
        np.array(belief.features), belief.strength, belief.length_m, belief.surprise)
