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
from fg2_ros.evaluation.drives.pictures import badness, error_m, picture_around, REACH_M
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
FARTHEST_M = 200.0              # from the truth to the edge of a picture, at most
RIVAL = 0.02                    # of the greatest density: what is to be seen of a belief
BESIDE_M = 8.0                  # from there to the edge


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
    density = belief.density if belief else ()
    picture, extent_m = picture_around(
        stream, shot.truth[:2], reach_m(density, shot.truth[:2]))
    said = image.sentences
    if image.track:
        said = (f'published, {error_m(image):.1f} m off, sigma '
                f'{figures.sigma_m(image.track.covariance):.1f} m', *said)
    return Moment(f'drive {name}, {image.time_s:.1f} s', '; '.join(said), picture, extent_m,
                  place_density(density, extent_m), shot.truth, image.track)


def reach_m(volumes: Sequence[PoseVolume], truth_m: tuple[float, float]) -> float:
    """
    Return how far around the truth a picture shows all places that a belief thinks likely.

    :param volumes: probabilities.
    """
    densest = max((_places(volume).max() for volume in volumes), default=0.0)
    farthest_m = 0.0
    for volume in volumes:
        north, east = np.nonzero(_places(volume) >= RIVAL * densest)
        away_m = np.abs([volume.grid.easts_m[east] - truth_m[0],
                         volume.grid.norths_m[north] - truth_m[1]])
        farthest_m = max(farthest_m, away_m.max(initial=0.0))
    return float(np.clip(farthest_m + BESIDE_M, REACH_M, FARTHEST_M))


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
    density = np.zeros((len(norths), len(easts)))
    for volume in volumes:
        grid = volume.grid
        rows, columns = _within(norths, grid.norths_m), _within(easts, grid.easts_m)
        at_north, at_east = np.meshgrid(norths[rows], easts[columns], indexing='ij')
        index = grid.index_of(at_east, at_north, grid.middle.yaw)[1:]
        density[rows, columns] += map_coordinates(_places(volume), index, order=1)
    return density


def _places(volume: PoseVolume) -> np.ndarray:
    """Return the (norths, easts) density of places, a square metre."""
    return volume.values.sum(axis=0) / volume.grid.step_m ** 2


def _within(sorted_m: np.ndarray, range_m: np.ndarray) -> slice:
    """Return which values lie between the first and the last of others."""
    return slice(np.searchsorted(sorted_m, range_m[0]),
                 np.searchsorted(sorted_m, range_m[-1], 'right'))
