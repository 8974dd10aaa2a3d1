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

"""Errors of estimates and their summary over many frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Sequence

from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np
from numpy.typing import ArrayLike

OVER_M = 5.0  # errors above it count as failures
DEGREES_OF_FREEDOM = 3


@dataclass(frozen=True)
class FrameResult:
    """
    What came of one frame.

    :param error: estimate less truth: east, north (m) and yaw (rad, wrapped).
    :param covariance: (3, 3) that the estimate claimed for (east m, north m, yaw rad).
    :param accepted: whether the localizer stood by its estimate.
    :param latency_ms: from panorama to estimate.
    :param baseline_error_m: position error of the baseline on this frame, if it was run.
    :param truth_covariance: (3, 3) of the truth itself, in the same units; a measured one errs.
    """

    error: Pose2
    covariance: np.ndarray
    accepted: bool = True
    latency_ms: float | None = None
    baseline_error_m: float | None = None
    truth_covariance: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))

    @property
    def error_covariance(self) -> np.ndarray:
        """Return the (3, 3) covariance that the error should have: claims and truth err apart."""
        return self.covariance + self.truth_covariance

    @property
    def position_error_m(self) -> float:
        """Return the distance between estimate and truth."""
        return float(np.hypot(self.error.x, self.error.y))

    @property
    def yaw_error_deg(self) -> float:
        """Return the absolute yaw error."""
        return float(np.degrees(abs(self.error.yaw)))

    @property
    def nees(self) -> float:
        """
        Return the normalised estimation error squared, over its 3 degrees of freedom.

        Its expectation is 1 for an honest covariance; above 1 is overconfident, below timid.
        """
        error = np.asarray(self.error, float)
        squared = float(error @ np.linalg.solve(self.error_covariance, error))
        return squared / DEGREES_OF_FREEDOM


def pose_error(estimate: Pose2, truth: Pose2) -> Pose2:
    """Return estimate less truth: east, north in metres, yaw wrapped to [-pi, pi)."""
    return Pose2(
        estimate.x - truth.x, estimate.y - truth.y, wrap_angle(estimate.yaw - truth.yaw))


def share_over(errors: ArrayLike, limit: float) -> float:
    """Return the share, 0 to 1, of errors above a limit; NaN counts as above."""
    return float(np.mean(~(np.asarray(errors, float) <= limit)))


def share_below(errors: ArrayLike, limit: float) -> float:
    """Return the share, 0 to 1, of errors below a limit (the recall); NaN is not below."""
    return float(np.mean(np.asarray(errors, float) < limit))


def anees(results: Sequence[FrameResult]) -> float | None:
    """
    Return the average NEES of the accepted results; None if there are none.

    Divided by the 3 degrees of freedom: 1 is ideal. Rejected estimates are never published, so
    what covariance they had does not count.
    """
    values = [result.nees for result in results if result.accepted]
    return float(np.mean(values)) if values else None


def frame_metrics(results: Sequence[FrameResult]) -> dict[str, float | int | None]:
    """
    Return the figures of an evaluation under their JSON names.

    Position and yaw figures are over *all* frames, rejected ones included, so that rejecting
    more cannot make them better; ``accepted`` is the share that was not rejected. What was not
    measured is None.

    :raises ValueError: if there are no results.
    """
    if not results:
        raise ValueError('there are no results to summarise')
    position = np.array([result.position_error_m for result in results])
    yaw = np.array([result.yaw_error_deg for result in results])
    return {
        'frames': len(results),
        'accepted': float(np.mean([result.accepted for result in results])),
        'baseline_median_error_m': _median(result.baseline_error_m for result in results),
        'median_error_m': float(np.median(position)),
        'mean_error_m': float(np.mean(position)),
        'p95_error_m': float(np.percentile(position, 95)),
        'over_5m': share_over(position, OVER_M),
        'median_yaw_error_deg': float(np.median(yaw)),
        'p95_yaw_error_deg': float(np.percentile(yaw, 95)),
        'anees': anees(results),
        'latency_p50_ms': _median(result.latency_ms for result in results),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
