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

"""The analytic covariance of a pose from the curvature of its likelihood."""

from __future__ import annotations

from fg2_ros.solver.refinement import Curvature
import torch
from torch import Tensor

# Standard deviations below which no covariance goes: what calibration, the camera's mount and
# the imagery's own position leave uncertain however well images match.
FLOOR_M = 0.05
FLOOR_RAD = 0.001
# Standard deviations of a pose that is not known at all.
UNKNOWN_M = 1e3
UNKNOWN_RAD = 1e2


def pose_covariance(at: Curvature, ok: Tensor) -> Tensor:
    """
    Return the (B, 3, 3) covariance of (east m, north m, yaw rad) of the camera.

    A sandwich estimator, ``H^-1 G H^-1`` with the information H and the gradient's covariance G
    (White 1982): it stays right where the likelihood is a model only. G allows for neighbouring
    cells that err together. Floors of FLOOR_M and FLOOR_RAD are added, so the result is always
    symmetric positive definite. East and north are those of the aerial patch.

    :param at: the curvature at the estimated poses.
    :param ok: (B,) bool; where False, and where the likelihood has no curvature, everything is
        unknown (UNKNOWN_M, UNKNOWN_RAD).
    """
    inverse, known = _inverse(at)
    sandwich = inverse @ at.scatter @ inverse
    covariance = _in_map_axes(_in_map_axes(sandwich).mT)
    covariance = (covariance + covariance.mT) / 2 + _diagonal(covariance, FLOOR_M, FLOOR_RAD)
    unknown = _diagonal(covariance, UNKNOWN_M, UNKNOWN_RAD)
    known = known & ok & torch.isfinite(covariance).all(-1).all(-1)
    return torch.where(known[:, None, None], covariance, unknown)


def _inverse(at: Curvature) -> tuple[Tensor, Tensor]:
    """Return the inverse information (B, 3, 3), and whether (B,) there is any."""
    bound = at.expected.double()
    _, not_a_maximum = torch.linalg.cholesky_ex(at.information.double() - 0.02 * bound)
    information = torch.where(
        (not_a_maximum == 0)[:, None, None], at.information.double(), 0.02 * bound)
    inverse, singular = torch.linalg.inv_ex(information)
    _, indefinite = torch.linalg.cholesky_ex(information)
    return inverse.to(at.scatter.dtype), (singular == 0) & (indefinite == 0)


def _in_map_axes(rows: Tensor) -> Tensor:
    """Return rows for (east, north, yaw) = (column, -row, -bearing) of (B, 3, 3)."""
    row, column, bearing = rows.unbind(-2)
    return torch.stack([column, -row, -bearing], -2)


def _diagonal(like: Tensor, metres: float, radians: float) -> Tensor:
    axis = torch.arange(3, device=like.device)
    return torch.diag(torch.where(axis < 2, metres ** 2, radians ** 2).to(like))
