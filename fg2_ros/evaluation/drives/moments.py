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

"""Beliefs at chosen moments of chosen drives, to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fg2_ros.evaluation.drives import figures
from fg2_ros.evaluation.drives.pictures import badness, error_m, picture_around
from fg2_ros.evaluation.drives.results import Claim, DriveResult, ImageResult
from fg2_ros.evaluation.drives.stream import CameraFrame, SensorStream, stamp_ns
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.results import BeliefState
import numpy as np
from scipy.ndimage import map_coordinates

MOMENTS_S = (0.0, 1.0, 3.0)     # since the first image
AFTER_FAULT_S = (0.5, 2.0, 5.0)
STEP_M = 0.4                    # of the density in the pictures


@dataclass(frozen=True)
class Moment:
    """
    A belief on the aerial image.

    :param title: which drive and when.
    :param sentence: what was published, or why nothing was.
    :param picture: (h, w, 3) uint8 RGB, north up.
    :param extent_m: of picture and density: west, east, south, north in the map.
    :param density: (n, m) of places, rows growing north; any unit.
    :param truth: pose of base_link.
    :param published: None if nothing was.
    """

    title: str
    sentence: str
    picture: np.ndarray
    extent_m: tuple[float, float, float, float]
    density: np.ndarray
    truth: Pose2
    published: Claim | None = None


def chosen_moments(drives: Sequence[DriveResult], vehicle: Vehicle,
                   opened: Callable[[int | str], SensorStream]) -> list[Moment]:
    """Follow the first and the worst drive once more, and return their beliefs at some times."""
    chosen = {drives[0].name: drives[0]}
    worst = max(drives, key=badness)
    chosen.setdefault(worst.name, worst)
    return [moment for drive in chosen.values()
            for moment in moments_of(drive, vehicle, opened(drive.name))]


def moments_of(drive: DriveResult, vehicle: Vehicle, stream: SensorStream) -> Iterator[Moment]:
    """Follow a drive once more, and yield its belief at some of its images."""
    tracker, wanted = vehicle.new_tracker(), shown_images(drive)
    for index, image in enumerate(vehicle.follow(stream, tracker)):
        if index in wanted:
            shot = stream.shots[index]
            belief = tracker.belief(stamp_ns(shot.time_s), with_density=True)
            yield moment_of(drive.name, stream, shot, image, belief)
        if index == max(wanted):
            return


def shown_images(drive: DriveResult) -> set[int]:
    """Return the indices of the images at which the belief is shown."""
    times_s = [*MOMENTS_S]
    if drive.fault_s is not None:
        times_s += [drive.fault_s + after_s for after_s in AFTER_FAULT_S]
    at = np.array([image.time_s for image in drive.images])
    return {int(np.argmin(np.abs(at - time_s))) for time_s in times_s} | {
        max(range(len(drive.images)), key=lambda index: error_m(drive.images[index]))}


def moment_of(name: int | str, stream: SensorStream, shot: CameraFrame, image: ImageResult,
              belief: BeliefState | None) -> Moment:
    """Return a belief around the truth, with what was published or said."""
    picture, extent_m = picture_around(stream, shot.truth[:2])
    said = image.sentences
    if image.track:
        said = (f'published, {error_m(image):.1f} m off, sigma '
                f'{figures.sigma_m(image.track.covariance):.1f} m', *said)
    density = place_density(belief.density if belief else (), extent_m)
    return Moment(f'drive {name}, {image.time_s:.1f} s', '; '.join(said), picture, extent_m,
                  density, shot.truth, image.track)


def place_density(volumes: Sequence[PoseVolume],
                  extent_m: tuple[float, float, float, float]) -> np.ndarray:
    """
    Return the (n, m) density of places in a rectangle, rows growing north, a square metre.

    :param volumes: probabilities; they may overlap.
    :param extent_m: west, east, south, north.
    """
    west, east, south, north = extent_m
    easts = np.arange(west + STEP_M / 2, east, STEP_M)
    norths = np.arange(south + STEP_M / 2, north, STEP_M)
    at_north, at_east = np.meshgrid(norths, easts, indexing='ij')
    density = np.zeros(at_east.shape)
    for volume in volumes:
        index = volume.grid.index_of(at_east, at_north, volume.grid.middle.yaw)[1:]
        places = volume.values.sum(axis=0) / volume.grid.step_m ** 2
        density += map_coordinates(places, index, order=1, mode='constant', cval=0.0)
    return density
