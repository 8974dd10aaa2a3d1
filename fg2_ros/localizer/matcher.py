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

"""Matching an image with an aerial patch by the network, and solving for the pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
import time

from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import (
    grid_from_map, map_from_grid, map_pose_from_solution, Pose2, rotation2, wrap_angle)
from fg2_ros.imagery.patch import AerialPatch, Imagery
from fg2_ros.localizer.aerial import AerialMemory, DescribedPatch
from fg2_ros.localizer.estimate import Matches, PoseMode
from fg2_ros.localizer.resize import turned
from fg2_ros.localizer.settings import LocalizerSettings
from fg2_ros.localizer.views import GivenImage, PanoramaView, PinholeView
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.matching import GroundDescriptors, Matching
from fg2_ros.solver.dense import densest, Extent, Honesty
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import Solution
from fg2_ros.solver.posterior import DenseLikelihood
from fg2_ros.solver.ransac import PoseGate
from fg2_ros.solver.sampling import draw_pairs
import numpy as np
import torch
from torch import Tensor

LEAST_MASS = 1e-3  # of a mode that is worth telling


@dataclass(frozen=True)
class MatchResult:
    """
    The pose that one network found for one image.

    :param pose: of the camera in the map frame; its yaw is that of the image's centre column.
    :param covariance: (3, 3) float64 of (east m, north m, yaw rad).
    :param ok: whether the matches determine a pose.
    :param from_patch_m: (right, up) of the camera from the centre of what the network saw.
    :param extent_m: side of the square that the network saw.
    :param modes: the likeliest places among those that were tried.
    :param inlier_ratio: share of the matches that agree with the pose.
    :param patch: north-up; that of a pinhole camera is larger than what the network sees of it.
    :param valid_share: how much of what the network saw shows imagery.
    """

    pose: Pose2
    covariance: np.ndarray
    ok: bool
    from_patch_m: tuple[float, float]
    extent_m: float
    modes: tuple[PoseMode, ...]
    inlier_ratio: float
    matches: Matches
    patch: AerialPatch
    valid_share: float


@dataclass(frozen=True)
class SearchRegion:
    """
    The region in which a pose is searched.

    :param pose: of the camera in the map frame.
    :param radius_m: distance from it.
    :param angle_rad: difference from its yaw; pi or more for any.
    :param expected: likeliest pose, which is put into the middle of what the network sees; by
        default ``pose``.
    """

    pose: Pose2
    radius_m: float
    angle_rad: float
    expected: Pose2 | None = None

    @property
    def middle(self) -> Pose2:
        """Return the pose that the network's view is centred on."""
        return self.expected or self.pose


@dataclass(frozen=True)
class AerialView:
    """
    The features of an aerial patch.

    :param up_yaw_rad: map yaw that is up in it.
    :param valid_share: how much of what the network saw shows imagery.
    """

    patch: AerialPatch
    up_yaw_rad: float
    descriptors: Tensor
    valid_share: float

    @property
    def grid(self) -> Pose2:
        """Return the pose in the map of its grid: x right, y up."""
        return Pose2(*self.patch.centre_m, self.up_yaw_rad - math.pi / 2)


@dataclass(frozen=True)
class GroundView:
    """The features of a camera's image."""

    view: PanoramaView | PinholeView
    descriptors: GroundDescriptors


class Matcher:
    """
    A network with the aerial features it is using.

    :param network: in evaluation mode, on its device.
    :param imagery: where aerial patches come from.
    :param honesty: what makes covariances honest.
    """

    def __init__(self, network: FG2Network, imagery: Imagery, settings: LocalizerSettings,
                 honesty: Honesty = Honesty()):
        """Prepare the grids; nothing is fetched yet."""
        self.config: FG2Config = network.config
        self._network, self._settings, self._honesty = network, settings, honesty
        parameter = next(network.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._grid = BevGrid.of(self.config, self._device)
        self._generator = torch.Generator(self._device)
        self._is_pinhole = self.config.camera == 'pinhole'
        size_px = self.config.aerial_image_hw[0]
        # A patch that is turned is cut from a larger one, which holds its corners.
        patch_px = math.ceil(size_px * math.sqrt(2)) if self._is_pinhole else size_px
        self._aerial = AerialMemory(
            imagery, self.config.grid_extent_m * patch_px / size_px, patch_px, settings.patch)

    def request_imagery(self, frame: MapFrame, place_m: tuple[float, float]) -> None:
        """Start fetching the imagery around a place and return at once."""
        self._aerial.request(frame, place_m)

    def aerial_patch(self, frame: MapFrame, place_m: tuple[float, float]) -> AerialPatch:
        """
        Return the patch that serves a place.

        :raises ImageryError: if there is no aerial imagery.
        """
        return self._aerial.patch(frame, place_m).patch

    def forget(self) -> None:
        """Forget all aerial patches: the imagery has changed."""
        self._aerial.forget()

    def view(self, image: GivenImage, yaw_rad: float) -> GroundView:
        """Return the features of an image that is assumed to look to a map yaw."""
        size = self.config.ground_image_hw, self.config.image_resize
        if not self._is_pinhole:
            panorama = PanoramaView.of(image, *size, yaw_rad)
            tokens = self._network.ground_tokens(self._tensor(panorama.image))
            return GroundView(
                panorama, self._unmasked(self._network.ground_descriptors(tokens), panorama.seen))
        view = PinholeView.of(image, *size, self._up_yaw(yaw_rad))
        tokens = self._network.ground_tokens(self._tensor(view.image))
        intrinsics = self.uploaded(view.camera_k.astype(np.float32))[None]
        return GroundView(view, self._network.ground_descriptors(tokens, intrinsics))

    def _unmasked(self, ground: GroundDescriptors, seen: np.ndarray | None) -> GroundDescriptors:
        """Return descriptors of which those of masked areas count as not visible."""
        if seen is None:
            return ground
        visible = self._network.lifting.cells_seen(self.uploaded(seen), ground.height_index)
        return replace(ground, visible=visible, is_masked=True)

    def aerial(self, frame: MapFrame, middle: Pose2) -> AerialView:
        """
        Return a patch that holds a place near its middle, turned if the network needs it.

        :raises ImageryError: if there is no aerial imagery.
        """
        return self._described(self._aerial.patch(frame, middle[:2]), middle.yaw)

    def _described(self, kept: DescribedPatch, yaw_rad: float) -> AerialView:
        up_yaw_rad = self._up_yaw(yaw_rad)
        if up_yaw_rad not in kept.described:
            image = kept.patch.image if not self._is_pinhole else turned(
                kept.patch.image, up_yaw_rad, self.config.aerial_image_hw[0])
            kept.described[up_yaw_rad] = self._network.aerial_descriptors(
                self._network.aerial_tokens(self._tensor(image)))
        return AerialView(kept.patch, up_yaw_rad, kept.described[up_yaw_rad],
                          self._valid_share(kept.patch, up_yaw_rad))

    def likelihood(self, aerial: AerialView, ground: GroundView) -> DenseLikelihood:
        """Return the likelihood of poses by the features of two views."""
        matching = self._network.match(aerial.descriptors, ground.descriptors)
        return DenseLikelihood(
            matching.scores, matching.probabilities, self._grid, self._settings.solver.posterior,
            matching.log_partition)

    def find(self, image: GivenImage, frame: MapFrame, region: SearchRegion,
             watch: Stopwatch) -> MatchResult:
        """
        Return where an image was taken.

        :raises ImageryError: if there is no aerial imagery.
        """
        kept = self._aerial.patch(frame, region.middle[:2])
        watch.lap('patch')
        aerial = self._described(kept, region.middle.yaw)
        watch.lap('aerial')
        ground = self.view(image, region.middle.yaw)
        view, patch = ground.view, aerial.patch
        watch.lap('ground')
        matching = self._network.match(aerial.descriptors, ground.descriptors)
        grid = aerial.grid
        solution, modes = self._solve(matching, region, grid, view.heading_rad)
        heights = ground.descriptors.height_index[0].flatten().cpu().numpy()
        watch.lap('solve')

        offset = map_pose_from_solution(
            solution.rotation[0].double().numpy(), solution.translation[0].double().numpy())
        place = grid.compose(offset)
        return MatchResult(
            Pose2(place.x, place.y, wrap_angle(view.heading_rad + offset.yaw - math.pi / 2)),
            _turned_covariance(solution.covariance[0].double().numpy(), grid.yaw),
            bool(solution.ok[0]), (offset.x, offset.y), self.config.grid_extent_m,
            _modes_in_map(modes, grid, view.heading_rad), float(solution.inlier_ratio[0]),
            self._matches(solution, grid, heights, view), patch, aerial.valid_share)

    def _up_yaw(self, yaw_rad: float) -> float:
        """Return the map yaw that is up in an aerial patch for a camera that looks to a yaw."""
        if not self._is_pinhole:
            return math.pi / 2
        step_rad = math.radians(self._settings.turn_deg)
        return wrap_angle(round(yaw_rad / step_rad) * step_rad)

    def _valid_share(self, patch: AerialPatch, up_yaw_rad: float) -> float:
        if patch.valid is None or not self._is_pinhole:
            return patch.valid_share
        seen = turned(
            patch.valid.astype(np.float32), up_yaw_rad, self.config.aerial_image_hw[0])
        return float(seen.mean())

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Return an (H, W, 3) uint8 image as (1, 3, H, W) in [0, 1] on the device."""
        return self.uploaded(image).permute(2, 0, 1)[None].to(self._dtype) / 255

    def uploaded(self, values: np.ndarray) -> Tensor:
        """Return an array on the device; the host does not wait until it has arrived there."""
        tensor = torch.from_numpy(np.require(values, requirements=['C', 'W']))
        if self._device.type == 'cuda':
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)

    def _gate(self, region: SearchRegion, grid: Pose2, heading_rad: float) -> PoseGate:
        """Return the gate for hypotheses, in the aerial grid."""
        right_up = np.subtract(region.pose[:2], grid[:2]) @ rotation2(grid.yaw)
        away_rad = abs(wrap_angle(region.pose.yaw - heading_rad))
        limits = self.uploaded(np.array(
            [[*grid_from_map(*right_up), region.radius_m, region.angle_rad + away_rad]],
            np.float32))
        return PoseGate(limits[:, :2], limits[:, 2], limits[:, 3])

    def _solve(self, matching: Matching, region: SearchRegion, grid: Pose2,
               heading_rad: float) -> tuple[Solution, np.ndarray]:
        self._generator.manual_seed(self._settings.seed)
        away_rad = abs(wrap_angle(region.pose.yaw - heading_rad))
        extent = Extent.of(
            region.radius_m, region.angle_rad + away_rad, self._grid, self._settings.solver)
        settings = self._settings.solver
        found = densest(
            matching.scores, matching.probabilities, self._grid, extent, settings, self._honesty,
            self._gate(region, grid, heading_rad), matching.log_partition)
        pairs = draw_pairs(
            matching.probabilities, settings.samples, generator=self._generator)
        solution = found.with_pairs(pairs, self._grid, settings.inlier_threshold_m)
        return solution.cpu(), found.modes[0].cpu().numpy().astype(float)

    def _matches(self, solution: Solution, grid: Pose2, heights: np.ndarray,
                 view: PanoramaView | PinholeView) -> Matches:
        drawn = (solution.weight[0] > 0).numpy()
        aerial, ground = solution.aerial[0].numpy()[drawn], solution.ground[0].numpy()[drawn]
        aerial_m = self._grid.aerial.cpu().numpy()[aerial].astype(float)
        ground_m = self._grid.ground.cpu().numpy()[ground].astype(float)
        levels = np.linspace(*self.config.height_range_m, self.config.height_count)
        rotation, translation = solution.rotation[0].numpy(), solution.translation[0].numpy()
        return Matches(
            aerial_map_m=_places_in_map(aerial_m, grid), ground_grid_m=ground_m,
            ground_map_m=_places_in_map((ground_m - translation) @ rotation, grid),
            panorama_px=view.given_pixels(ground_m, levels[heights[ground]]),
            weight=solution.weight[0].numpy()[drawn], inlier=solution.inlier[0].numpy()[drawn])


class Stopwatch:
    """Times of stages in milliseconds."""

    def __init__(self) -> None:
        """Start now."""
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self._laps[name] = self._laps.get(name, 0.0) + (now - self._last) * 1e3
        self._last = now

    def laps(self) -> dict[str, float]:
        """Return all laps, and 'total' since the start."""
        return self._laps | {'total': (time.perf_counter() - self._start) * 1e3}


def _places_in_map(place_m: np.ndarray, grid: Pose2) -> np.ndarray:
    """Return (M, 2) east and north of (M, 2) rows and columns in an aerial grid."""
    right_up = np.stack(map_from_grid(place_m[:, 0], place_m[:, 1]), axis=-1)
    return right_up @ rotation2(grid.yaw).T + grid[:2]


def _modes_in_map(modes: np.ndarray, grid: Pose2, heading_rad: float) -> tuple[PoseMode, ...]:
    """Return modes, (M, 4) row, column, bearing and probability, as poses in the map."""
    found = []
    for row_m, column_m, bearing_rad, mass in modes.tolist():
        place = grid.compose(Pose2(column_m, -row_m, 0.0))
        found.append(PoseMode(
            Pose2(place.x, place.y, wrap_angle(heading_rad - bearing_rad)), mass))
    return tuple(mode for mode in found if mode.mass > LEAST_MASS)


def _turned_covariance(covariance: np.ndarray, yaw_rad: float) -> np.ndarray:
    """Return a (3, 3) covariance of (x, y, yaw) in axes that were turned by -yaw."""
    turn = np.eye(3)
    turn[:2, :2] = rotation2(yaw_rad)
    result = turn @ covariance @ turn.T
    return (result + result.T) / 2
