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

"""Figures over cross-view results: hand-made poses with known errors."""

import json
import math

from fg2_ros.evaluation.vigor_kitti.results import (
    CrossViewResult, pose_metrics, pose_metrics_by_group, PoseFound)
from fg2_ros.evaluation.vigor_kitti.run import extremes
import numpy as np
import pytest

IDENTITY = tuple(map(tuple, np.eye(3).tolist()))


def result(yaw_deg=0.0, translation_m=(0.0, 0.0), true_yaw_deg=0.0, true_translation_m=(0.0, 0.0),
           scale=1.0, group='g', covariance=IDENTITY):
    """Return a result with a pose."""
    pose = PoseFound(yaw_deg, translation_m, covariance, 0.5)
    return CrossViewResult(
        0, 'n', group, metres_per_grid_metre=scale, true_yaw_deg=true_yaw_deg,
        true_translation_m=true_translation_m, pose=pose)


def without_pose():
    """Return a result without one."""
    return CrossViewResult(
        1, 'm', 'g', metres_per_grid_metre=1.0, true_yaw_deg=0.0, true_translation_m=(0.0, 0.0),
        pose=None)


def test_errors_are_in_real_metres_along_and_across():
    found = result(translation_m=(3.0, -4.0), true_translation_m=(0.0, -2.0), scale=1.5)
    assert found.longitudinal_m == pytest.approx(4.5)
    assert found.lateral_m == pytest.approx(3.0)
    assert found.error_m == pytest.approx(math.hypot(4.5, 3.0))


def test_yaw_error_wraps():
    assert result(175.0, true_yaw_deg=-178.0).yaw_error_deg == pytest.approx(7)
    assert result(345.5, true_yaw_deg=-14.5).yaw_error_deg == pytest.approx(0, abs=1e-9)


def test_camera_error_is_that_of_the_place_in_the_patch():
    """A camera 20 m from the centre, found there but turned: t moves, the camera does not."""
    turn = math.radians(10)
    turned = (20 * math.cos(turn), -20 * math.sin(turn))
    found = result(10.0, turned, 0.0, (20.0, 0.0), scale=2.0)
    assert found.camera_error_m == pytest.approx(0, abs=1e-5)
    assert found.error_m == pytest.approx(2 * 2 * 20 * math.sin(turn / 2))
    assert found.frame_result.error.yaw == pytest.approx(turn)


def test_the_camera_s_error_has_the_axes_of_its_covariance():
    """Both are east and north: t = (1, 0) is a camera 1 m north of the centre."""
    covariance = ((1.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 1.0))
    found = result(translation_m=(2.0, 0.0), scale=3.0, covariance=covariance)
    assert found.frame_result.error[:2] == pytest.approx((0, 6))
    assert found.frame_result.nees == pytest.approx(1 / 3)


def test_figures_are_the_published_ones():
    """Means and medians are over frames with a pose; a frame without one is missed."""
    results = [
        result(0.5, (0.5, 0.0)), result(-2.0, (0.0, 2.0)), result(10.0, (6.0, 8.0)),
        without_pose()]
    values = pose_metrics(results, by_axis=True)
    expected = {
        'frames': 4, 'without_pose': 1, 'mean_error_m': 12.5 / 3, 'median_error_m': 2.0,
        'p90_error_m': 2 + 0.8 * 8, 'mean_yaw_error_deg': 12.5 / 3, 'median_yaw_error_deg': 2.0,
        'recall_1m': 0.25, 'recall_3m': 0.5, 'recall_5m': 0.5, 'recall_10m': 0.5,
        'lateral_recall_1m': 0.25, 'lateral_recall_3m': 0.5, 'lateral_recall_5m': 0.5,
        'longitudinal_recall_1m': 0.5, 'longitudinal_recall_5m': 0.5,
        'yaw_recall_1deg': 0.25, 'yaw_recall_3deg': 0.5, 'yaw_recall_5deg': 0.5}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    json.dumps(values, allow_nan=False)
    assert 'yaw_recall_1deg' not in pose_metrics(results)


def test_the_worst_are_those_without_a_pose_then_those_of_the_largest_errors():
    near, far, further = (result(translation_m=(metres, 0.0)) for metres in (1.0, 5.0, 9.0))
    lost = without_pose()
    results = [far, lost, near, further]
    assert extremes(results, 1) == ([near], [lost])
    assert extremes(results, 2) == ([near, far], [lost, further])
    assert extremes(results, 4) == ([near, far, further], [lost])


def test_honest_covariances_have_an_anees_of_one():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3)) * [[1], [1], [0.02]]
    covariance = tuple(map(tuple, root @ root.T))
    results = []
    for east_m, north_m, yaw in rng.normal(size=(2000, 3)) @ root.T:
        rotation = np.array([[math.cos(-yaw), -math.sin(-yaw)], [math.sin(-yaw), math.cos(-yaw)]])
        translation_m = -rotation @ [-north_m, east_m]
        results.append(result(
            math.degrees(yaw), tuple(translation_m), scale=1.3, covariance=covariance))
    assert pose_metrics(results)['anees'] == pytest.approx(1, abs=0.07)


def test_nothing_but_failures_has_no_errors():
    values = pose_metrics([without_pose()])
    assert values['mean_error_m'] is None and values['anees'] is None
    assert values['recall_10m'] == 0
    with pytest.raises(ValueError, match='no results'):
        pose_metrics([])


def test_groups_keep_their_order():
    results = [result(group='b'), result(group='a'), result(group='b')]
    groups = pose_metrics_by_group(results)
    assert [(name, values['frames']) for name, values in groups.items()] == [('b', 2), ('a', 1)]


@pytest.mark.parametrize('made', [result(3.0, (1.5, -2.0)), without_pose()])
def test_json_keeps_everything(made):
    again = CrossViewResult.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.to_dict() == json.loads(json.dumps(made.to_dict()))
    assert again.error_m == pytest.approx(made.error_m, nan_ok=True)
    assert again.camera_error_m == pytest.approx(made.camera_error_m, nan_ok=True)
