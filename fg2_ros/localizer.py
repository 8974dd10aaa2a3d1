"""Localize a panorama in aerial imagery: a prior in, a pose with its covariance out. No ROS."""

from __future__ import annotations

from dataclasses import dataclass, field
import math
from pathlib import Path
import time
from typing import Any

import cv2
from fg2_ros.aerial_memory import AerialMemory, PatchSettings
from fg2_ros.checkpoints import load_network, read_metadata
from fg2_ros.geometry.frames import MapFrame, require_geodetic
from fg2_ros.geometry.panorama import north_aligned, pixel_from_direction
from fg2_ros.geometry.se2 import (
    grid_from_map, map_from_grid, map_pose_from_solution, Pose2, wrap_angle)
from fg2_ros.imagery.patch import AerialPatch, Imagery
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.settings import setting
from fg2_ros.solver.acceptance import AcceptanceSettings, Candidate, rejection_of
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import Solution, solve_pose
from fg2_ros.solver.ransac import PoseGate, RansacSettings
from fg2_ros.solver.refinement import RefinementSettings
import numpy as np
import torch
from torch import Tensor

PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


@dataclass(frozen=True)
class LocalizerSettings:
    """What a user may change of the localizer; each field says what it does and its unit."""

    covariance_scale: float = setting(
        0.0, 'Factor of the analytic covariance. 0 takes the one calibrated for the weights.',
        between=(0.0, 1e4))
    seed: int = setting(
        0, 'Of the random draws: an image and a prior always give the same estimate.',
        between=(0, 2 ** 31 - 1))
    patch: PatchSettings = PatchSettings()
    ransac: RansacSettings = field(default_factory=RansacSettings.real_time)
    refinement: RefinementSettings = RefinementSettings()
    acceptance: AcceptanceSettings = AcceptanceSettings()


@dataclass(frozen=True)
class Prior:
    """
    What is known of the camera before its image is looked at.

    :param latitude_deg: WGS 84.
    :param longitude_deg: WGS 84.
    :param sigma_m: standard deviation of the position on each axis.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the panorama's centre column.
    :param yaw_sigma_rad: its standard deviation.
    """

    latitude_deg: float
    longitude_deg: float
    sigma_m: float
    yaw_rad: float
    yaw_sigma_rad: float


@dataclass(frozen=True)
class Matches:
    """
    M pairs of a place in the aerial patch and one in the ground image.

    :param aerial_map_m: (M, 2) east, north in the map frame.
    :param ground_grid_m: (M, 2) (row, column) in the ground grid of the north-aligned panorama.
    :param panorama_px: (M, 2) continuous (column, row) in the given panorama.
    :param weight: (M,) matching probabilities.
    :param inlier: (M,) bool, whether they agree with the pose.
    """

    aerial_map_m: np.ndarray
    ground_grid_m: np.ndarray
    panorama_px: np.ndarray
    weight: np.ndarray
    inlier: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """
    Where the camera stands and looks; meaningful as a pose only if ``accepted``.

    :param rejection: why it is not accepted, a sentence; '' if it is.
    :param east_m: of the camera in the map frame.
    :param north_m: of the camera in the map frame.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the panorama's centre column.
    :param covariance: (3, 3) float64 of (east m, north m, yaw rad); positive definite.
    :param inlier_ratio: share of the matches that agree with the pose.
    :param match_count: matches drawn.
    :param patch: the aerial patch that was used.
    :param timings_ms: 'patch', 'aerial', 'ground', 'solve' and 'total'; on a GPU the host waits
        in 'solve' only.
    """

    accepted: bool
    rejection: str
    east_m: float
    north_m: float
    latitude_deg: float
    longitude_deg: float
    yaw_rad: float
    covariance: np.ndarray
    inlier_ratio: float
    match_count: int
    matches: Matches
    patch: AerialPatch
    timings_ms: dict[str, float]


class Localizer:
    """
    Estimate poses of panoramas inside aerial imagery.

    Not to be called from two threads at once. `load` makes one from a weights file.

    :param network: in evaluation mode, on its device.
    :param imagery: where aerial patches come from; stays the caller's to close.
    :param map_frame: origin of the map; None for the place of the first prior.
    :param metadata: of the weights.
    :raises ValueError: if the network is not for panoramas.
    """

    def __init__(
            self, network: FG2Network, imagery: Imagery, map_frame: MapFrame | None = None,
            settings: LocalizerSettings = LocalizerSettings(),
            metadata: dict[str, Any] | None = None):
        """Prepare the grids; nothing is fetched yet."""
        self.config: FG2Config = network.config
        if self.config.camera != 'panorama':
            raise ValueError(
                f'the weights are for a {self.config.camera} camera, this needs panoramas')
        self.metadata = metadata or {}
        self.map_frame = map_frame
        self._settings = settings
        self._network = network
        parameter = next(network.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._grid = BevGrid.of(self.config, self._device)
        self._aerial = AerialMemory(
            imagery, self._describe, self.config.grid_extent_m, self.config.aerial_image_hw[0],
            settings.patch)
        self._scale = settings.covariance_scale or float(
            self.metadata.get('covariance_scale', 1.0))
        self._generator = torch.Generator(self._device)

    @classmethod
    def load(
            cls, weights_path: str | Path, imagery: Imagery, map_frame: MapFrame | None = None,
            device: str = 'auto', precision: str = 'fp32',
            settings: LocalizerSettings = LocalizerSettings()) -> Localizer:
        """
        Return a localizer with the network of a weights file.

        :param device: 'auto' (the GPU if there is one), or a torch device.
        :param precision: 'fp32', 'fp16' or 'bf16'.
        :raises ValueError: if the file, the device or the precision cannot be used.
        """
        if precision not in PRECISIONS:
            raise ValueError(f'precision {precision!r} is none of {", ".join(PRECISIONS)}')
        network = optimise_for_inference(
            load_network(weights_path, usable_device(device), PRECISIONS[precision]))
        return cls(network, imagery, map_frame, settings, read_metadata(weights_path))

    def request_imagery(self, latitude_deg: float, longitude_deg: float) -> None:
        """
        Start fetching the imagery around a place and return at once.

        :raises ValueError: if there is no such place.
        """
        require_geodetic(latitude_deg, longitude_deg)
        frame = self.map_frame or MapFrame(latitude_deg, longitude_deg)
        self._aerial.request(frame, frame.map_from_geodetic(latitude_deg, longitude_deg))

    @torch.inference_mode()
    def estimate(self, panorama: np.ndarray, prior: Prior) -> Estimate:
        """
        Return where a panorama was taken.

        :param panorama: (H, W, 3) uint8 RGB, equirectangular (W = 2 H).
        :raises ImageryError: if there is no aerial imagery; ImageryNotReady (one of them) while
            it is being fetched.
        :raises ValueError: if the panorama or the prior cannot be used.
        """
        require_panorama(panorama)
        require_prior(prior)
        if self.map_frame is None:
            self.map_frame = MapFrame(prior.latitude_deg, prior.longitude_deg)
        watch = _Stopwatch()

        prior_pose = Pose2(
            *self.map_frame.map_from_geodetic(prior.latitude_deg, prior.longitude_deg),
            prior.yaw_rad)
        patch = self._aerial.patch(self.map_frame, prior_pose[:2])
        watch.lap('patch')
        aerial = self._aerial.features()
        watch.lap('aerial')
        rolled, rolled_yaw = north_aligned(
            resized(panorama, self.config.ground_image_hw), prior.yaw_rad)
        ground = self._network.ground_descriptors(
            self._network.ground_tokens(self._tensor(rolled)))
        watch.lap('ground')
        matching = self._network.match(aerial, ground)
        gate = self._gate(prior, prior_pose, patch)
        solution = self._solve(matching.scores, matching.probabilities, gate)
        heights = ground.height_index[0].flatten().cpu().numpy()
        watch.lap('solve')

        pose = _camera_pose(solution, patch, rolled_yaw)
        matches = self._matches(solution, patch, heights, rolled_yaw, panorama.shape)
        return self._estimate(pose, solution, matches, prior, prior_pose, patch, watch.laps())

    def _describe(self, image: np.ndarray) -> Tensor:
        return self._network.aerial_descriptors(
            self._network.aerial_tokens(self._tensor(image)))

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Return an (H, W, 3) uint8 image as (1, 3, H, W) in [0, 1] on the device."""
        tensor = torch.from_numpy(np.ascontiguousarray(image))
        if self._device.type == 'cuda':
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.permute(2, 0, 1)[None].to(self._dtype) / 255

    def _gate(self, prior: Prior, prior_pose: Pose2, patch: AerialPatch) -> PoseGate:
        """Return where hypotheses are considered, in the aerial grid of the patch."""
        limits = self._settings.acceptance
        centre = grid_from_map(
            prior_pose.x - patch.centre_m[0], prior_pose.y - patch.centre_m[1])
        values = (centre, limits.radius_m(prior.sigma_m), limits.angle_rad(prior.yaw_sigma_rad))
        return PoseGate(*(
            torch.tensor([value], dtype=torch.float32, device=self._device) for value in values))

    def _solve(self, scores: Tensor, probabilities: Tensor, gate: PoseGate) -> Solution:
        self._generator.manual_seed(self._settings.seed)
        return solve_pose(
            scores, probabilities, self._grid, self._settings.ransac, self._settings.refinement,
            gate, self._scale, self._generator).cpu()

    def _matches(
            self, solution: Solution, patch: AerialPatch, heights: np.ndarray,
            rolled_yaw: float, panorama_shape: tuple[int, ...]) -> Matches:
        drawn = (solution.weight[0] > 0).numpy()
        aerial, ground = solution.aerial[0].numpy()[drawn], solution.ground[0].numpy()[drawn]
        aerial_m = self._grid.aerial.cpu().numpy()[aerial].astype(float)
        ground_m = self._grid.ground.cpu().numpy()[ground].astype(float)
        levels = np.linspace(*self.config.height_range_m, self.config.height_count)
        offset = np.stack(map_from_grid(aerial_m[:, 0], aerial_m[:, 1]), axis=-1)
        return Matches(
            aerial_map_m=offset + np.asarray(patch.centre_m), ground_grid_m=ground_m,
            panorama_px=panorama_pixels(
                ground_m, levels[heights[ground]], rolled_yaw, panorama_shape),
            weight=solution.weight[0].numpy()[drawn], inlier=solution.inlier[0].numpy()[drawn])

    def _estimate(
            self, pose: Pose2, solution: Solution, matches: Matches, prior: Prior,
            prior_pose: Pose2, patch: AerialPatch, timings_ms: dict[str, float]) -> Estimate:
        covariance = solution.covariance[0].double().numpy()
        rejection = rejection_of(
            Candidate(
                bool(solution.ok[0]), int(matches.inlier.sum()), len(matches.inlier),
                Pose2(pose.x - prior_pose.x, pose.y - prior_pose.y,
                      wrap_angle(pose.yaw - prior_pose.yaw)),
                (pose.x - patch.centre_m[0], pose.y - patch.centre_m[1]), covariance,
                1.0 if patch.valid is None else float(patch.valid.mean())),
            self._settings.acceptance, prior.sigma_m, prior.yaw_sigma_rad,
            self.config.grid_extent_m)
        latitude_deg, longitude_deg = self.map_frame.geodetic_from_map(pose.x, pose.y)
        return Estimate(
            not rejection, rejection, pose.x, pose.y, latitude_deg, longitude_deg, pose.yaw,
            covariance, float(solution.inlier_ratio[0]), len(matches.inlier), matches, patch,
            timings_ms)


def usable_device(name: str) -> torch.device:
    """
    Return the torch device of a name; 'auto' is the GPU if there is one.

    :raises ValueError: if there is no such device here.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {name!r} cannot be used here: {error}') from error
    return device


def require_panorama(panorama: np.ndarray) -> None:
    """Raise ValueError with a sentence unless the image can be a panorama."""
    if not isinstance(panorama, np.ndarray) or panorama.dtype != np.uint8:
        kind = getattr(panorama, 'dtype', type(panorama).__name__)
        raise ValueError(f'the panorama must be a uint8 array, not {kind}')
    if panorama.ndim != 3 or panorama.shape[2] != 3 or not panorama.size:
        raise ValueError(
            f'the panorama must have the shape (height, width, 3), not {panorama.shape}')
    height, width = panorama.shape[:2]
    if abs(width - 2 * height) > 0.02 * width:
        raise ValueError(
            f'the panorama must be twice as wide as high (equirectangular), not {width}x{height}')
    if not panorama.any():
        raise ValueError('the panorama is black')


def require_prior(prior: Prior) -> None:
    """Raise ValueError with a sentence unless the prior is usable."""
    require_geodetic(prior.latitude_deg, prior.longitude_deg)
    if not math.isfinite(prior.yaw_rad) or not prior.yaw_sigma_rad < math.pi:
        raise ValueError('there is no heading: the prior yaw must be known')
    for name, sigma in (('position', prior.sigma_m), ('yaw', prior.yaw_sigma_rad)):
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(f"the prior {name}'s sigma must be positive, not {sigma}")


def resized(panorama: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """Return an image at another (height, width), antialiased where it shrinks."""
    if panorama.shape[:2] == hw:
        return panorama
    shrinks = panorama.shape[0] >= hw[0]
    return cv2.resize(
        panorama, hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def panorama_pixels(
        ground_m: np.ndarray, height_m: np.ndarray, rolled_yaw: float,
        panorama_shape: tuple[int, ...]) -> np.ndarray:
    """
    Return the (M, 2) continuous (column, row) at which points appear in the given panorama.

    :param ground_m: (M, 2) (row, column) in the ground grid of the rolled panorama.
    :param height_m: (M,) above the camera.
    :param rolled_yaw: the map yaw of the given panorama that its roll stands for.
    """
    height, width = panorama_shape[:2]
    direction = np.stack([-ground_m[:, 0], -ground_m[:, 1], height_m], axis=-1)
    column, row = pixel_from_direction(direction, width, height)
    rolled_px = (math.pi / 2 - rolled_yaw) / (2 * math.pi) * width
    return np.stack([(column - rolled_px) % width, row], axis=-1)


def _camera_pose(solution: Solution, patch: AerialPatch, rolled_yaw: float) -> Pose2:
    """Return the camera's map pose, with the roll of the panorama undone."""
    offset = map_pose_from_solution(
        solution.rotation[0].double().numpy(), solution.translation[0].double().numpy())
    return Pose2(
        patch.centre_m[0] + offset.x, patch.centre_m[1] + offset.y,
        wrap_angle(rolled_yaw + offset.yaw - math.pi / 2))


class _Stopwatch:
    """Times of stages in milliseconds."""

    def __init__(self):
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = (now - self._last) * 1e3
        self._last = now

    def laps(self) -> dict[str, float]:
        return self._laps | {'total': (time.perf_counter() - self._start) * 1e3}
