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

"""
Sub-cell refinement: the pose of greatest likelihood under all cells' match distributions.

Matched grid points are a cell (over a metre) apart, but the scores of the neighbouring aerial
cells say where between them a match lies. Trained on targets that are shared bilinearly between
four cells, ``p(a | g) = softmax_a S[a, g]`` is the distribution of ground cell g's place in the
aerial grid, sampled at the grid points. Smoothed by a Gaussian kernel K it is a density that can
be evaluated anywhere, and a pose is scored by the weighted log-likelihood

    sum_g w_g log( floor + sum_a p(a | g) K(x_g - x_a) ),      x_g = camera + R^T y_g

in which the floor (the density of a wrong match) bounds what a wrong cell can do, and
``w_g = sum_a P[a, g]``, the mutual matching probability, makes sharp cells count more than vague
ones. The kernel keeps the maximum unbiased: a linear interpolation's would lie on grid points.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple

from fg2_ros.settings import setting
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.procrustes import Alignment, alignment_from_camera
import torch
from torch import Tensor


@dataclass(frozen=True)
class RefinementSettings:
    """How the pose likelihood is smoothed and climbed."""

    steps: int = setting(
        2, 'Newton steps to the most likely pose; 0 keeps the pose of the matched grid points.',
        between=(0, 100), read_only=True)
    bandwidth_cells: float = setting(
        1.0, 'Standard deviation of the kernel that smooths the scores. Below half a cell the '
        'likelihood has bumps at the grid points; above two it forgets what the scores know.',
        unit='grid cells', between=(0.3, 4.0), read_only=True)
    window_cells: int = setting(
        3, 'Reach of the kernel each way.', unit='grid cells', between=(1, 8), read_only=True)
    floor: float = setting(
        0.02, 'Density of a wrong match: larger trusts only sharp matches near the pose.',
        unit='probability per grid cell', between=(1e-6, 1.0), read_only=True)
    largest_step_m: float = setting(
        1.0, 'A step moves no ground point within 15 m further than this.', unit='m',
        between=(0.01, 10.0), read_only=True)
    correlated_cells: int = setting(
        6, 'Ground cells nearer than this err together; larger gives larger covariances. 1 takes '
        'all cells as independent.', unit='grid cells', between=(1, 20), read_only=True)


class Curvature(NamedTuple):
    """
    The likelihood around a pose; parameters are (camera row m, camera column m, bearing rad).

    :param gradient: (B, 3).
    :param information: (B, 3, 3) minus the Hessian; positive definite at a maximum.
    :param expected: (B, 3, 3) an upper bound of it that is always positive semi-definite.
    :param scatter: (B, 3, 3) sum of the outer products of the gradients of blocks of cells, an
        estimate of the gradient's covariance.
    :param log_likelihood: (B,).
    """

    gradient: Tensor
    information: Tensor
    expected: Tensor
    scatter: Tensor
    log_likelihood: Tensor


class PoseLikelihood:
    """
    The log-likelihood of poses under the matching scores of B frames.

    :param scores: (B, aerial cells, ground cells); -inf where a ground cell is not visible.
    :param probabilities: (B, aerial cells, ground cells), mutual.
    :param grid: where the cells lie.
    :param log_partition: (B, ground cells), the log-sum-exp of the scores, if it is known.
    """

    def __init__(self, scores: Tensor, probabilities: Tensor, grid: BevGrid,
                 settings: RefinementSettings, log_partition: Tensor | None = None):
        self.grid = grid
        self.settings = settings
        self.bandwidth_m = settings.bandwidth_cells * grid.cell_m
        self.cell_weight = probabilities.detach().float().sum(1)  # (B, ground)
        self.log_probability = scores.detach().float()
        self.log_partition = (
            self.log_probability.logsumexp(1) if log_partition is None else log_partition)
        self.reach = torch.arange(
            -settings.window_cells, settings.window_cells + 1, device=scores.device)
        size = settings.correlated_cells
        cell = torch.arange(len(grid.ground), device=scores.device)
        across = -(-grid.cells // size)
        self.block = cell // grid.cells // size * across + cell % grid.cells // size
        self.blocks = across ** 2

    def curvature(self, camera: Tensor, bearing: Tensor) -> Curvature:
        """Return value, gradient and curvature at cameras (B, 2) with bearings (B,)."""
        predicted, slope = self._predict(camera, bearing)
        density, pull, spread = self._moments(predicted)
        right = density / (density + self.settings.floor)  # probability that the match is one
        precision = self.bandwidth_m ** -2
        weight = self.cell_weight * right * precision

        # First and second derivatives of w log(floor + density) by each predicted point.
        force = weight[..., None] * pull
        doubt = (precision * (1 - right))[..., None, None]
        identity = torch.eye(2, device=spread.device)
        stiffness = weight[..., None, None] * (
            identity - precision * spread - doubt * pull[..., :, None] * pull[..., None, :])

        gradients = _times(slope.mT, force[..., None])[..., 0]  # (B, ground, 3)
        expected = weight[..., None, None] * slope
        return Curvature(
            gradients.sum(1),
            _summed_product(slope, _times(stiffness, slope)),
            _summed_product(slope, expected),
            self._scatter(gradients),
            (self.cell_weight * torch.log(self.settings.floor + density)).sum(-1))

    def _scatter(self, gradients: Tensor) -> Tensor:
        """
        Return the covariance (B, 3, 3) of the sum of (B, ground, 3) gradients.

        Neighbouring cells see the same things and err together, so gradients are summed over
        square blocks of cells before the outer products (a cluster-robust estimate: Liang &
        Zeger 1986).
        """
        sums = gradients.new_zeros(len(gradients), self.blocks, 3)
        sums = sums.index_add(1, self.block, gradients)
        return sums.mT @ sums

    def _predict(self, camera: Tensor, bearing: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the ground points (B, G, 2) come to lie, and d/d(pose) (B, G, 2, 3)."""
        rotation = alignment_from_camera(camera, bearing).rotation
        turned = self.grid.ground @ rotation  # R^T y
        slope = torch.zeros(*turned.shape, 3, device=turned.device)
        slope[..., 0, 0] = slope[..., 1, 1] = 1
        slope[..., 0, 2] = turned[..., 1]
        slope[..., 1, 2] = -turned[..., 0]
        return turned + camera[:, None], slope

    def _moments(self, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return the matches' distribution around predicted points (B, G, 2), seen by the kernel.

        :return: its density (B, G) per cell, and the mean (B, G, 2) m and covariance (B, G, 2, 2)
            m^2 of the offsets from the predicted points. The kernel is separable, so these are
            sums over rows and columns of the (K, K) window.
        """
        cells, cell_m = self.grid.cells, self.grid.cell_m
        position = predicted / cell_m + (cells - 1) / 2
        nearest = position.round()
        around = nearest.long()[..., None] + self.reach  # (B, G, 2, K)
        offset = (self.reach - (position - nearest)[..., None]) * cell_m
        kernel = torch.exp(offset.square() * (-0.5 / self.bandwidth_m ** 2))
        kernel = torch.where((around >= 0) & (around < cells), kernel, 0.0)

        mass = self._window(around.clamp(0, cells - 1))
        mass = mass * kernel[..., 0, :, None] * kernel[..., 1, None, :]
        by_row, by_column = mass.sum(-1), mass.sum(-2)
        total = by_row.sum(-1)
        share = 1 / total.clamp_min(1e-30)
        row, column = offset.unbind(-2)
        mean_row = (by_row * row).sum(-1) * share
        mean_column = (by_column * column).sum(-1) * share
        row_row = (by_row * row * row).sum(-1) * share - mean_row * mean_row
        column_column = (by_column * column * column).sum(-1) * share - mean_column * mean_column
        row_column = (mass * column[..., None, :]).sum(-1)
        row_column = (row_column * row).sum(-1) * share - mean_row * mean_column
        spread = torch.stack([row_row, row_column, row_column, column_column], -1)
        norm = 2 * math.pi * self.settings.bandwidth_cells ** 2
        return (total / norm, torch.stack([mean_row, mean_column], -1),
                spread.unflatten(-1, (2, 2)))

    def _window(self, around: Tensor) -> Tensor:
        """Return the probabilities (B, G, K, K) of the aerial cells around (B, G, 2, K)."""
        ground_cells = self.log_probability.shape[2]
        columns = torch.arange(ground_cells, device=around.device)
        rows = around[..., 0, :, None] * self.grid.cells + around[..., 1, None, :]
        index = rows * ground_cells + columns[:, None, None]
        found = self.log_probability.flatten(1).gather(1, index.flatten(1)).view(index.shape)
        # An invisible cell is all -inf; exp(-inf - -inf) must be 0 there.
        partition = self.log_partition.clamp_min(-1e30)[..., None, None]
        return torch.exp(found - partition)


def _times(left: Tensor, right: Tensor) -> Tensor:
    """Return products of many tiny matrices: faster than a matrix product for each of them."""
    return (left[..., :, :, None] * right[..., None, :, :]).sum(-2)


def _summed_product(left: Tensor, right: Tensor) -> Tensor:
    """Return (B, 3, 3), the sum over G of ``left.T @ right`` of (B, G, 2, 3) matrices."""
    return left.flatten(1, 2).mT @ right.flatten(1, 2)


def refine(
        likelihood: PoseLikelihood, start: Alignment) -> tuple[Alignment, Curvature]:
    """
    Climb the likelihood from (B) motions by damped Newton steps.

    Where the Hessian is not negative definite its bound is used instead: such a step never
    leads downhill (it is an expectation-maximisation step).

    :return: the refined motions (``ok`` as before) and the likelihood's curvature there.
    """
    camera, bearing = start.camera, start.bearing
    at = likelihood.curvature(camera, bearing)
    for _ in range(likelihood.settings.steps):
        step = _step(at, likelihood.settings.largest_step_m)
        camera, bearing = camera + step[:, :2], bearing + step[:, 2]
        at = likelihood.curvature(camera, bearing)
    return alignment_from_camera(camera, bearing)._replace(ok=start.ok), at


def _step(at: Curvature, largest_m: float) -> Tensor:
    """Return the (B, 3) step uphill."""
    ridge = 1e-6 * torch.eye(3, device=at.gradient.device)
    bound, information = at.expected + ridge, at.information
    # A Hessian much flatter than its bound asks for a leap: stay within ten times the bound's.
    _, failed = torch.linalg.cholesky_ex(information - 0.1 * bound)
    matrix = torch.where((failed == 0)[:, None, None], information, bound)
    step = torch.linalg.solve_ex(matrix, at.gradient[..., None])[0][..., 0]
    reach = torch.maximum(
        torch.linalg.vector_norm(step[:, :2], dim=-1), step[:, 2].abs() * 15)
    return step * (largest_m / reach.clamp_min(largest_m))[:, None]
