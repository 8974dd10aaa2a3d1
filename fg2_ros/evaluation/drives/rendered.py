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

"""Simulated drives, rendered once into a folder."""

from __future__ import annotations

from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import cached_property
import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Callable, Sequence

import cv2
from fg2_ros.datasets.image_files import write_image
from fg2_ros.evaluation.drives.readings import GnssReadings, HeadingReadings, OdometryReadings
from fg2_ros.evaluation.drives.stream import CameraFrame, DriveImage, SensorStream
from fg2_ros.evaluation.simulated import city_frame
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.processes import begin_worker
from fg2_ros.simulation.city import City
from fg2_ros.simulation.drive import Drive, DriveSettings, simulate_drive
from fg2_ros.simulation.sensors import GnssTrack, ImuTrack, OdometryTrack
import numpy as np

PANORAMA_HW = (512, 1024)
RESOLUTION_M = 0.2  # of the orthophoto
ORTHOPHOTO = 'orthophoto.png'


@dataclass(frozen=True)
class DriveSpec:
    """
    Which drive: the same specification always gives the same images and readings.

    :param seed: of the city and of the drive through it.
    :param frames: images of the drive.
    :param rate_hz: of the images.
    :param world: what cities, vehicle and sensors look like.
    """

    seed: int
    difficulty: str = 'standard'
    frames: int = 60
    rate_hz: float = 4.0
    world: str = 'A'

    @property
    def name(self) -> str:
        """Return a name for files."""
        name = f'{self.difficulty}-{self.seed}-{self.frames}x{self.rate_hz:g}hz'
        return name if self.world == 'A' else f'{self.world}-{name}'

    @property
    def settings(self) -> DriveSettings:
        """Return the vehicle and its drive."""
        return replace(DriveSettings.drawn(self.seed, self.difficulty, self.world),
                       frames=self.frames, frame_rate_hz=self.rate_hz)


class RenderedDrive:
    """
    A drive whose images lie in a folder; they are read when they are asked for.

    :param cache: the folder of all drives.
    """

    def __init__(self, spec: DriveSpec, cache: Path):
        """Remember where the images are; nothing is rendered yet."""
        self.spec, self._cache = spec, cache

    @cached_property
    def city(self) -> City:
        """Return the city that is driven through."""
        return City(self.spec.seed)

    @cached_property
    def drive(self) -> Drive:
        """Return the truth and the readings of the sensors."""
        return simulate_drive(self.city, self.spec.seed, self.spec.settings)

    @property
    def map_frame(self) -> MapFrame:
        """Return the map frame of the city."""
        return city_frame(self.spec.seed)

    def panorama(self, index: int) -> np.ndarray:
        """
        Return an image, (512, 1024, 3) uint8 RGB.

        :raises ValueError: if the file cannot be read.
        """
        return _read(self._panorama_path(index))

    def seen(self, index: int) -> None:
        """Return that all of an image is a picture."""

    def orthophoto(self) -> np.ndarray:
        """
        Return the city from above, (1920, 1920, 3) uint8 RGB, centred on the map's origin.

        :raises ValueError: if the file cannot be read.
        """
        return _read(self.folder / ORTHOPHOTO)

    @cached_property
    def folder(self) -> Path:
        """Return the folder of the images; drives whose camera goes elsewhere have another."""
        cameras = [[round(float(value), 4) for value in astuple(camera)]
                   for camera in self.drive.cameras]
        digest = hashlib.sha256(json.dumps(cameras).encode()).hexdigest()
        return self._cache / f'{self.spec.name}-{digest[:8]}'

    def is_complete(self) -> bool:
        """Return whether all images are there."""
        return all(path.exists() for path in [
            self.folder / ORTHOPHOTO,
            *(self._panorama_path(index) for index in range(self.spec.frames))])

    def render(self) -> None:
        """Render the images that are not there."""
        from fg2_ros.simulation.scenes import Scene
        self.folder.mkdir(parents=True, exist_ok=True)
        scene = Scene(self.spec.seed, self.spec.difficulty, world=self.spec.world)
        _write(self.folder / ORTHOPHOTO, lambda: scene.orthophoto(RESOLUTION_M).image)
        height, width = PANORAMA_HW
        for index, camera in enumerate(self.drive.cameras):
            _write(self._panorama_path(index),
                   lambda: scene.panorama(camera, width, height, index))

    def _panorama_path(self, index: int) -> Path:
        return self.folder / f'{index:04d}.jpg'


def open_drive(spec: DriveSpec, cache: Path) -> RenderedDrive:
    """Return a drive of a folder of drives; its images are rendered if they are not there."""
    drive = RenderedDrive(spec, cache)
    if not drive.is_complete():
        drive.render()
    return drive


def stream_of(rendered: RenderedDrive) -> SensorStream:
    """Return a drive as its sensors see it, nothing being wrong."""
    drive = rendered.drive
    camera_x_m, camera_y_m, _ = drive.settings.camera_m
    shots = tuple(
        CameraFrame(float(time_s), pose, DriveImage(rendered, index))
        for index, (time_s, pose) in enumerate(zip(drive.frames.time_s, drive.frames.poses())))
    return SensorStream(
        shots, gnss_readings(drive.gnss), odometry_readings(drive.odometry),
        heading_readings(drive.imu), city_imagery(rendered, rendered.orthophoto()),
        rendered.map_frame, Pose2(camera_x_m, camera_y_m, 0.0),
        drive.settings.sensors.gnss.antenna_m[:2])


def city_imagery(rendered: RenderedDrive, orthophoto: np.ndarray) -> RasterImagery:
    """Return an aerial image of a drive's city as a source of patches."""
    return RasterImagery(orthophoto, rendered.map_frame, (0.0, 0.0), RESOLUTION_M)


def gnss_readings(track: GnssTrack) -> GnssReadings:
    """Return simulated fixes as a stream has them."""
    return GnssReadings(
        track.time_s, track.position_m, np.full(len(track.time_s), track.sigma_m))


def odometry_readings(track: OdometryTrack) -> OdometryReadings:
    """Return simulated odometry as a stream has it."""
    return OdometryReadings(
        track.time_s, track.x_m, track.y_m, track.yaw_rad, track.speed_mps,
        np.zeros(len(track.time_s)), track.yaw_rate_radps)


def heading_readings(track: ImuTrack) -> HeadingReadings:
    """Return the headings of a simulated IMU as a stream has them."""
    return HeadingReadings(
        track.time_s, track.yaw_rad, np.full(len(track.time_s), track.yaw_sigma_rad))


def render_missing(specs: Sequence[DriveSpec], cache: Path, workers: int = 1,
                   on_drive: Callable[[DriveSpec], object] = lambda spec: None) -> None:
    """
    Render the drives that a folder lacks, several at a time.

    :param on_drive: called with each drive that is complete.
    """
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, initializer=begin_worker) as pool:
        jobs = {pool.submit(_render_if_missing, spec, cache): spec for spec in specs}
        try:
            for job in as_completed(jobs):
                job.result()
                on_drive(jobs[job])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _render_if_missing(spec: DriveSpec, cache: Path) -> None:
    open_drive(spec, cache)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path} cannot be read as an image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _write(path: Path, render_image: Callable[[], np.ndarray]) -> None:
    """Write an image unless it is there; a half-written file never has the name."""
    if not path.exists():
        write_image(path, render_image())
