"""Beliefs at chosen moments of chosen drives, and published poses, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fg2_ros.evaluation.drives import figures
from fg2_ros.evaluation.drives.rendered import RESOLUTION_M
from fg2_ros.evaluation.drives.results import DriveResult, ImageResult
from fg2_ros.evaluation.drives.run import image_results, RowSettings
from fg2_ros.evaluation.drives.stream import SensorStream, Shot, stamp_ns
from fg2_ros.evaluation.drives.vehicle import Vehicle
from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.report.trust_charts import Moment, PublishedPoses
from fg2_ros.tracker.results import BeliefState
import numpy as np
from scipy.ndimage import map_coordinates

MOMENTS_S = (0.0, 1.0, 3.0)     # since the first image
AFTER_FAULT_S = (0.5, 2.0, 5.0)
REACH_M = 48.0                  # of the pictures, around the truth
STEP_M = 0.4                    # of the density in them
ORIGINS = {'belief': figures.tracked, '~/pose': figures.measured,
           'each image alone': figures.alone}


def published_poses(drives: Sequence[DriveResult]) -> list[PublishedPoses]:
    """Return the published poses of all origins, against the truth."""
    images = [image for drive in drives for image in drive.images]
    found = []
    for name, source in ORIGINS.items():
        results = figures.results(images, source)
        found.append(PublishedPoses(
            name, len(images),
            np.array([image.time_s for image in images if source(image) is not None]),
            np.array([result.position_error_m for result in results]),
            np.array([figures.sigma_m(result.covariance) for result in results]),
            np.array([figures.position_nees(result) for result in results])))
    return found


def chosen_moments(drives: Sequence[DriveResult], vehicle: Vehicle, settings: RowSettings,
                   cache: Path) -> list[Moment]:
    """Follow the first and the worst drive once more, and return their beliefs at some times."""
    chosen = {drives[0].seed: drives[0]}
    worst = max(drives, key=badness)
    chosen.setdefault(worst.seed, worst)
    return [moment for drive in chosen.values()
            for moment in moments_of(drive, vehicle, settings, cache)]


def badness(drive: DriveResult) -> tuple[int, float]:
    """Return what is large for drives that went wrong: wrong poses, then the largest error."""
    errors = figures.error_m(drive.images, figures.tracked)
    return (sum(figures.is_wrong(image) for image in drive.images), max(errors, default=0.0))


def moments_of(drive: DriveResult, vehicle: Vehicle, settings: RowSettings,
               cache: Path) -> Iterator[Moment]:
    """Follow a drive once more, and yield its belief at some of its images."""
    stream, tracker = vehicle.stream(settings, drive.seed, cache), vehicle.new_tracker()
    wanted = shown_images(drive)
    for index, image in enumerate(image_results(stream, tracker, vehicle.observer, None)):
        if index not in wanted:
            continue
        belief = tracker.belief(stamp_ns(stream.shots[index].time_s), with_density=True)
        yield moment(drive.seed, stream, stream.shots[index], image, belief)
        if index == max(wanted):
            return


def shown_images(drive: DriveResult) -> set[int]:
    """Return the indices of the images at which the belief is shown."""
    times_s = [*MOMENTS_S]
    if drive.fault_s is not None:
        times_s += [drive.fault_s + after_s for after_s in AFTER_FAULT_S]
    at = np.array([image.time_s for image in drive.images])
    return {int(np.argmin(np.abs(at - time_s))) for time_s in times_s} | {
        max(range(len(drive.images)), key=lambda index: error_of(drive.images[index]))}


def error_of(image: ImageResult) -> float:
    """Return the error of what was published; -1 if nothing was."""
    return image.track.against(image.truth).position_error_m if image.track else -1.0


def moment(seed: int, stream: SensorStream, shot: Shot, image: ImageResult,
           belief: BeliefState | None) -> Moment:
    """Return a belief around the truth, with what was published or said."""
    east_m, north_m = shot.truth[:2]
    extent_m = (east_m - REACH_M, east_m + REACH_M, north_m - REACH_M, north_m + REACH_M)
    size_px = round(2 * REACH_M / RESOLUTION_M)
    patch = stream.imagery.patch(stream.map_frame, (east_m, north_m), 2 * REACH_M, size_px)
    said = ' '.join(image.sentences)
    if image.track:
        said = (f'published, {error_of(image):.1f} m off, sigma '
                f'{figures.sigma_m(image.track.covariance):.1f} m. ' + said)
    published = (image.track.pose, image.track.covariance) if image.track else None
    volumes = belief.density if belief else ()
    return Moment(f'drive {seed}, {image.time_s:.1f} s', said, patch.image, extent_m,
                  place_density(volumes, extent_m), shot.truth, published)


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
