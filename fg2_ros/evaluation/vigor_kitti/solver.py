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

"""The published localization of cross-view frames: batches to a network, a pose for each frame."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Sequence
import zlib

from fg2_ros.datasets.frames import CrossViewFrame, intrinsics_of, yaw_deg_of
from fg2_ros.drawing import ellipse_points, MatchPicture, POSE_RGB, TRUTH_RGB
from fg2_ros.evaluation.vigor_kitti.results import PoseFound
from fg2_ros.geometry.se2 import grid_from_map
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.lifting import project_to_panorama, project_to_pinhole
from fg2_ros.network.matching import Matching
from fg2_ros.solver.covariance import pose_covariance
from fg2_ros.solver.dense import DensePose, DenseSettings, densest, Extent, Honesty
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import Solution, solve_pose
from fg2_ros.solver.procrustes import residuals_m, weighted_procrustes
from fg2_ros.solver.ransac import RansacSettings
from fg2_ros.solver.refinement import PoseLikelihood, RefinementSettings
from fg2_ros.solver.sampling import draw_pairs
import numpy as np
import torch
from torch import Tensor

SAMPLES = 1024  # pairs that a pose without RANSAC rests on
PUBLISHED_RANSAC = RansacSettings.published()
UNREFINED = RefinementSettings(steps=0)


@dataclass(frozen=True)
class SolvedFrame:
    """
    The pose of a frame and the matches it rests on.

    :param ground_px: (M, 2) continuous (column, row) in the ground image, where the height that
        made a cell's feature appears; NaN for what the camera cannot see.
    :param aerial_px: (M, 2) continuous (column, row) in the aerial patch.
    :param weight: (M,) matching probabilities.
    :param inlier: (M,) bool.
    """

    pose: PoseFound | None
    ground_px: np.ndarray
    aerial_px: np.ndarray
    weight: np.ndarray
    inlier: np.ndarray


class CrossViewSolver:
    """
    Localize frames as published; the random draws depend on the seed and the frame's name only.

    :param network: in evaluation mode, on its device.
    :param solver: 'procrustes', 'ransac' or 'posterior', see `SolverSettings`.
    :param honesty: what makes the covariances of the posterior honest.
    """

    def __init__(self, network: FG2Network, solver: str, seed: int = 0,
                 honesty: Honesty = Honesty()):
        self.config: FG2Config = network.config
        self._network, self._solver, self._seed = network, solver, seed
        self._honesty = honesty
        weights = next(network.parameters())
        self._device, self._dtype = weights.device, weights.dtype
        self._grid = BevGrid.of(network.config, self._device)
        self._generator = torch.Generator(self._device)

    @torch.inference_mode()
    def solve(self, frames: Sequence[CrossViewFrame]) -> list[SolvedFrame]:
        """Return the poses of a batch of frames."""
        camera_k = intrinsics_of([frame.camera_k for frame in frames])
        matching = self._network(
            self._images([frame.ground for frame in frames]),
            self._images([frame.aerial for frame in frames]),
            None if camera_k is None else torch.from_numpy(camera_k).to(self._device))
        dense = self._densest(matching) if self._solver == 'posterior' else None
        return [self._solved(frame, _only(matching, index), dense and dense.of_frame(index))
                for index, frame in enumerate(frames)]

    def _images(self, images: list[np.ndarray]) -> Tensor:
        batch = torch.from_numpy(np.stack(images)).to(self._device)
        return batch.permute(0, 3, 1, 2).to(self._dtype) / 255

    def _solved(self, frame: CrossViewFrame, matching: Matching,
                dense: DensePose | None) -> SolvedFrame:
        self._generator.manual_seed(seed_of(self._seed, frame.name))
        solution = self._solution(matching, dense).cpu()
        drawn = solution.weight[0] > 0
        aerial, ground = solution.aerial[0][drawn], solution.ground[0][drawn]
        heights = matching.height_index[0].flatten().cpu()[ground]
        return SolvedFrame(
            _pose(solution), self._ground_px(frame, ground, heights), self._aerial_px(aerial),
            solution.weight[0][drawn].numpy(), solution.inlier[0][drawn].numpy())

    def _solution(self, matching: Matching, dense: DensePose | None) -> Solution:
        if dense is not None:
            pairs = draw_pairs(matching.probabilities, SAMPLES, generator=self._generator)
            return dense.with_pairs(pairs, self._grid, PUBLISHED_RANSAC.inlier_threshold_m)
        return self._consensus(matching) if self._solver == 'ransac' else self._procrustes(
            matching)

    def _densest(self, matching: Matching) -> DensePose:
        """Return the likeliest of all poses in the patch."""
        extent = Extent.of(self.config.grid_extent_m / 2, math.inf, self._grid, DenseSettings())
        return densest(matching.scores, matching.probabilities, self._grid, extent,
                       honesty=self._honesty, log_partition=matching.log_partition)

    def _consensus(self, matching: Matching) -> Solution:
        return solve_pose(
            matching.scores, matching.probabilities, self._grid, PUBLISHED_RANSAC, UNREFINED,
            generator=self._generator)

    def _procrustes(self, matching: Matching) -> Solution:
        pairs = draw_pairs(matching.probabilities, SAMPLES, generator=self._generator)
        aerial, ground, weight = (values[:, 0] for values in pairs)
        points = self._grid.aerial[aerial], self._grid.ground[ground]
        alignment = weighted_procrustes(*points, weight)
        likelihood = PoseLikelihood(
            matching.scores, matching.probabilities, self._grid, UNREFINED)
        covariance = pose_covariance(
            likelihood.curvature(alignment.camera, alignment.bearing), alignment.ok)
        inlier = residuals_m(alignment, *points) < PUBLISHED_RANSAC.inlier_threshold_m
        inlier = inlier & (weight > 0) & alignment.ok[:, None]
        ratio = inlier.sum(-1) / (weight > 0).sum(-1).clamp_min(1)
        return Solution(
            rotation=alignment.rotation, translation=alignment.translation, ok=alignment.ok,
            inlier_ratio=ratio, covariance=covariance, aerial=aerial, ground=ground,
            weight=weight, inlier=inlier)

    def _ground_px(self, frame: CrossViewFrame, ground: Tensor, heights: Tensor) -> np.ndarray:
        down, right = self._grid.ground.cpu()[ground].unbind(-1)
        up = torch.linspace(*self.config.height_range_m, self.config.height_count)[heights]
        points = torch.stack([down, right, up], -1)
        if frame.camera_k is None:
            relative = project_to_panorama(points)
        else:
            camera_k = torch.from_numpy(frame.camera_k)[None]
            relative, seen = project_to_pinhole(
                points[:, None], camera_k, frame.ground.shape[:2])
            relative = relative[0, :, 0].masked_fill(~seen[0, :, None], torch.nan)
        return relative.numpy() * frame.ground.shape[1::-1]

    def _aerial_px(self, aerial: Tensor) -> np.ndarray:
        return aerial_px_of(self._grid.aerial.cpu()[aerial].numpy(), self.config)


def seed_of(seed: int, name: str) -> int:
    """Return the seed of a frame's random draws; generators use 32 bits of it."""
    return zlib.crc32(f'{seed} {name}'.encode())


def aerial_px_of(grid_m: np.ndarray, config: FG2Config) -> np.ndarray:
    """Return continuous (column, row) pixels of (..., 2) (row, column) metres in the patch."""
    return grid_m[..., ::-1] / config.aerial_resolution_m + config.aerial_image_hw[1] / 2


def match_picture(
        frame: CrossViewFrame, solved: SolvedFrame, config: FG2Config, caption: str) -> np.ndarray:
    """Return a frame's images (uint8 RGB) with matches, true pose (white) and the one found."""
    picture = MatchPicture(frame.ground, frame.aerial)
    visible = np.isfinite(solved.ground_px).all(-1)
    picture.add_matches(*(
        values[visible] for values in (
            solved.ground_px, solved.aerial_px, solved.weight, solved.inlier)))
    bearing_deg = -yaw_deg_of(frame.rotation)
    picture.add_pose(
        aerial_px_of(frame.camera_m, config), _direction(bearing_deg), TRUTH_RGB)
    if solved.pose:
        camera = solved.pose.camera
        outline = camera[:2] + ellipse_points(np.array(solved.pose.covariance)[:2, :2])
        picture.add_outline(
            aerial_px_of(np.stack(grid_from_map(*outline.T), -1), config), POSE_RGB)
        picture.add_pose(
            aerial_px_of(np.stack(grid_from_map(camera.x, camera.y)), config),
            _direction(-solved.pose.yaw_deg), POSE_RGB)
    picture.add_caption(caption)
    return picture.image


def _direction(bearing_deg: float) -> np.ndarray:
    """Return the (column, row) direction in a north-up image of a compass bearing."""
    bearing = np.radians(bearing_deg)
    return np.array([np.sin(bearing), -np.cos(bearing)])


def _only(matching: Matching, index: int) -> Matching:
    """Return the matching of one frame of a batch, whose probabilities no other one touches."""
    one = slice(index, index + 1)
    return Matching(
        matching.scores[one], matching.dustbin_score, matching.height_index[one],
        matching.visible[one])


def _pose(solution: Solution) -> PoseFound | None:
    if not solution.ok[0]:
        return None
    return PoseFound(
        yaw_deg_of(solution.rotation[0].double().numpy()),
        tuple(solution.translation[0].double().tolist()),
        tuple(map(tuple, solution.covariance[0].double().tolist())),
        float(solution.inlier_ratio[0]))
