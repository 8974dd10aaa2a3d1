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

"""A vehicle's filter that is fed with ~/pose, compared with one that is fed with GNSS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fg2_ros.evaluation.drives.planar_filter import PlanarFilter
from fg2_ros.evaluation.drives.results import Claim, FilterResult, ImageResult
from fg2_ros.evaluation.drives.stream import CameraFrame, Event, Heading, SensorStream, stamp_ns
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.inputs import Fix, Odometry
import numpy as np

Take = Callable[[PlanarFilter, Event], None]


def filter_result(stream: SensorStream, images: Sequence[ImageResult]) -> FilterResult:
    """
    Run both filters along a drive, and compare them where both have started.

    Without odometry there is nothing that a filter could carry poses along by.

    :param images: one for each shot of the stream, in the same order.
    """
    if stream.odometry is None:
        return FilterResult(None, None, None)
    fed = filtered(stream, pose_feeder(stream, images))
    by_gnss = filtered(stream, GnssFeeder())
    truths = [image.truth for image in images]
    errors = [image.errors_of(claim) for claim, image in zip(fed, images) if claim]
    both = [(own, gnss, truth) for own, gnss, truth in zip(fed, by_gnss, truths) if own and gnss]
    return FilterResult(
        rmse_m([own for own, _, _ in both] if both else fed,
               [truth for _, _, truth in both] if both else truths),
        rmse_m([gnss for _, gnss, _ in both], [truth for _, _, truth in both]),
        float(np.mean([error.nees for error in errors])) if errors else None)


def filtered(stream: SensorStream, take: Take) -> list[Claim | None]:
    """
    Return where a filter has the vehicle at each shot; None before it started.

    :param take: gives a measurement to the filter, or starts it.
    """
    claims: list[Claim | None] = []
    pose_filter, twist, now_ns = PlanarFilter(), Pose2(0.0, 0.0, 0.0), 0
    for event in stream.events():
        if pose_filter.has_started:
            pose_filter.predict(twist, (event.stamp_ns - now_ns) / 1e9)
        now_ns = event.stamp_ns
        if isinstance(event.content, Odometry):
            twist = event.content.twist
        take(pose_filter, event)
        if isinstance(event.content, CameraFrame):
            claims.append(Claim(pose_filter.pose, pose_filter.covariance)
                          if pose_filter.has_started else None)
    return claims


def pose_feeder(stream: SensorStream, images: Sequence[ImageResult]) -> Take:
    """Return what feeds a filter with the poses that went out for it."""
    measured = {stamp_ns(shot.time_s): image.measurement
                for shot, image in zip(stream.shots, images)}

    def take(pose_filter: PlanarFilter, event: Event) -> None:
        measurement = measured[event.stamp_ns] if isinstance(event.content, CameraFrame) else None
        if measurement is None:
            return
        if pose_filter.has_started:
            pose_filter.take_pose(measurement.pose, measurement.covariance)
        else:
            pose_filter.start(measurement.pose, measurement.covariance)

    return take


class GnssFeeder:
    """Feeds a filter with fixes and headings; the first of both start it."""

    def __init__(self) -> None:
        """Know no heading."""
        self._heading: Heading | None = None

    def __call__(self, pose_filter: PlanarFilter, event: Event) -> None:
        """Give an event to the filter."""
        if isinstance(event.content, Heading):
            self._heading = event.content
            if pose_filter.has_started:
                pose_filter.take_heading(*event.content)
        elif isinstance(event.content, Fix):
            self._take_fix(pose_filter, event.content)

    def _take_fix(self, pose_filter: PlanarFilter, fix: Fix) -> None:
        if not pose_filter.has_started:
            if self._heading is None:
                return
            pose_filter.start(Pose2.at(fix.position_m, self._heading.yaw_rad), np.diag([
                fix.sigma_m ** 2, fix.sigma_m ** 2, self._heading.sigma_rad ** 2]))
        pose_filter.take_position(fix.position_m, fix.sigma_m, fix.lever_m)


def rmse_m(claims: Sequence[Claim | None], truths: Sequence[Pose2]) -> float | None:
    """Return the root of the mean squared position error; None where nothing was claimed."""
    errors = [claim.against(truth).position_error_m
              for claim, truth in zip(claims, truths) if claim]
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else None
