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

"""Replay the messages of a recording through the node's pipeline, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
import time

import cv2
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.replay.recording import Recorded, Recording, Topics
from fg2_ros.ros import conversions
from fg2_ros.ros.diagnostics import Rejected
from fg2_ros.ros.image_sets import ImageSet, ImageSets
from fg2_ros.ros.overlays import match_overlay
from fg2_ros.ros.pipeline import CameraImage, Pipeline
from fg2_ros.ros.stamps import Stamps
from fg2_ros.tracker.results import Measurement, TrackedPose
import numpy as np


@dataclass(frozen=True)
class ReplayedPose:
    """
    Where base_link is believed to be at an image.

    :param base: in the map.
    :param covariance: (3, 3) of east m, north m, yaw rad.
    :param place_deg: latitude and longitude.
    :param measurement: what the image alone says, the node's ~/pose.
    :param altitude: of the last fix; None if none had one.
    """

    base: Pose2
    covariance: np.ndarray
    place_deg: tuple[float, float]
    measurement: Measurement | None
    altitude: conversions.Altitude | None = None


@dataclass(frozen=True)
class ReplayedImage:
    """
    What became of an image.

    :param stamp_ns: of the image.
    :param time_ns: when it was recorded.
    :param latency_ms: from the message to the pose.
    :param pose: None if the node would publish none.
    :param kind: of the rejection, one of few words; '' if there is a pose.
    :param rejection: a sentence.
    :param overlay: JPEG of the matches, if it was to be drawn.
    """

    stamp_ns: int
    time_ns: int
    latency_ms: float
    pose: ReplayedPose | None = None
    kind: str = ''
    rejection: str = ''
    overlay: bytes | None = None

    @property
    def accepted(self) -> bool:
        """Whether the node would publish it."""
        return self.pose is not None


class Replay:
    """
    A recording and the pipeline that takes its messages, with counts of them.

    Messages come in the order of their recording, and an image is localized before the next
    message is read: a later one cannot help it, as little as it can help a node.

    :param overlay_every: the matches of one in so many images are drawn; 0 for none.
    """

    def __init__(self, recording: Recording, topics: Topics, pipeline: Pipeline,
                 overlay_every: int = 0):
        """Begin at the beginning."""
        self._recording, self._topics, self._pipeline = recording, topics, pipeline
        self._overlay_every = overlay_every
        self._listeners = {
            topics.fix: pipeline.add_fix, topics.odom: pipeline.add_odometry,
            topics.imu: pipeline.add_imu}
        self._cameras = {image: index for index, (image, _) in enumerate(topics.cameras)}
        self._infos = {info: intrinsics.update for (_, info), intrinsics in zip(
            topics.cameras, pipeline.cameras.intrinsics)}
        self._sets = ImageSets(len(self._cameras), pipeline.cameras.sync_s)
        self.unusable: Counter[str] = Counter()  # messages by topic
        self.last_trouble: dict[str, str] = {}   # by topic
        self.end = ''  # why not all messages could be read
        self._stamps = Stamps()

    def outcomes(self, every: int = 1, limit: int | None = None) -> Iterator[ReplayedImage]:
        """
        Yield what becomes of one in ``every`` images, up to ``limit`` of them.

        A bag that is damaged is read as far as it is whole; `end` then says where that is.
        """
        seen = localized = 0
        for recorded in self._recording.messages(filter(None, self._topics.heard)):
            if recorded.topic not in self._cameras:
                self._add(recorded)
                continue
            taken = self._taken(recorded)
            if taken is None:
                continue
            seen += 1
            if (seen - 1) % every == 0:
                draws = self._overlay_every > 0 and localized % self._overlay_every == 0
                yield self._outcome(recorded, taken, draws)
                localized += 1
                if localized == limit:
                    return
        self.end = self._recording.damage

    def _add(self, recorded: Recorded) -> None:
        try:
            message = recorded.message()
            if recorded.topic in self._infos:
                self._infos[recorded.topic](message)
                return
            if self._stamps.note(recorded.topic, conversions.stamp_ns(message.header.stamp)):
                self._pipeline.clear()  # its clock was set back, or it was started again
                self._stamps.clear()
            self._listeners[recorded.topic](message)
        except ValueError as error:
            self._note_unusable(recorded, error)

    def _taken(self, recorded: Recorded) -> Recorded | ImageSet | None:
        """Return an image, or what a ring of cameras has taken at one time if it is complete."""
        if len(self._cameras) == 1:
            return recorded
        try:
            return self._sets.add(self._cameras[recorded.topic], 'bag', recorded.message())
        except ValueError as error:
            self._note_unusable(recorded, error)
            return None

    def _note_unusable(self, recorded: Recorded, error: ValueError) -> None:
        self.unusable[recorded.topic] += 1
        self.last_trouble[recorded.topic] = str(error)

    def _outcome(self, recorded: Recorded, taken: Recorded | ImageSet,
                 draws: bool) -> ReplayedImage:
        begin_s = time.perf_counter()
        stamp_ns = recorded.time_ns
        try:
            message = taken if isinstance(taken, ImageSet) else taken.message()
            stamp_ns = conversions.stamp_ns(message.header.stamp)
            image = self._pipeline.camera_image(message)
            pose = self._pipeline.track(image)
        except Rejected as rejected:
            kind, rejection = rejected.kind, str(rejected)
        except ValueError as error:
            kind, rejection = 'image', str(error)
        else:
            latency_ms = 1e3 * (time.perf_counter() - begin_s)
            return ReplayedImage(
                stamp_ns, recorded.time_ns, latency_ms, self._pose(pose),
                overlay=self._overlay(image, pose) if draws else None)
        latency_ms = 1e3 * (time.perf_counter() - begin_s)
        return ReplayedImage(
            stamp_ns, recorded.time_ns, latency_ms, kind=kind, rejection=rejection)

    def _pose(self, pose: TrackedPose) -> ReplayedPose:
        frame = self._pipeline.map_frame
        assert frame is not None  # or there would be no pose
        return ReplayedPose(
            pose.base, pose.covariance, frame.geodetic_from_map(pose.base.x, pose.base.y),
            pose.measurement, self._pipeline.altitude)

    def _overlay(self, image: CameraImage, pose: TrackedPose) -> bytes | None:
        try:
            estimate = self._pipeline.explain(image, pose.base)
        except (ImageryError, ValueError):
            return None
        return _jpeg(match_overlay(image.image, estimate))


def _jpeg(rgb: np.ndarray) -> bytes:
    _, data = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return data.tobytes()
