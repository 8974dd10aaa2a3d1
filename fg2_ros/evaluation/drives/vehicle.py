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

"""The tracker along a drive, with the same calls as in the node, compared with the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.drives.filter_check import filter_result
from fg2_ros.evaluation.drives.results import Claim, DriveResult, ImageResult
from fg2_ros.evaluation.drives.stream import CameraFrame, DriveImage, Event, Heading, SensorStream
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.localizer.estimate import MapPrior
from fg2_ros.localizer.localizer import Localizer
from fg2_ros.tracker import Fix, Odometry, Rejection, TrackedPose, Tracker
import numpy as np


class View(NamedTuple):
    """A panorama, (h, w, 3) uint8 RGB, and which parts of it were imaged; None for all."""

    panorama: np.ndarray
    seen: np.ndarray | None

    @classmethod
    def of(cls, image: DriveImage) -> View:
        """Read an image."""
        return cls(image.pixels(), image.seen())


@dataclass(frozen=True)
class Vehicle:
    """
    A localizer and a tracker along drives, one after the other.

    :param localizer: takes its patches from ``imagery``.
    :param has_single: whether images are localized alone, too, for comparison.
    """

    localizer: Localizer
    imagery: CurrentImagery
    has_single: bool = True

    def new_tracker(self) -> Tracker:
        """Return a tracker with the calibration of the weights."""
        return self.localizer.new_tracker()

    def follow(self, stream: SensorStream, tracker: Tracker) -> Iterator[ImageResult]:
        """
        Yield the result of each image of a drive.

        :param tracker: knows nothing yet.
        """
        for stamp_ns, shot in self._shots(stream, tracker):
            yield self._result(stream, stamp_ns, shot, tracker)

    def answers(self, stream: SensorStream, tracker: Tracker
                ) -> Iterator[tuple[CameraFrame, TrackedPose | Rejection]]:
        """Yield each image of a drive and the tracker's result."""
        for stamp_ns, shot in self._shots(stream, tracker):
            yield shot, self._answer(stream, stamp_ns, View.of(shot.image), tracker)

    def drive(self, name: int | str, stream: SensorStream) -> DriveResult:
        """Return the result of a whole drive."""
        images = tuple(self.follow(stream, self.new_tracker()))
        fault_s = None if stream.fault_s is None else stream.fault_s - stream.shots[0].time_s
        return DriveResult(name, images, fault_s, filter_result(stream, images))

    def _shots(self, stream: SensorStream, tracker: Tracker) -> Iterator[tuple[int, CameraFrame]]:
        """Go to a drive, and yield its images; a tracker gets the sensor data between them."""
        self.imagery.source = stream.imagery
        self.localizer.map_frame = stream.map_frame
        for event in stream.events():
            if isinstance(event.content, CameraFrame):
                yield event.stamp_ns, event.content
            else:
                feed(tracker, event)

    def _result(self, stream: SensorStream, stamp_ns: int, shot: CameraFrame,
                tracker: Tracker) -> ImageResult:
        view = View.of(shot.image)
        result = image_result(shot, self._answer(stream, stamp_ns, view, tracker))
        single = self._single(stream, shot, view) if self.has_single else None
        return replace(result, time_s=shot.time_s - stream.shots[0].time_s, single=single)

    def _answer(self, stream: SensorStream, stamp_ns: int, view: View, tracker: Tracker
                ) -> TrackedPose | Rejection:
        try:
            return self.localizer.track(
                tracker, stamp_ns, view.panorama, stream.base_from_camera, seen=view.seen)
        except ImageryError as error:
            return Rejection(stamp_ns, 'imagery', str(error))

    def _single(self, stream: SensorStream, shot: CameraFrame, view: View) -> Claim | None:
        prior = single_prior(stream, shot.time_s)
        if prior is None:
            return None
        try:
            estimate = self.localizer.estimate(view.panorama, prior, seen=view.seen)
        except ImageryError:
            return None
        if not estimate.accepted:
            return None
        camera = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
        # The camera is so near to base_link that its covariance serves for both.
        return Claim(camera.compose(stream.base_from_camera.inverse()), estimate.covariance)


def feed(tracker: Tracker, event: Event) -> None:
    """Feed a tracker with a sensor's message."""
    if isinstance(event.content, Fix):
        tracker.add_fix(event.stamp_ns, event.content)
    elif isinstance(event.content, Odometry):
        tracker.add_odometry(event.stamp_ns, event.content)
    elif isinstance(event.content, Heading):
        tracker.add_heading(event.stamp_ns, *event.content)


def image_result(shot: CameraFrame, answer: TrackedPose | Rejection) -> ImageResult:
    """Return an answer beside the truth."""
    result = ImageResult(shot.time_s, shot.truth, sigma=shot.sigma)
    if answer.belief is not None:
        result = replace(result, mass=answer.belief.mass, agreement=answer.belief.agreement)
    if isinstance(answer, Rejection):
        return replace(
            result, rejection=answer.kind, sentences=(answer.sentence, *answer.remarks))
    measured = answer.measurement
    return replace(
        result, track=Claim(answer.base, answer.covariance),
        measurement=None if measured is None else Claim(measured.base, measured.covariance),
        sentences=answer.remarks)


def single_prior(stream: SensorStream, time_s: float) -> MapPrior | None:
    """Return the prior by the nearest fix and heading; None if either is missing."""
    fixes = stream.gnss.kept(np.isfinite(stream.gnss.position_m[:, 0]))
    if stream.heading is None or not len(fixes):
        return None
    heading, fix = (np.argmin(np.abs(each.time_s - time_s)) for each in (stream.heading, fixes))
    yaw_rad = float(stream.heading.yaw_rad[heading])
    base = Pose2.at(fixes.position_m[fix], yaw_rad).compose(
        Pose2.at(np.negative(stream.antenna_m), 0.0))
    return MapPrior(base.compose(stream.base_from_camera), float(fixes.sigma_m[fix]),
                    float(stream.heading.sigma_rad[heading]))
