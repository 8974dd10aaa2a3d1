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

"""Errors and summaries: hand-made cases, and honest covariances give an ANEES of 1."""

import json

from fg2_ros.evaluation.metrics import anees, frame_metrics, FrameResult, pose_error, share_over
from fg2_ros.geometry.se2 import Pose2
import numpy as np
import pytest


def result(east_m=0.0, north_m=0.0, yaw_deg=0.0, **others):
    """Return a result with a unit covariance."""
    return FrameResult(Pose2(east_m, north_m, np.radians(yaw_deg)), np.eye(3), **others)


def test_pose_error_wraps_the_yaw():
    """The short way around counts."""
    error = pose_error(Pose2(3, 4, np.radians(179)), Pose2(0, 0, np.radians(-179)))
    assert error[:2] == (3, 4)
    assert np.degrees(error.yaw) == pytest.approx(-2)


def test_share_over_counts_nan_as_failure():
    """The limit itself is not above the limit."""
    assert share_over([1, 5, 5.1, np.nan], 5) == 0.5


def test_honest_covariances_have_anees_one():
    """The normalisation is by the three degrees of freedom; claims count quadratically."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3))
    errors = rng.normal(size=(4000, 3)) @ root.T
    honest = [FrameResult(Pose2(*error), root @ root.T) for error in errors]
    bold = [FrameResult(Pose2(*error), root @ root.T / 4) for error in errors]
    assert anees(honest) == pytest.approx(1, abs=0.05)
    assert anees(bold) == pytest.approx(4 * anees(honest))


def test_summary_has_the_agreed_names_and_values():
    """Errors are over all frames, ANEES over the accepted ones only; JSON takes it all."""
    results = [
        result(3, 4, 1, latency_ms=10, baseline_error_m=2), result(0, 1, -3, latency_ms=30),
        result(60, 80, 50, accepted=False, baseline_error_m=4)]
    figures = frame_metrics(results)
    assert set(figures) == {
        'frames', 'accepted', 'baseline_median_error_m', 'median_error_m', 'mean_error_m',
        'p95_error_m', 'over_5m', 'median_yaw_error_deg', 'p95_yaw_error_deg', 'anees',
        'latency_p50_ms'}
    assert figures['frames'] == 3
    assert figures['accepted'] == pytest.approx(2 / 3)
    assert figures['baseline_median_error_m'] == 3
    assert figures['median_error_m'] == 5
    assert figures['mean_error_m'] == pytest.approx(106 / 3)
    assert figures['over_5m'] == pytest.approx(1 / 3)
    assert figures['median_yaw_error_deg'] == pytest.approx(3)
    expected = (25 + np.radians(1) ** 2 + 1 + np.radians(3) ** 2) / 2 / 3
    assert figures['anees'] == pytest.approx(expected)
    assert figures['latency_p50_ms'] == 20
    json.dumps(figures, allow_nan=False)


def test_summary_says_what_was_not_measured():
    """Missing figures are None, no frames at all are an error."""
    figures = frame_metrics([result(accepted=False)])
    assert figures['anees'] is None
    assert figures['latency_p50_ms'] is None
    with pytest.raises(ValueError, match='no results'):
        frame_metrics([])
