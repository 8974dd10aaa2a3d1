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

"""The factor between the analytic covariance and an honest one."""

from __future__ import annotations

from fg2_ros.network.fg2 import FG2Network
from fg2_ros.solver.acceptance import AcceptanceSettings
from fg2_ros.solver.covariance import FLOOR_M, FLOOR_RAD
from fg2_ros.solver.grid import BevGrid
from fg2_ros.solver.pose import Solution, solve_pose
from fg2_ros.solver.procrustes import Alignment
from fg2_ros.solver.ransac import PoseGate, RansacSettings
from fg2_ros.training.panorama.samples import SampleBatch, SampleSettings
from fg2_ros.training.panorama.trainer import image_batch, truth_of
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

LARGEST_SCALE = 1e4


def calibrated_scale(network: FG2Network, samples: Dataset, batch: int = 8,
                     settings: SampleSettings = SampleSettings.validation()) -> float:
    """
    Return the factor of the covariance with which the samples' ANEES is 1.

    Only frames count that have enough inliers to be accepted.

    :param network: in evaluation mode.
    :param samples: that the network was not trained on.
    :param settings: how wrong their priors are.
    """
    generator = torch.Generator().manual_seed(0)
    errors, covariances = [], []
    with torch.inference_mode():
        for sample in DataLoader(samples, batch):
            solution = _solved(network, sample, settings, generator)
            known = _enough_inliers(solution)
            errors.append(errors_of(solution, sample)[known])
            covariances.append(solution.covariance[known])
    return honest_scale(torch.cat(errors).double().numpy(),
                        torch.cat(covariances).double().numpy())


def honest_scale(errors: np.ndarray, covariances: np.ndarray) -> float:
    """
    Return the factor of covariances, without their floors, with which the ANEES is 1.

    :param errors: (N, 3) of east (m), north (m) and yaw (rad); 1 is returned if there are none.
    :param covariances: (N, 3, 3) analytic covariances of factor 1, floors included.
    """
    if not len(errors):
        return 1.0
    floor = np.diag([FLOOR_M, FLOOR_M, FLOOR_RAD]) ** 2

    def anees(scale: float) -> float:
        scaled = (covariances - floor) * scale + floor
        return np.mean(np.einsum('ni,ni->n', errors, np.linalg.solve(
            scaled, errors[..., None])[..., 0])) / errors.shape[1]

    low, high = 1 / LARGEST_SCALE, LARGEST_SCALE
    for _ in range(40):  # the ANEES falls with the scale
        middle = np.sqrt(low * high)
        low, high = (middle, high) if anees(middle) > 1 else (low, middle)
    return float(np.sqrt(low * high))


def _solved(network: FG2Network, sample: SampleBatch, settings: SampleSettings,
            generator: torch.Generator) -> Solution:
    """Solve as the localizer does, the prior being the patch's centre."""
    matching = network(image_batch(sample.ground), image_batch(sample.aerial))
    limits, count = AcceptanceSettings(), len(sample.ground)
    gate = PoseGate(
        torch.zeros(count, 2),
        torch.full((count,), limits.radius_m(settings.prior_offset_m / 3 ** 0.5)),
        torch.full((count,), limits.angle_rad(
            float(np.radians(settings.yaw_error_deg)) / 3 ** 0.5)))
    return solve_pose(
        matching.scores, matching.probabilities, BevGrid.of(network.config),
        RansacSettings.real_time(), gate=gate, generator=generator)


def _enough_inliers(solution: Solution) -> Tensor:
    limits = AcceptanceSettings()
    return (solution.ok & (solution.inlier.sum(-1) >= limits.min_inliers)
            & (solution.inlier_ratio >= limits.min_inlier_ratio))


def errors_of(solution: Solution, sample: SampleBatch) -> Tensor:
    """Return the (B, 3) errors of the camera's east, north (m) and yaw (rad)."""
    found = Alignment(solution.rotation, solution.translation, solution.ok)
    truth = truth_of(sample)
    row_m, column_m = (found.camera - truth.camera).unbind(-1)
    turn = found.bearing - truth.bearing
    return torch.stack([column_m, -row_m, -torch.atan2(turn.sin(), turn.cos())], -1)
