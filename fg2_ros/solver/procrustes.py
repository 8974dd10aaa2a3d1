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

"""Weighted Procrustes alignment in the plane, in closed form and batched."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A cross-covariance whose smaller singular value is below this share of the larger one has
# rank 1 to float32 precision: all points on a line or on one spot.
RANK_TOLERANCE = 1e-6


class Alignment(NamedTuple):
    """
    Rigid motions ``ground = rotation @ aerial + translation``, batched over ``...``.

    :param rotation: (..., 2, 2), determinant +1.
    :param translation: (..., 2) metres, (row, column) of the ground grid.
    :param ok: (...) bool; False where the points do not determine a motion, whose values are
        then finite but meaningless.
    """

    rotation: Tensor
    translation: Tensor
    ok: Tensor

    @property
    def bearing(self) -> Tensor:
        """Return the (...) compass bearings in radians of the panorama's centre column."""
        return torch.atan2(self.rotation[..., 1, 0], self.rotation[..., 0, 0])

    @property
    def camera(self) -> Tensor:
        """Return the (..., 2) camera positions: (row, column) metres from the patch centre."""
        return -(self.rotation.mT @ self.translation[..., None])[..., 0]

    def take(self, index: Tensor) -> Alignment:
        """Return the motions at ``index`` (B,) of the last batch dimension of (B, K) motions."""
        rows = torch.arange(len(index), device=index.device)
        return Alignment(*(value[rows, index] for value in self))

    def where(self, condition: Tensor, other: Alignment) -> Alignment:
        """Return these motions where ``condition`` (...) holds and ``other``'s elsewhere."""
        return Alignment(
            torch.where(condition[..., None, None], self.rotation, other.rotation),
            torch.where(condition[..., None], self.translation, other.translation),
            torch.where(condition, self.ok, other.ok))


def alignment_from_camera(camera: Tensor, bearing: Tensor) -> Alignment:
    """Return the motions of cameras (..., 2) in the aerial grid with bearings (...) in radians."""
    cosine, sine = bearing.cos(), bearing.sin()
    rotation = _rotation(cosine, sine)
    translation = -(rotation @ camera[..., None])[..., 0]
    return Alignment(rotation, translation, torch.ones_like(bearing, dtype=torch.bool))


def weighted_procrustes(aerial: Tensor, ground: Tensor, weights: Tensor) -> Alignment:
    """
    Return the proper rotation and translation of least weighted squared residuals.

    Minimises ``sum_i w_i |R x_i + t - y_i|^2`` (Umeyama 1991 without scale). In the plane the
    optimum is the angle of one complex number, so no decomposition is needed and mirrored points
    still give a rotation. Differentiable where ``ok``.

    :param aerial: (..., N, 2) points x in metres.
    :param ground: (..., N, 2) points y in metres.
    :param weights: (..., N), not negative; their scale does not matter.
    :return: the motions; not ok where the weighted cross-covariance has rank below 2.
    """
    share = (weights / weights.sum(-1, keepdim=True).clamp_min(1e-30))[..., None]
    aerial_mean = (share * aerial).sum(-2, keepdim=True)
    ground_mean = (share * ground).sum(-2, keepdim=True)
    covariance = (share * (aerial - aerial_mean)).mT @ (ground - ground_mean)
    return alignment_from_moments(covariance, aerial_mean[..., 0, :], ground_mean[..., 0, :])


def alignment_from_moments(
        covariance: Tensor, aerial_mean: Tensor, ground_mean: Tensor) -> Alignment:
    """
    Return the motions of least squared residuals between points of known moments.

    :param covariance: (..., 2, 2), mean of ``(x - mean x) (y - mean y)^T``.
    :param aerial_mean: (..., 2) mean of x.
    :param ground_mean: (..., 2) mean of y.
    """
    along = covariance[..., 0, 0] + covariance[..., 1, 1]
    across = covariance[..., 0, 1] - covariance[..., 1, 0]
    norm = torch.hypot(along, across).clamp_min(1e-30)
    rotation = _rotation(along / norm, across / norm)
    translation = ground_mean - (rotation @ aerial_mean[..., None])[..., 0]
    return Alignment(rotation, translation, _full_rank(covariance, norm))


def residuals_m(alignment: Alignment, aerial: Tensor, ground: Tensor) -> Tensor:
    """Return the (..., N) distances ``|R x + t - y|`` in metres of (..., N, 2) point pairs."""
    moved = aerial @ alignment.rotation.mT + alignment.translation[..., None, :]
    return torch.linalg.vector_norm(moved - ground, dim=-1)


def soft_inliers(distance_m: Tensor, threshold_m: float) -> Tensor:
    """Return the (...) soft inlier counts of (..., N) distances: 1/2 each at the threshold."""
    return torch.sigmoid(5 / threshold_m * (threshold_m - distance_m)).sum(-1)


def determinant(matrix: Tensor) -> Tensor:
    """Return the (...) determinants of (..., 2, 2) matrices."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def _rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    return torch.stack([cosine, -sine, sine, cosine], -1).unflatten(-1, (2, 2))


def _full_rank(covariance: Tensor, sum_of_singular: Tensor) -> Tensor:
    """Tell whether (..., 2, 2) matrices have two singular values, without decomposing them."""
    product = determinant(covariance).abs()  # of the singular values
    largest = torch.linalg.matrix_norm(covariance)  # within sqrt(2) of the larger one
    finite = torch.isfinite(product) & torch.isfinite(sum_of_singular)
    return finite & (product > RANK_TOLERANCE * largest ** 2) & (largest > 1e-12)
