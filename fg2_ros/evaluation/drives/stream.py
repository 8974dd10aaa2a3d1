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

"""A vehicle's sensor data along a drive, as events in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from fg2_ros.evaluation.drives.readings import (
    GnssReadings, HeadingReadings, OdometryReadings, Readings)
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import Imagery
from fg2_ros.tracker.inputs import Fix, Odometry
import numpy as np

Change = Callable[[np.ndarray], np.ndarray]

EPOCH_S = 1000.0  # stamp of the beginning: messages of a vehicle never begin at zero


class Panoramas(Protocol):
    """Where images come from: a rendered drive, or a run of a recorded one."""

    def panorama(self, index: int) -> np.ndarray:
        """Return an image, (h, w, 3) uint8 RGB."""

    def seen(self, index: int) -> np.ndarray | None:
        """Return which parts of an image are a picture, (h, w) bool of any size; None for all."""


@dataclass(frozen=True)
class DriveImage:
    """
    An image of a drive, read when it is asked for.

    :param change: what is done to the (h, w, 3) uint8 RGB pixels before they are seen.
    :param move: what that does to the (h, w) bool mask of them; None for nothing.
    """

    drive: Panoramas
    index: int
    change: Change | None = None
    move: Change | None = None

    def pixels(self) -> np.ndarray:
        """Return the (h, w, 3) uint8 RGB panorama."""
        panorama = self.drive.panorama(self.index)
        return panorama if self.change is None else self.change(panorama)

    def seen(self) -> np.ndarray | None:
        """Return which parts of it are a picture, (h, w) bool of any size; None for all."""
        seen = self.drive.seen(self.index)
        return seen if seen is None or self.move is None else self.move(seen)


class Sigma(NamedTuple):
    """How well a pose is known: one sigma of its place on each axis, and of its heading."""

    position_m: float = 0.0
    yaw_rad: float = 0.0

    @property
    def covariance(self) -> np.ndarray:
        """Return the (3, 3) covariance of (east m, north m, yaw rad)."""
        return np.diag(np.square([self.position_m, self.position_m, self.yaw_rad]))


class CameraFrame(NamedTuple):
    """
    An image, when it is taken, and where base_link is then.

    :param sigma: of the truth; nothing if it is simulated.
    """

    time_s: float
    truth: Pose2
    image: DriveImage
    sigma: Sigma = Sigma()


class Heading(NamedTuple):
    """What is said of the map yaw of base_link."""

    yaw_rad: float
    sigma_rad: float


class Event(NamedTuple):
    """A message to a vehicle: a `Fix`, `Odometry`, `Heading` or `CameraFrame`."""

    stamp_ns: int
    content: Fix | Odometry | Heading | CameraFrame


@dataclass(frozen=True)
class SensorStream:
    """
    All that reaches a localizer along one drive, and the truth beside it.

    :param odometry: None if there is none; ``heading`` likewise.
    :param base_from_camera: as the vehicle's description has it.
    :param antenna_m: in base_link.
    :param fault_s: when something happens that the localizer must get over; None if nothing does.
    """

    shots: tuple[CameraFrame, ...]
    gnss: GnssReadings
    odometry: OdometryReadings | None
    heading: HeadingReadings | None
    imagery: Imagery
    map_frame: MapFrame
    base_from_camera: Pose2
    antenna_m: tuple[float, float]
    fault_s: float | None = None

    def events(self) -> Iterator[Event]:
        """Yield everything in the order of time; an image comes after what has its stamp."""
        parts = [self._odometry_events(), self._headings(), self._fixes(), [
            Event(stamp_ns(shot.time_s), shot) for shot in self.shots]]
        yield from sorted((event for part in parts for event in part),
                          key=lambda event: event.stamp_ns)

    def with_images(self, change: Change, move: Change | None = None) -> SensorStream:
        """
        Return a stream whose images are changed.

        :param move: what that does to their masks.
        """
        return replace(self, shots=tuple(
            shot._replace(image=replace(shot.image, change=change, move=move))
            for shot in self.shots))

    def with_images_of(self, images: Iterator[DriveImage]) -> SensorStream:
        """Return a stream that sees other images at the same places."""
        return replace(self, shots=tuple(
            shot._replace(image=image) for shot, image in zip(self.shots, images)))

    def _odometry_events(self) -> list[Event]:
        return [Event(stamp_ns(time_s), Odometry(
                    Pose2(x, y, yaw), Pose2(forward, leftward, rate)))
                for time_s, x, y, yaw, forward, leftward, rate in _rows(self.odometry)]

    def _headings(self) -> list[Event]:
        return [Event(stamp_ns(time_s), Heading(yaw_rad, sigma_rad))
                for time_s, yaw_rad, sigma_rad in _rows(self.heading)]

    def _fixes(self) -> list[Event]:
        return [Event(stamp_ns(time_s), Fix(np.array(place_m), sigma_m, self.antenna_m))
                for time_s, place_m, sigma_m in _rows(self.gnss) if np.isfinite(place_m).all()]


def stamp_ns(time_s: float) -> int:
    """Return the stamp of a time of the drive."""
    return round((EPOCH_S + float(time_s)) * 1e9)


def _rows(readings: Readings | None) -> Iterator[tuple]:
    return iter(()) if readings is None else readings.rows()
