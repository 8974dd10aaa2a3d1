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

"""Rendered training frames: panoramas and the aerial image around them, one file per city."""

from __future__ import annotations

from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, NamedTuple

import cv2
from fg2_ros.datasets.image_files import encoded
from fg2_ros.files import replacing
from fg2_ros.processes import begin_worker
from fg2_ros.simulation.layers import city_layers, RESOLUTION_M
import numpy as np


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


class RenderedCity(NamedTuple):
    """Which city: its seed and difficulty."""

    seed: int
    difficulty: str

    def file(self, folder: Path) -> Path:
        """Return the path of its frames in a cache folder."""
        return folder / f'city-{self.seed:06d}-{self.difficulty}.npz'


class Surroundings(NamedTuple):
    """
    A north-up image of the ground around a camera.

    :param image: (n, n, ...) uint8.
    :param resolution_m: metres per pixel.
    :param centre_m: (east, north) of the image's centre from the camera.
    """

    image: np.ndarray
    resolution_m: float
    centre_m: tuple[float, float]

    def pixel_from_offset(self, offset_m: np.ndarray) -> np.ndarray:
        """Return (..., 2) (column, row), pixel centres at whole numbers, of (east, north)."""
        relative = (np.asarray(offset_m) - self.centre_m) / self.resolution_m
        return relative * [1, -1] + (self.image.shape[0] - 1) / 2


@dataclass(frozen=True)
class Frame:
    """
    A panorama and the ground around it.

    :param panorama: (h, w, 3) uint8 RGB.
    :param yaw_rad: true map yaw of the panorama's centre column.
    :param aerial: RGB.
    :param layers: bit field of what stands where; see `fg2_ros.training.panorama.layers`. None
        if nobody knows.
    :param seen: (h, w) bool, which parts of the panorama are a picture; None for all.
    """

    panorama: np.ndarray
    yaw_rad: float
    aerial: Surroundings
    layers: Surroundings | None
    seen: np.ndarray | None = None


def cities(first: int, last: int, difficulties: Iterable[str] = ('standard', 'hard')
           ) -> list[RenderedCity]:
    """Return the cities of seeds ``first`` to ``last`` inclusive; difficulties alternate."""
    difficulties = list(difficulties)
    return [RenderedCity(seed, difficulties[seed % len(difficulties)])
            for seed in range(first, last + 1)]


def render_city(city: RenderedCity, folder: Path, settings: RenderSettings) -> Path:
    """Render a city's frames into its file, which appears complete or not at all."""
    from fg2_ros.simulation.scenes import Scene
    scene = Scene(city.seed, city.difficulty)
    poses = scene.camera_poses(
        settings.frames_per_city, np.random.default_rng((city.seed, 0x7261696E)))
    return write_city(city, folder, settings, scene, poses)


def write_city(city: RenderedCity, folder: Path, settings: RenderSettings, scene, poses) -> Path:
    """Write the frames of a scene at the given camera poses; see `render_city`."""
    height, width = settings.rendered_hw
    ground = {'aerial': scene.orthophoto(),
              'layers': Surroundings(city_layers(scene.city), RESOLUTION_M, (0.0, 0.0))}
    content: dict[str, Any] = {
        'yaw_rad': np.array([pose.yaw_rad for pose in poses]),
        'place_m': np.array([(pose.east_m, pose.north_m) for pose in poses])}
    for index, pose in enumerate(poses):
        panorama = scene.panorama(pose, width, height, frame=index)
        content[f'panorama_{index}'] = encoded(_shrunk(panorama, settings.ground_hw), '.jpg')
        for name, whole in ground.items():
            around = _around(whole, pose, settings.aerial_radius_m)
            content[f'{name}_{index}'] = encoded(
                around.image, '.jpg' if name == 'aerial' else '.png')
            content[f'{name}_place_{index}'] = np.array([around.resolution_m, *around.centre_m])
    path = city.file(folder)
    with replacing(path) as partial, open(partial, 'wb') as file:
        np.savez(file, **content)
    return path


def read_frame(path: Path, index: int) -> Frame:
    """
    Return one frame of a city's file.

    :raises ValueError: if an image in it is damaged.
    """
    with np.load(path) as content:
        def image(name: str) -> np.ndarray:
            decoded = cv2.imdecode(content[f'{name}_{index}'], cv2.IMREAD_UNCHANGED)
            if decoded is None:
                raise ValueError(f'{path} is damaged: remove it, and it is rendered again')
            return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if decoded.ndim == 3 else decoded

        def around(name: str) -> Surroundings:
            resolution_m, east_m, north_m = map(float, content[f'{name}_place_{index}'])
            return Surroundings(image(name), resolution_m, (east_m, north_m))
        return Frame(
            image('panorama'), float(content['yaw_rad'][index]), around('aerial'),
            around('layers'))


def read_places(path: Path) -> np.ndarray:
    """
    Return the (N, 2) places, east and north in metres, of the cameras in a city's file.

    :raises ValueError: if it was written before places were kept.
    """
    with np.load(path) as content:
        if 'place_m' not in content:
            raise ValueError(f'{path} does not say where its cameras are: remove it, and it is '
                             'rendered again')
        return content['place_m']


def render_missing(
        wanted: list[RenderedCity], folder: Path, settings: RenderSettings, workers: int,
        progress: Callable[[Iterator[Path], int], Iterable] = lambda done, total: done) -> None:
    """
    Render the cities that the folder lacks, in worker processes.

    :param progress: wraps the stream of finished files for a progress bar; also gets their number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [city for city in wanted if not city.file(folder).exists()]
    if not missing:
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, initializer=begin_worker) as pool:
        jobs = [pool.submit(render_city, city, folder, settings) for city in missing]
        try:
            for _ in progress((job.result() for job in as_completed(jobs)), len(jobs)):
                pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _around(whole, pose, radius_m: float) -> Surroundings:
    """Return the square of whole pixels around a camera, black beyond the city's edge."""
    image, resolution_m = whole.image, whole.resolution_m
    radius = int(np.ceil(radius_m / resolution_m))
    column = round((pose.east_m - whole.centre_m[0]) / resolution_m + image.shape[1] / 2)
    row = round((whole.centre_m[1] - pose.north_m) / resolution_m + image.shape[0] / 2)
    square = np.zeros((2 * radius, 2 * radius, *image.shape[2:]), np.uint8)
    rows, columns = (
        slice(max(0, at - radius), max(0, min(size, at + radius)))
        for at, size in zip((row, column), image.shape))
    square[rows.start - row + radius:rows.stop - row + radius,
           columns.start - column + radius:columns.stop - column + radius] = image[rows, columns]
    east_m = whole.centre_m[0] + (column - image.shape[1] / 2) * resolution_m
    north_m = whole.centre_m[1] + (image.shape[0] / 2 - row) * resolution_m
    return Surroundings(square, resolution_m, (east_m - pose.east_m, north_m - pose.north_m))


def _shrunk(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == tuple(size_hw):
        return image
    return cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA)
