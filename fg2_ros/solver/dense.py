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

"""The poses of images from their dense posteriors: a way to a `Solution` without hypotheses."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple

from fg2_ros.settings import setting
from fg2_ros.solver.covariance import UNKNOWN_M
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import inliers_of, Solution
from fg2_ros.solver.posterior import DenseLikelihood, PoseWindow, PosteriorSettings
from fg2_ros.solver.procrustes import Alignment, alignment_from_camera
from fg2_ros.solver.ransac import PoseGate
from fg2_ros.solver.refinement import PoseLikelihood, refine, RefinementSettings
from fg2_ros.solver.sampling import Pairs
import torch
from torch import Tensor

FINE_PLACES, FINE_PARTS = 6, 2  # around the coarse peak: three cells each way by halves
FINE_HEADINGS, FINE_RAD = 5, math.radians(1.5)
MODES, MODE_REACH_M, MODE_REACH_RAD = 3, 4.0, math.radians(10.0)


@dataclass(frozen=True)
class DenseSettings:
    """How a pose is found in a dense posterior, and which matches are shown beside it."""

    step_deg: float = setting(
        2.0, 'Headings are tried this far apart.', unit='deg', between=(0.5, 10.0), read_only=True)
    samples: int = setting(
        1024, 'Matches that are drawn, to show and to count those that agree.',
        between=(16, 65536), read_only=True)
    inlier_threshold_m: float = setting(
        2.0, 'Distance below which a match agrees with the pose.', unit='m', between=(0.1, 50.0),
        read_only=True)
    posterior: PosteriorSettings = PosteriorSettings()
    refinement: RefinementSettings = RefinementSettings(steps=4)


@dataclass(frozen=True)
class Honesty:
    """
    What makes the spread of a posterior an honest covariance; found by calibration.

    :param temper: factor of the log-likelihood.
    :param bias_m: standard deviation that is added on each axis.
    :param bias_rad: the same of the heading.
    """

    temper: float = 0.5
    bias_m: float = 0.25
    bias_rad: float = math.radians(0.5)


@dataclass(frozen=True)
class Extent:
    """
    How far the poses that are tried reach: whole numbers that the host knows.

    :param places: cells each way.
    :param headings: steps each way.
    """

    places: int
    headings: int

    @classmethod
    def of(cls, radius_m: float, angle_rad: float, grid: BevGrid,
           settings: DenseSettings) -> Extent:
        """Return what covers a radius and an angle, which may be infinite."""
        most = math.ceil(math.pi / math.radians(settings.step_deg))
        headings = most if angle_rad >= math.pi else math.ceil(
            angle_rad / math.radians(settings.step_deg))
        radius_m = min(radius_m, grid.cells * grid.cell_m)
        return cls(math.ceil(radius_m / grid.cell_m), min(headings, most))


class DensePose(NamedTuple):
    """
    The likeliest poses of B frames.

    :param covariance: (B, 3, 3) of row (m), column (m) and bearing (rad).
    :param modes: (B, MODES, 4) row and column in metres, bearing and probability of the likeliest
        places among all that were tried.
    """

    alignment: Alignment
    covariance: Tensor
    modes: Tensor

    def of_frame(self, index: int) -> DensePose:
        """Return what one frame of the batch has."""
        one = slice(index, index + 1)
        return DensePose(Alignment(*(value[one] for value in self.alignment)),
                         self.covariance[one], self.modes[one])

    def with_pairs(self, pairs: Pairs, grid: BevGrid, within_m: float) -> Solution:
        """
        Return the solution with matches to show and to count.

        :param pairs: one draw.
        :param within_m: distance below which a match agrees with the pose.
        """
        aerial, ground, weight = (each[:, 0] for each in pairs)
        inlier = inliers_of(self.alignment, aerial, ground, weight, grid, within_m)
        known = (weight > 0).sum(-1).clamp_min(1)
        return Solution(
            *self.alignment, inlier.sum(-1) / known, _in_map_axes(self.covariance), aerial,
            ground, weight, inlier)


def densest(
        scores: Tensor, probabilities: Tensor, grid: BevGrid, extent: Extent,
        settings: DenseSettings = DenseSettings(), honesty: Honesty = Honesty(),
        gate: PoseGate | None = None, log_partition: Tensor | None = None) -> DensePose:
    """
    Return the poses of the greatest likelihood, and how the posterior spreads around them.

    :param scores: (B, aerial cells, ground cells); -inf where a ground cell is not visible.
    :param probabilities: (B, aerial cells, ground cells), mutual.
    :param extent: of the poses that are tried; the gate may exclude some of them.
    :param gate: where the poses may be; None for anywhere within the extent of the centre.
    :param log_partition: (B, ground cells), the log-sum-exp of the scores, if it is known.
    """
    count, device = len(scores), scores.device
    middle = torch.zeros(count, 2, device=device) if gate is None else gate.camera
    window = PoseWindow(middle, torch.zeros(count, device=device), extent.places,
                        extent.headings, 1, math.radians(settings.step_deg))
    likelihood = DenseLikelihood(
        scores, probabilities, grid, settings.posterior, log_partition)
    coarse = likelihood.evaluate(window)
    poses = window.poses(grid.cell_m)
    log_prior = coarse.new_zeros(()) if gate is None else _log_prior(poses, gate)
    tried = coarse + log_prior
    highest, best = tried.flatten(1).max(1)
    peak = poses.flatten(1, 3).gather(1, best[:, None, None].expand(-1, 1, 3))[:, 0]
    start = alignment_from_camera(peak[:, :2], peak[:, 2])._replace(ok=highest > 0)
    alignment, _ = refine(
        PoseLikelihood(scores, probabilities, grid, settings.refinement, log_partition), start)
    return DensePose(alignment, _spread(likelihood, alignment, grid, honesty),
                     _modes(honesty.temper * tried, poses))


def _modes(log_values: Tensor, poses: Tensor) -> Tensor:
    """Return (B, MODES, 4): the likeliest poses that are apart, and how probable each is."""
    left, poses = torch.softmax(log_values.flatten(1), -1), poses.flatten(1, 3)
    modes = []
    for _ in range(MODES):
        best = left.argmax(1)
        peak = poses.gather(1, best[:, None, None].expand(-1, 1, 3))
        away = poses - peak
        near = (torch.linalg.vector_norm(away[..., :2], dim=-1) < MODE_REACH_M) & (
            away[..., 2].abs() < MODE_REACH_RAD)
        modes.append(torch.cat([peak[:, 0], (left * near).sum(1, keepdim=True)], -1))
        left = torch.where(near, 0.0, left)
    return torch.stack(modes, 1)


def _log_prior(poses: Tensor, gate: PoseGate) -> Tensor:
    """
    Return (B, headings, places, places): minus infinity outside of a gate, a prior inside.

    A gate's radius is taken as three standard deviations of the place, from its middle.
    """
    distance = torch.linalg.vector_norm(
        poses[..., :2] - gate.camera[:, None, None, None], dim=-1)
    radius_m = gate.radius_m[:, None, None, None]
    inside = (distance <= radius_m) & (
        poses[..., 2].abs() <= gate.angle_rad[:, None, None, None])
    return torch.where(inside, -0.5 * (3 * distance / radius_m).square(), -torch.inf)


def _spread(likelihood: DenseLikelihood, alignment: Alignment, grid: BevGrid,
            honesty: Honesty) -> Tensor:
    """Return the (B, 3, 3) covariance of row, column and bearing around a pose."""
    window = PoseWindow(alignment.camera, alignment.bearing, FINE_PLACES, FINE_HEADINGS,
                        FINE_PARTS, FINE_RAD)
    poses = window.poses(grid.cell_m).flatten(1, 3)
    away = poses - torch.cat([alignment.camera, alignment.bearing[:, None]], -1)[:, None]
    weight = torch.softmax(honesty.temper * likelihood.evaluate(window).flatten(1), -1)
    spread = (weight[..., None] * away).mT @ away
    bias = torch.diag(spread.new_ones(3) * honesty.bias_m ** 2)
    bias[2, 2] = honesty.bias_rad ** 2
    covariance = spread + bias
    unknown = torch.diag(covariance.new_ones(3) * UNKNOWN_M ** 2)
    return torch.where(alignment.ok[:, None, None], covariance, unknown)


def _in_map_axes(covariance: Tensor) -> Tensor:
    """Return the (B, 3, 3) of (east, north, yaw) = (column, -row, -bearing)."""
    order = [1, 0, 2]
    signs = covariance.new_ones(3)
    signs[1:] = -1
    turned = covariance[:, order][:, :, order]
    return turned * signs[:, None] * signs
