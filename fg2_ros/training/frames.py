"""Rendered training frames: panoramas and the aerial image around them, one file per city."""

from __future__ import annotations

from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
import os
from pathlib import Path
import signal
from typing import Callable, Iterable, Iterator, NamedTuple

import cv2
import numpy as np

JPEG_QUALITY = 95


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered of each city."""

    frames_per_city: int = 24
    ground_hw: tuple[int, int] = (320, 640)
    ground_oversampling: float = 1.6  # localization, too, shrinks finer panoramas
    aerial_radius_m: float = 60.0  # any rotated 56 m patch whose centre is 14 m off, and a bit

    @property
    def rendered_hw(self) -> tuple[int, int]:
        """Height and width in pixels of the panoramas before they are shrunk."""
        height, width = self.ground_hw
        return round(height * self.ground_oversampling), round(width * self.ground_oversampling)


class City(NamedTuple):
    """Which city: its seed and difficulty."""

    seed: int
    difficulty: str

    def file(self, folder: Path) -> Path:
        """Return the path of its frames in a cache folder."""
        return folder / f'city-{self.seed:06d}-{self.difficulty}.npz'


@dataclass(frozen=True)
class Frame:
    """
    One rendered place.

    :param panorama: (h, w, 3) uint8 RGB.
    :param yaw_rad: true map yaw of the panorama's centre column.
    :param aerial: (n, n, 3) uint8 RGB, north-up.
    :param aerial_resolution_m: metres per aerial pixel.
    :param aerial_centre_m: (east, north) of the aerial image's centre from the camera.
    """

    panorama: np.ndarray
    yaw_rad: float
    aerial: np.ndarray
    aerial_resolution_m: float
    aerial_centre_m: tuple[float, float]


def cities(first: int, last: int, difficulties: Iterable[str] = ('standard', 'hard')
           ) -> list[City]:
    """Return the cities of seeds ``first`` to ``last`` inclusive; difficulties alternate."""
    difficulties = list(difficulties)
    return [City(seed, difficulties[seed % len(difficulties)]) for seed in range(first, last + 1)]


def render_city(city: City, folder: Path, settings: RenderSettings) -> Path:
    """Render a city's frames into its file, which appears complete or not at all."""
    from fg2_ros.simulation.scenes import Scene  # costly to import, and replaced in tests
    scene = Scene(city.seed, city.difficulty)
    poses = scene.camera_poses(
        settings.frames_per_city, np.random.default_rng((city.seed, 0x7261696E)))
    return write_city(city, folder, settings, scene, poses)


def write_city(city: City, folder: Path, settings: RenderSettings, scene, poses) -> Path:
    """Write the frames of a scene at the given camera poses; see `render_city`."""
    orthophoto = scene.orthophoto()
    height, width = settings.rendered_hw
    content = {'resolution_m': orthophoto.resolution_m}
    centres = []
    for index, pose in enumerate(poses):
        panorama = scene.panorama(pose, width, height, frame=index)
        aerial, centre_m = _around(orthophoto, pose, settings.aerial_radius_m)
        centres.append([*centre_m, pose.yaw_rad])
        content[f'panorama_{index}'] = _encoded(_shrunk(panorama, settings.ground_hw))
        content[f'aerial_{index}'] = _encoded(aerial)
    path = city.file(folder)
    partial = path.with_name(f'{path.stem}.{os.getpid()}.partial')
    with open(partial, 'wb') as file:
        np.savez(file, centres=np.array(centres), **content)
    partial.replace(path)
    return path


def read_frame(path: Path, index: int) -> Frame:
    """Return one frame of a city's file."""
    with np.load(path) as content:
        east_m, north_m, yaw_rad = content['centres'][index]
        return Frame(
            _decoded(content[f'panorama_{index}']), float(yaw_rad),
            _decoded(content[f'aerial_{index}']), float(content['resolution_m']),
            (float(east_m), float(north_m)))


def render_missing(
        wanted: list[City], folder: Path, settings: RenderSettings, workers: int,
        progress: Callable[[Iterator[Path], int], Iterable] = lambda done, total: done) -> None:
    """
    Render the cities that the folder lacks, in worker processes.

    :param progress: wraps the stream of finished files, whose number it is told, for a bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [city for city in wanted if not city.file(folder).exists()]
    if not missing:
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker) as pool:
        jobs = [pool.submit(render_city, city, folder, settings) for city in missing]
        try:
            for _ in progress((job.result() for job in as_completed(jobs)), len(jobs)):
                pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)


def _around(orthophoto, pose, radius_m: float) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the square of whole pixels around a camera, and its centre from the camera."""
    image, resolution_m = orthophoto.image, orthophoto.resolution_m
    radius = int(np.ceil(radius_m / resolution_m))
    column = round((pose.east_m - orthophoto.centre_m[0]) / resolution_m + image.shape[1] / 2)
    row = round((orthophoto.centre_m[1] - pose.north_m) / resolution_m + image.shape[0] / 2)
    square = np.zeros((2 * radius, 2 * radius, 3), np.uint8)
    rows, columns = (
        slice(max(0, at - radius), max(0, min(size, at + radius)))
        for at, size in zip((row, column), image.shape))
    square[rows.start - row + radius:rows.stop - row + radius,
           columns.start - column + radius:columns.stop - column + radius] = image[rows, columns]
    east_m = orthophoto.centre_m[0] + (column - image.shape[1] / 2) * resolution_m
    north_m = orthophoto.centre_m[1] + (image.shape[0] / 2 - row) * resolution_m
    return square, (east_m - pose.east_m, north_m - pose.north_m)


def _shrunk(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == tuple(size_hw):
        return image
    return cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)


def _encoded(image: np.ndarray) -> np.ndarray:
    return cv2.imencode(
        '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].ravel()


def _decoded(encoded: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
