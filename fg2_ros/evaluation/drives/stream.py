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

"""What a vehicle's sensors say along a simulated drive, as events in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from fg2_ros.evaluation.drives.rendered import RenderedDrive, RESOLUTION_M
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.simulation.sensors import GnssTrack, ImuTrack, OdometryTrack
from fg2_ros.tracker.inputs import Fix, Odometry
import numpy as np

EPOCH_S = 1000.0  # stamp of the beginning: messages of a vehicle never begin at zero


@dataclass(frozen=True)
class DriveImage:
    """
    An image of a rendered drive, read when it is asked for.

    :param change: what is done to the (h, w, 3) uint8 RGB pixels before they are seen.
    """

    drive: RenderedDrive
    index: int
    change: Callable[[np.ndarray], np.ndarray] | None = None

    def pixels(self) -> np.ndarray:
        """Return the (h, w, 3) uint8 RGB panorama."""
        panorama = self.drive.panorama(self.index)
        return panorama if self.change is None else self.change(panorama)


class CameraFrame(NamedTuple):
    """An image, when it is taken, and where base_link is then."""

    time_s: float
    truth: Pose2
    image: DriveImage


class Heading(NamedTuple):
    """What an IMU says of the map yaw of base_link."""

    yaw_rad: float
    sigma_rad: float


class Event(NamedTuple):
    """Something that a vehicle is told: a `Fix`, `Odometry`, `Heading` or `CameraFrame`."""

    stamp_ns: int
    content: Fix | Odometry | Heading | CameraFrame


@dataclass(frozen=True)
class SensorStream:
    """
    All that reaches a localizer along one drive, and the truth beside it.

    :param imu: None: nothing knows the heading.
    :param orthophoto: (H, W, 3) uint8 RGB, centred on the origin of ``map_frame``.
    :param base_from_camera: as the vehicle's description has it.
    :param antenna_m: in base_link.
    :param fault_s: when something happens that the localizer must get over; None if nothing does.
    """

    shots: tuple[CameraFrame, ...]
    gnss: GnssTrack
    odometry: OdometryTrack
    imu: ImuTrack | None
    orthophoto: np.ndarray
    map_frame: MapFrame
    base_from_camera: Pose2
    antenna_m: tuple[float, float]
    fault_s: float | None = None

    @property
    def imagery(self) -> RasterImagery:
        """Return the orthophoto as a source of aerial patches."""
        return RasterImagery(self.orthophoto, self.map_frame, (0.0, 0.0), RESOLUTION_M)

    def events(self) -> Iterator[Event]:
        """Yield everything in the order of time; an image comes after what has its stamp."""
        parts = [self._odometry_events(), self._headings(), self._fixes(), [
            Event(stamp_ns(shot.time_s), shot) for shot in self.shots]]
        yield from sorted((event for part in parts for event in part),
                          key=lambda event: event.stamp_ns)

    def with_images(self, change: Callable[[np.ndarray], np.ndarray]) -> SensorStream:
        """Return a stream whose images are changed."""
        return replace(self, shots=tuple(
            shot._replace(image=replace(shot.image, change=change)) for shot in self.shots))

    def _odometry_events(self) -> list[Event]:
        track = self.odometry
        return [Event(stamp_ns(time_s), Odometry(Pose2(x, y, yaw), Pose2(speed, 0.0, rate)))
                for time_s, x, y, yaw, speed, rate in _rows(
                    track.time_s, track.x_m, track.y_m, track.yaw_rad, track.speed_mps,
                    track.yaw_rate_radps)]

    def _headings(self) -> list[Event]:
        if self.imu is None:
            return []
        return [Event(stamp_ns(time_s), Heading(yaw_rad, self.imu.yaw_sigma_rad))
                for time_s, yaw_rad in _rows(self.imu.time_s, self.imu.yaw_rad)]

    def _fixes(self) -> list[Event]:
        return [Event(stamp_ns(time_s), Fix(place_m, self.gnss.sigma_m, self.antenna_m))
                for time_s, place_m in zip(self.gnss.time_s, self.gnss.position_m)
                if np.isfinite(place_m).all()]


def stamp_ns(time_s: float) -> int:
    """Return the stamp of a time of the drive."""
    return round((EPOCH_S + float(time_s)) * 1e9)


def stream_of(rendered: RenderedDrive) -> SensorStream:
    """Return a drive as its sensors see it, nothing being wrong."""
    drive = rendered.drive
    camera_x_m, camera_y_m, _ = drive.settings.camera_m
    shots = tuple(
        CameraFrame(float(time_s), pose, DriveImage(rendered, index))
        for index, (time_s, pose) in enumerate(zip(drive.frames.time_s, drive.frames.poses())))
    return SensorStream(
        shots, drive.gnss, drive.odometry, drive.imu, rendered.orthophoto(), rendered.map_frame,
        Pose2(camera_x_m, camera_y_m, 0.0), drive.settings.sensors.gnss.antenna_m[:2])


def _rows(*columns: np.ndarray) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in columns))
