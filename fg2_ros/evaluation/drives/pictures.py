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

"""What is shown of drives: the ground they went over, and the images that were placed worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import math

from fg2_ros.evaluation.drives import figures
from fg2_ros.evaluation.drives.results import DriveResult, ImageResult
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.imagery.patch import ImageryError, partial_patch, PatchView
import numpy as np

SQUARE_M = 128.0     # of ground, read at once
BESIDE_M = 40.0      # of the way is shown at least
MOST_PX = 1400       # along the longer side of a drive's ground
FINEST_M = 0.2       # metres per pixel of it
REACH_M = 36.0       # of pictures around one place
PICTURE_PX = 360     # along their sides
WORST_FRAMES, MAPS = 6, 12
APART_M = 15.0       # between images that are shown of one drive


@dataclass(frozen=True)
class Ground:
    """
    The ground that a drive went over.

    :param picture: (H, W, 3) uint8 RGB, north up; black where there is no imagery.
    :param resolution_m: metres per pixel.
    :param centre_m: (east, north) of its centre in the drive's map.
    """

    picture: np.ndarray
    resolution_m: float
    centre_m: tuple[float, float]


@dataclass(frozen=True)
class WorstFrame:
    """
    An image whose published pose was far off.

    :param title: which drive and when, and how far off.
    :param panorama: (h, w, 3) uint8 RGB.
    :param picture: (n, n, 3) uint8 RGB of the ground around the truth, north up.
    :param extent_m: of the picture: west, east, south, north in the map.
    """

    title: str
    panorama: np.ndarray
    picture: np.ndarray
    extent_m: tuple[float, float, float, float]
    result: ImageResult


def picture_of(stream: SensorStream, view: PatchView) -> np.ndarray:
    """Return a square of a drive's imagery, (n, n, 3) uint8 RGB; black where there is none."""
    try:
        return partial_patch(stream.imagery, view).image
    except ImageryError:
        return np.zeros((view.size_px, view.size_px, 3), np.uint8)


def picture_around(
        stream: SensorStream, place_m: tuple[float, float], reach_m: float = REACH_M
        ) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return a picture of the ground around a place, and its extent."""
    east_m, north_m = place_m
    view = PatchView(stream.map_frame, (east_m, north_m), 2 * reach_m, PICTURE_PX)
    return picture_of(stream, view), (
        east_m - reach_m, east_m + reach_m, north_m - reach_m, north_m + reach_m)


def ground_of(stream: SensorStream) -> Ground:
    """Return the ground that a drive goes over, read in squares: roads may be long."""
    places_m = np.array([shot.truth[:2] for shot in stream.shots])
    low, high = places_m.min(0) - BESIDE_M, places_m.max(0) + BESIDE_M
    size_px = int(SQUARE_M / max(FINEST_M, float((high - low).max()) / MOST_PX))
    columns, rows = (math.ceil(side_m / SQUARE_M) for side_m in high - low)
    picture = np.zeros((rows * size_px, columns * size_px, 3), np.uint8)
    west_m, north_m = low[0], low[1] + rows * SQUARE_M
    for row in range(rows):
        for column in range(columns):
            middle = (west_m + (column + 0.5) * SQUARE_M, north_m - (row + 0.5) * SQUARE_M)
            if np.abs(places_m - middle).max(1).min() < SQUARE_M / 2 + BESIDE_M:
                picture[row * size_px:(row + 1) * size_px,
                        column * size_px:(column + 1) * size_px] = picture_of(
                            stream, PatchView(stream.map_frame, middle, SQUARE_M, size_px))
    return Ground(picture, SQUARE_M / size_px, (
        west_m + columns * SQUARE_M / 2, north_m - rows * SQUARE_M / 2))


def worst_drives(drives: Sequence[DriveResult]) -> list[DriveResult]:
    """Return the drives that went worst, as many as are shown on maps, in their own order."""
    chosen = sorted(drives, key=badness, reverse=True)[:MAPS]
    return [drive for drive in drives if drive in chosen]


def badness(drive: DriveResult) -> tuple[int, float]:
    """Return what is large for drives that went wrong: wrong poses, then the largest error."""
    errors = figures.error_m(drive.images, figures.tracked)
    return sum(figures.is_wrong(image) for image in drive.images), max(errors, default=0.0)


def worst_frames(drives: Sequence[DriveResult], opened: Callable[[int | str], SensorStream]
                 ) -> list[WorstFrame]:
    """Return the images whose published poses were furthest off, apart from one another."""
    ranked = sorted(
        ((error_m(image), drive, index) for drive in drives
         for index, image in enumerate(drive.images) if image.track is not None),
        key=lambda each: -each[0])
    chosen: list[tuple[float, DriveResult, int]] = []
    for off_m, drive, index in ranked:
        place_m = drive.images[index].truth[:2]
        if len(chosen) < WORST_FRAMES and all(
                other is not drive or math.dist(place_m, other.images[at].truth[:2]) > APART_M
                for _, other, at in chosen):
            chosen.append((off_m, drive, index))
    return [worst_frame(off_m, drive, index, opened(drive.name))
            for off_m, drive, index in chosen]


def worst_frame(off_m: float, drive: DriveResult, index: int,
                stream: SensorStream) -> WorstFrame:
    """Return an image beside the ground around it."""
    result = drive.images[index]
    assert result.track is not None, 'only published poses can be off'
    picture, extent_m = picture_around(stream, result.truth[:2])
    title = (f'drive {drive.name}, {result.time_s:.1f} s: {off_m:.2f} m and '
             f'{result.errors_of(result.track).yaw_error_deg:.1f}° off, sigma '
             f'{figures.sigma_m(result.track.covariance):.2f} m')
    return WorstFrame(title, stream.shots[index].image.pixels(), picture, extent_m, result)


def error_m(image: ImageResult) -> float:
    """Return the error of what was published; -1 if nothing was."""
    return image.errors_of(image.track).position_error_m if image.track else -1.0
