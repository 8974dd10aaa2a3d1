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

"""From matching scores to a pose with its covariance."""

from __future__ import annotations

from typing import NamedTuple

from fg2_ros.solver import ransac
from fg2_ros.solver.covariance import pose_covariance
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, residuals_m
from fg2_ros.solver.ransac import PoseGate, RansacSettings
from fg2_ros.solver.refinement import PoseLikelihood, refine, RefinementSettings
import torch
from torch import Tensor


class Solution(NamedTuple):
    """
    Poses of B frames and what they rest on.

    :param rotation: (B, 2, 2), ``ground = rotation @ aerial + translation``.
    :param translation: (B, 2) metres.
    :param ok: (B,) bool; False where the matches determine no pose.
    :param inlier_ratio: (B,) share of the drawn matches that are inliers.
    :param covariance: (B, 3, 3) of (east m, north m, yaw rad) of the camera in the patch's axes.
    :param aerial: (B, N) aerial cells of the drawn matches.
    :param ground: (B, N) their ground cells.
    :param weight: (B, N) their probabilities; 0 for padding.
    :param inlier: (B, N) bool.
    """

    rotation: Tensor
    translation: Tensor
    ok: Tensor
    inlier_ratio: Tensor
    covariance: Tensor
    aerial: Tensor
    ground: Tensor
    weight: Tensor
    inlier: Tensor

    def cpu(self) -> Solution:
        """Return the solution on the host; this is where the host waits for the device."""
        return Solution(*(value.cpu() for value in self))


def solve_pose(
        scores: Tensor, probabilities: Tensor, grid: BevGrid,
        ransac_settings: RansacSettings = RansacSettings(),
        refinement_settings: RefinementSettings = RefinementSettings(),
        gate: PoseGate | None = None, generator: torch.Generator | None = None,
        log_partition: Tensor | None = None) -> Solution:
    """
    Return the poses on which matches agree, refined between the grid points.

    :param scores: (B, aerial cells, ground cells); -inf where a ground cell is not visible.
    :param probabilities: (B, aerial cells, ground cells), mutual.
    :param gate: where the poses may be; None for anywhere.
    :param generator: of the scores' device, for repeatable results.
    :param log_partition: (B, ground cells), the log-sum-exp of the scores, if it is known.
    """
    found = ransac.solve(probabilities, grid, ransac_settings, gate, generator)
    likelihood = PoseLikelihood(
        scores, probabilities, grid, refinement_settings, log_partition)
    alignment, curvature = refine(likelihood, found.alignment)
    covariance = pose_covariance(curvature, alignment.ok)
    inlier = inliers_of(alignment, found.aerial, found.ground, found.weight, grid,
                        ransac_settings.inlier_threshold_m)
    drawn = (found.weight > 0).sum(-1).clamp_min(1)
    return Solution(
        rotation=alignment.rotation, translation=alignment.translation, ok=alignment.ok,
        inlier_ratio=inlier.sum(-1) / drawn, covariance=covariance, aerial=found.aerial,
        ground=found.ground, weight=found.weight, inlier=inlier)


def inliers_of(alignment: Alignment, aerial: Tensor, ground: Tensor, weight: Tensor,
               grid: BevGrid, within_m: float) -> Tensor:
    """Return (B, N) bool: which of the drawn pairs agree with the motions."""
    distance = residuals_m(alignment, grid.aerial[aerial], grid.ground[ground])
    return (distance < within_m) & (weight > 0) & alignment.ok[:, None]
