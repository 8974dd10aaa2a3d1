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

"""Training samples: frames with a random prior, rotation and augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import cv2
from fg2_ros.datasets.simulated import Frame, read_frame, read_places, RenderedCity, Surroundings
from fg2_ros.geometry.panorama import north_aligned
from fg2_ros.geometry.se2 import (
    grid_axis_m, map_from_grid, Pose2, rotation2, solution_from_map_pose)
from fg2_ros.network.config import FG2Config
from fg2_ros.simulation.layers import coverage_at, NAMES
from fg2_ros.training.panorama.variation import another_camera, another_survey, varied
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Subset

Array = TypeVar('Array', np.ndarray, Tensor)
ENDLESS = 2 ** 40  # samples: a number that no training reaches
ELSEWHERE_M = 80.0  # from a place whose aerial patch shows nothing of another's


@dataclass(frozen=True)
class SampleSettings:
    """How wrong the prior is and how much the images are varied."""

    prior_offset_m: float = 14.0  # uniform, on each axis
    yaw_error_deg: float = 12.0  # uniform
    turn_world: bool = True  # rotate and mirror it, which keeps it a possible world
    vary_colours: bool = True
    vary_cameras: bool = False  # tilt, a vehicle's body, seasons and JPEG, too

    @classmethod
    def validation(cls) -> SampleSettings:
        """Return the settings of `fg2 evaluate sim`'s defaults, without any augmentation."""
        return cls(12.0, 10.0, turn_world=False, vary_colours=False)


KNOWN = np.ones((), np.float32)


class Sample(NamedTuple, Generic[Array]):
    """
    A network input with its truth: one of arrays, or a batch as tensors with one dimension more.

    :param ground: (h, w, 3) uint8 panorama, north-aligned by a wrong heading.
    :param aerial: (n, n, 3) uint8 patch around a wrong position.
    :param rotation: (2, 2) float32, aerial grid to ground grid.
    :param translation: (2,) float32 metres, (row, column) of the ground grid.
    :param coverage: (2, cells, 8) uint8 of the aerial and the ground cells; see
        `fg2_ros.training.panorama.layers`.
    :param has_layers: (), 1 if the coverage is known, else 0.
    """

    ground: Array
    aerial: Array
    rotation: Array
    translation: Array
    coverage: Array
    has_layers: Array = KNOWN  # type: ignore[assignment]


SampleBatch = Sample[Tensor]


class Frames(Protocol):
    """Where training finds its frames; an object that other processes can be given."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Frame:
        """Return one of them."""


@dataclass(frozen=True)
class RenderedFrames:
    """
    The frames of rendered cities.

    :param cities: whose files the folder must hold; see `render_missing`.
    """

    cities: list[RenderedCity]
    frames_per_city: int
    folder: Path

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.cities) * self.frames_per_city

    def __getitem__(self, index: int) -> Frame:
        """Return one of them."""
        city, number = divmod(index, self.frames_per_city)
        return read_frame(self.cities[city].file(self.folder), number)

    def elsewhere(self, index: int, rng: np.random.Generator) -> int:
        """Return another frame of the same city of which nothing is in sight of the first."""
        city, number = divmod(index, self.frames_per_city)
        place_m = read_places(self.cities[city].file(self.folder))[:self.frames_per_city]
        away_m = np.linalg.norm(place_m - place_m[number], axis=-1)
        far = np.flatnonzero(away_m >= min(ELSEWHERE_M, away_m.max()))
        return city * self.frames_per_city + int(rng.choice(far))


class FrameDataset(Dataset):
    """
    An endless, reproducible sequence of samples: the i-th depends on the seed and i only.

    Every frame comes once an epoch, in an order of the epoch's own.
    """

    def __init__(self, frames: Frames, config: FG2Config, settings: SampleSettings, seed: int):
        self.frames, self.config, self.settings, self.seed = frames, config, settings, seed

    def __len__(self) -> int:
        """Return a number that no training reaches."""
        return ENDLESS

    def __getitem__(self, number: int) -> Sample[np.ndarray]:
        """Return the sample of a number from 0."""
        epoch, position = divmod(number, len(self.frames))
        frame = self.frames[int(self.order(epoch)[position])]
        rng = np.random.default_rng((self.seed, 1, number))
        return make_sample(frame, self.config, self.settings, rng)

    def first(self, count: int) -> Subset:
        """Return the first samples as a data set of that length."""
        return Subset(self, range(count))

    def order(self, epoch: int) -> np.ndarray:
        """Return all frames, by number, as an epoch shuffles them."""
        return _permutation(self.seed, epoch, len(self.frames))


class PairedDataset(FrameDataset):
    """
    As its base, but samples 2 i and 2 i + 1 are of two places of one city, turned alike.

    Every frame comes once an epoch as the first of two.

    :param frames: of rendered cities, which know what lies elsewhere.
    """

    frames: RenderedFrames

    def __getitem__(self, number: int) -> Sample[np.ndarray]:
        """Return the sample of a number from 0."""
        pair, is_second = divmod(number, 2)
        epoch, position = divmod(pair, len(self.frames))
        index = int(self.order(epoch)[position])
        shared = np.random.default_rng((self.seed, 2, pair))
        turn = Turn.drawn(self.settings, shared)
        if is_second:
            index = self.frames.elsewhere(index, shared)
        rng = np.random.default_rng((self.seed, 1, number))
        return make_sample(self.frames[index], self.config, self.settings, rng, turn)


class MixedDataset(Dataset):
    """
    Two endless sequences of samples as one, evenly mixed.

    :param share: of the second one, from 0 to 1.
    """

    def __init__(self, first: Dataset, second: Dataset, share: float):
        self.parts, self.share = (first, second), share

    def __len__(self) -> int:
        """Return a number that no training reaches."""
        return ENDLESS

    def __getitem__(self, number: int) -> Sample[np.ndarray]:
        """Return the sample of a number from 0."""
        before, with_it = (math.floor(count * self.share) for count in (number, number + 1))
        return self.parts[1][before] if with_it > before else self.parts[0][number - before]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)


def make_sample(frame: Frame, config: FG2Config, settings: SampleSettings,
                rng: np.random.Generator, turn: Turn | None = None) -> Sample[np.ndarray]:
    """
    Return a frame as the network may meet it, drawn with ``rng``.

    :param turn: of the world; drawn, too, if it is None.
    """
    offset_m = rng.uniform(-settings.prior_offset_m, settings.prior_offset_m, 2)
    yaw_error_rad = np.radians(rng.uniform(-settings.yaw_error_deg, settings.yaw_error_deg))
    turn_rad, mirrored = turn or Turn.drawn(settings, rng)

    panorama = frame.panorama[:, ::-1] if mirrored else frame.panorama
    yaw_rad = (np.pi - frame.yaw_rad if mirrored else frame.yaw_rad) + turn_rad
    ground, undone_yaw_rad = north_aligned(panorama, yaw_rad - yaw_error_rad)
    east_m, north_m = offset_m
    truth = Pose2(east_m, north_m, np.pi / 2 + yaw_rad - undone_yaw_rad)
    rotation, translation = solution_from_map_pose(truth)
    world = TurnedWorld(offset_m, turn_rad, mirrored)
    aerial = aerial_patch(frame.aerial, config, world)
    if frame.layers is None:
        coverage = np.zeros((2, config.grid_cells ** 2, len(NAMES)), np.uint8)
    else:
        coverage = cell_coverage(frame.layers, config, world, rotation, translation)
    if settings.vary_colours:
        ground, aerial = varied(ground, rng), varied(aerial, rng)
    if settings.vary_cameras:
        ground, aerial = another_camera(ground, rng), another_survey(aerial, rng)
    if frame.seen is not None:
        ground = blackened(ground, frame.seen, mirrored, yaw_rad - yaw_error_rad)
    return Sample(
        np.ascontiguousarray(ground), np.ascontiguousarray(aerial),
        rotation.astype(np.float32), translation.astype(np.float32), coverage,
        np.array(frame.layers is not None, np.float32))


class Turn(NamedTuple):
    """
    How a world is turned.

    :param turn_rad: counter-clockwise.
    :param mirrored: east-west, before it is turned.
    """

    turn_rad: float
    mirrored: bool

    @classmethod
    def drawn(cls, settings: SampleSettings, rng: np.random.Generator) -> Turn:
        """Return any turn, or none at all if the settings forbid it."""
        if not settings.turn_world:
            return cls(0.0, False)
        return cls(rng.uniform(-np.pi, np.pi), bool(rng.integers(2)))


def blackened(ground: np.ndarray, seen: np.ndarray, mirrored: bool, yaw_rad: float
              ) -> np.ndarray:
    """
    Return a north-aligned panorama that is black where no camera saw anything.

    So it is where the network is used, whatever was varied. There, cells of the ground that were
    made of nothing have no say; here they learn what all cells do that tell nothing: to match
    nothing (`fg2_ros.training.panorama.pose_contrast`).
    """
    aligned, _ = north_aligned(seen[:, ::-1] if mirrored else seen, yaw_rad)
    return np.where(aligned[..., None], ground, np.uint8(0))


class TurnedWorld(NamedTuple):
    """
    A world that was mirrored east-west and then turned, both about the camera.

    :param camera_m: (east, north) of the camera from the aerial patch's centre.
    :param turn_rad: counter-clockwise.
    """

    camera_m: np.ndarray
    turn_rad: float
    mirrored: bool

    def offset_as_rendered(self, grid_m: np.ndarray) -> np.ndarray:
        """
        Return (east, north) from the camera, in the world as it was rendered.

        :param grid_m: (..., 2) (row, column) metres in the aerial grid of the turned world.
        """
        east_north = np.stack(map_from_grid(grid_m[..., 0], grid_m[..., 1]), axis=-1)
        offset_m = (east_north - self.camera_m) @ rotation2(-self.turn_rad).T
        return offset_m * [-1, 1] if self.mirrored else offset_m


def aerial_patch(aerial: Surroundings, config: FG2Config, world: TurnedWorld) -> np.ndarray:
    """Return the (n, n, 3) patch of a turned world."""
    size = config.aerial_image_hw[0]
    # Three pixels' centres determine the affine map from the patch to the rendered image.
    pixels = np.array([[0, 0], [0, size - 1], [size - 1, 0]])
    grid_m = ((pixels + 0.5) / size - 0.5) * config.grid_extent_m
    source = aerial.pixel_from_offset(world.offset_as_rendered(grid_m))
    affine = cv2.getAffineTransform(
        pixels[:, ::-1].astype(np.float32), source.astype(np.float32))
    return cv2.warpAffine(
        aerial.image, affine, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def cell_coverage(layers: Surroundings, config: FG2Config, world: TurnedWorld,
                  rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return (2, cells, 8) uint8: how much of the aerial and ground cells each layer covers."""
    axis_m = grid_axis_m(config.grid_extent_m, config.grid_cells)
    aerial_m = np.stack(np.meshgrid(axis_m, axis_m, indexing='ij'), axis=-1).reshape(-1, 2)
    grid_m = np.stack([aerial_m, (aerial_m - translation) @ rotation])
    pixel = layers.pixel_from_offset(world.offset_as_rendered(grid_m))
    return coverage_at(
        layers.image, pixel[..., 0], pixel[..., 1], config.cell_m / layers.resolution_m)
