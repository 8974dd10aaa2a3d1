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

"""The record of a vehicle that localized itself along a known drive, and its errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from fg2_ros.evaluation.metrics import anees, FrameResult
from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np

SAME_STAMP_S = 1e-6


@dataclass(frozen=True)
class DriveRecord:
    """
    One drive: truth, GNSS and estimates in one map frame (east, north metres, yaw radians).

    Times are seconds since the first frame. An estimate belongs to the frame of exactly its time.
    """

    truth_time_s: np.ndarray          # (F,)
    truth: np.ndarray                 # (F, 3) base_link at the frames
    gnss_time_s: np.ndarray           # (G,) fixes only, no outages
    gnss_m: np.ndarray                # (G, 2) where the receiver says that it is
    gnss_antenna_m: tuple[float, float]  # where it is in base_link
    time_s: np.ndarray                # (E,)
    pose: np.ndarray                  # (E, 3)
    covariance: np.ndarray            # (E, 3, 3)
    latency_ms: np.ndarray            # (E,) from the image's stamp to the pose's arrival
    overlays: list[tuple[float, bytes]] = field(default_factory=list)  # (time, JPEG)
    notes: dict[str, str] = field(default_factory=dict)  # what else is worth telling

    def __post_init__(self) -> None:
        """Refuse estimates at no frame: their error is not known."""
        late = np.abs(self.truth_at(self.time_s)[0] - self.time_s)
        if np.any(late > SAME_STAMP_S):
            raise ValueError(
                f'{np.sum(late > SAME_STAMP_S)} of {len(self.time_s)} estimates do not have the '
                'stamp of a frame')

    def truth_at(self, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (N,) times and (N, 3) poses of the frames nearest to (N,) times."""
        gaps = np.abs(np.asarray(time_s)[:, None] - self.truth_time_s[None])
        nearest = np.argmin(gaps, axis=1) if gaps.size else np.zeros(0, int)
        return self.truth_time_s[nearest], self.truth[nearest]

    @property
    def errors(self) -> np.ndarray:
        """Return (E, 3) estimates minus truth: east, north, yaw."""
        difference = self.pose - self.truth_at(self.time_s)[1]
        difference[:, 2] = wrap_angle(difference[:, 2])
        return difference

    @property
    def position_error_m(self) -> np.ndarray:
        """Return (E,) horizontal distances of the estimates from the truth."""
        return np.hypot(*self.errors[:, :2].T)

    @property
    def gnss_error_m(self) -> np.ndarray:
        """Return (G,) distances of the fixes from the antenna; NaN before and after the frames."""
        def truth_at(values: np.ndarray) -> np.ndarray:
            return np.interp(self.gnss_time_s, self.truth_time_s, values, np.nan, np.nan)

        east, north = truth_at(self.truth[:, 0]), truth_at(self.truth[:, 1])
        yaw = truth_at(np.unwrap(self.truth[:, 2]))
        ahead, left = self.gnss_antenna_m
        east += np.cos(yaw) * ahead - np.sin(yaw) * left
        north += np.sin(yaw) * ahead + np.cos(yaw) * left
        return np.hypot(self.gnss_m[:, 0] - east, self.gnss_m[:, 1] - north)

    @property
    def results(self) -> list[FrameResult]:
        """Return the estimates as other evaluations have them."""
        return [
            FrameResult(Pose2(*error), covariance, latency_ms=latency_ms)
            for error, covariance, latency_ms
            in zip(self.errors, self.covariance, self.latency_ms)]


def summary(record: DriveRecord) -> dict[str, float | int | None]:
    """Return the figures of a drive; those of estimates are None where there is no estimate."""
    error_m, latency_ms = record.position_error_m, record.latency_ms
    consistency = anees(record.results)
    gnss_m = record.gnss_error_m[np.isfinite(record.gnss_error_m)]
    return {
        'frames': len(record.truth),
        'published': len(record.pose),
        'median_error_m': _figure(np.median, error_m),
        'mean_error_m': _figure(np.mean, error_m),
        'p95_error_m': _percentile(error_m, 95),
        'median_yaw_error_deg': _figure(np.median, np.degrees(np.abs(record.errors[:, 2]))),
        'gnss_median_error_m': _figure(np.median, gnss_m),
        'latency_p50_ms': _percentile(latency_ms, 50),
        'latency_p95_ms': _percentile(latency_ms, 95),
        'anees': None if consistency is None else round(consistency, 4),
    }


def _figure(function: Callable[[np.ndarray], float], values: np.ndarray) -> float | None:
    return round(float(function(values)), 4) if len(values) else None


def _percentile(values: np.ndarray, percent: float) -> float | None:
    return _figure(lambda each: float(np.percentile(each, percent)), values)
