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

"""Results of the frames of a cross-view data set, and their summary."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import math
from typing import Callable, NamedTuple, Sequence

from fg2_ros.datasets.frames import CrossViewFrame, rotation_of_yaw, yaw_deg_of
from fg2_ros.evaluation.metrics import anees, FrameResult, pose_error, share_below
from fg2_ros.geometry.se2 import map_pose_from_solution, Pose2, wrap_angle
import numpy as np

RECALLS_M = (1, 3, 5, 10)
AXIS_RECALLS = (1, 3, 5)  # metres and degrees


@dataclass(frozen=True)
class PoseFound:
    """
    An estimated pose in the network's grid, ``Y = R X + t``.

    :param yaw_deg: roll of the ground image to the right that R stands for.
    :param translation_m: (row, column) of t.
    :param covariance: (3, 3) of (east m, north m, yaw rad) of the camera.
    :param inlier_ratio: share of the drawn matches that agree with the pose.
    """

    yaw_deg: float
    translation_m: tuple[float, float]
    covariance: tuple[tuple[float, ...], ...]
    inlier_ratio: float

    @property
    def camera(self) -> Pose2:
        """Return the camera's pose from the patch's centre, grid metres."""
        return _camera(self.yaw_deg, self.translation_m)


@dataclass(frozen=True)
class CrossViewResult:
    """
    What came of one frame; JSON-ready by `to_dict`.

    :param index: in the data set.
    :param true_yaw_deg: of the panorama as it was shown to the network.
    :param pose: None where the matches determined none.
    """

    index: int
    name: str
    group: str
    metres_per_grid_metre: float
    true_yaw_deg: float
    true_translation_m: tuple[float, float]
    pose: PoseFound | None

    @classmethod
    def of(cls, index: int, frame: CrossViewFrame, pose: PoseFound | None) -> CrossViewResult:
        """Return the result of a frame."""
        row_m, column_m = map(float, frame.translation)
        return cls(
            index=index, name=frame.name, group=frame.group,
            metres_per_grid_metre=float(frame.metres_per_grid_metre),
            true_yaw_deg=float(yaw_deg_of(frame.rotation)),
            true_translation_m=(row_m, column_m), pose=pose)

    @classmethod
    def from_dict(cls, values: dict) -> CrossViewResult:
        """Return the result that `to_dict` wrote."""
        pose = PoseFound(**values['pose']) if values['pose'] else None
        return cls(**values | {'pose': pose})

    def to_dict(self) -> dict:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @property
    def error_m(self) -> float:
        """Return the published error ``|t - true t|`` in real metres; NaN without pose."""
        return float(np.hypot(*self._translation_error_m))

    @property
    def longitudinal_m(self) -> float:
        """Return the absolute error of t along the viewing direction, real metres."""
        return float(abs(self._translation_error_m[0]))

    @property
    def lateral_m(self) -> float:
        """Return the absolute error of t across the viewing direction, real metres."""
        return float(abs(self._translation_error_m[1]))

    @property
    def yaw_error_deg(self) -> float:
        """Return the absolute yaw error; NaN without pose."""
        if self.pose is None:
            return math.nan
        return abs(math.degrees(wrap_angle(
            math.radians(self.pose.yaw_deg - self.true_yaw_deg))))

    @property
    def camera_error_m(self) -> float:
        """
        Return how far the camera is from where it was found, real metres; NaN without pose.

        Unlike ``error_m`` it does not grow with the yaw error times the distance from the centre.
        """
        result = self.frame_result
        return math.nan if result is None else result.position_error_m

    @property
    def errors_text(self) -> str:
        """Return how far off the pose is, in a few words of ASCII."""
        if self.pose is None:
            return 'no pose'
        return (f'{self.error_m:.2f} m and {self.yaw_error_deg:.2f} deg off, '
                f'{self.pose.inlier_ratio:.0%} inliers')

    @property
    def frame_result(self) -> FrameResult | None:
        """Return error and covariance of the camera's pose in real metres; None without pose."""
        if self.pose is None:
            return None
        scale = np.array([self.metres_per_grid_metre, self.metres_per_grid_metre, 1.0])
        error = pose_error(
            self.pose.camera, _camera(self.true_yaw_deg, self.true_translation_m))
        return FrameResult(
            Pose2(*map(float, scale * error)),
            np.array(self.pose.covariance) * scale[:, None] * scale)

    @property
    def _translation_error_m(self) -> np.ndarray:
        if self.pose is None:
            return np.full(2, math.nan)
        error = np.subtract(self.pose.translation_m, self.true_translation_m)
        return error * self.metres_per_grid_metre


class Case(NamedTuple):
    """One frame with its (h, w, 3) uint8 RGB overlay."""

    result: CrossViewResult
    picture: np.ndarray


def pose_metrics(results: Sequence[CrossViewResult], by_axis: bool = False) -> dict:
    """
    Return the figures over frames under their JSON names.

    Mean, median and percentile are over the frames that have a pose, as published; recalls are
    over all of them, and a frame without a pose is missed.

    :param by_axis: whether to add lateral, longitudinal and yaw recalls, as published for KITTI.
    :raises ValueError: if there are no results.
    """
    if not results:
        raise ValueError('there are no results to summarise')
    posed = [found for result in results if (found := result.frame_result)]
    error_m, yaw_deg, camera_m = (
        np.array([getattr(result, name) for result in results])
        for name in ('error_m', 'yaw_error_deg', 'camera_error_m'))
    values = {
        'frames': len(results),
        'without_pose': len(results) - len(posed),
        **_spread('error_m', error_m),
        **_spread('yaw_error_deg', yaw_deg),
        **_spread('camera_error_m', camera_m),
        **{f'recall_{limit}m': share_below(error_m, limit) for limit in RECALLS_M},
        'anees': anees(posed),
    }
    return values | (_axis_recalls(results) if by_axis else {})


def pose_metrics_by_group(
        results: Sequence[CrossViewResult], by_axis: bool = False) -> dict[str, dict]:
    """Return the figures of each city or drive, in the order of their first frame."""
    groups: dict[str, list[CrossViewResult]] = {}
    for result in results:
        groups.setdefault(result.group, []).append(result)
    return {group: pose_metrics(members, by_axis) for group, members in groups.items()}


def _spread(name: str, values: np.ndarray) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    functions: dict[str, Callable[[np.ndarray], float]] = {
        'mean': np.mean, 'median': np.median, 'p90': lambda each: float(np.percentile(each, 90))}
    return {f'{kind}_{name}': float(function(known)) if len(known) else None
            for kind, function in functions.items()}


def _axis_recalls(results: Sequence[CrossViewResult]) -> dict[str, float]:
    axes = (('lateral_recall', 'lateral_m', 'm'), ('longitudinal_recall', 'longitudinal_m', 'm'),
            ('yaw_recall', 'yaw_error_deg', 'deg'))
    return {
        f'{name}_{limit}{unit}': share_below(
            [getattr(result, field) for result in results], limit)
        for name, field, unit in axes for limit in AXIS_RECALLS}


def _camera(yaw_deg: float, translation_m: Sequence[float]) -> Pose2:
    """Return the camera's pose of ``Y = R X + t``."""
    return map_pose_from_solution(
        rotation_of_yaw(yaw_deg).astype(float), np.array(translation_m, float))
