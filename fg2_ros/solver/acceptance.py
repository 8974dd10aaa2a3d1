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

"""Acceptance of a pose, or the reason of its rejection."""

from __future__ import annotations

from dataclasses import dataclass
import math

from fg2_ros.geometry.se2 import Pose2
from fg2_ros.settings import setting
import numpy as np


@dataclass(frozen=True)
class AcceptanceSettings:
    """What an estimate must fulfil."""

    min_inliers: int = setting(
        40, 'Fewer matches that agree with the pose reject it.', between=(3, 65536),
        read_only=True)
    min_inlier_ratio: float = setting(
        0.15, 'A smaller share of matches that agree with the pose rejects it; 0 accepts any.',
        between=(0.0, 1.0), read_only=True)
    max_sigma_m: float = setting(
        5.0, "A larger standard deviation along the position ellipse's major axis rejects.",
        unit='m', between=(0.01, 1e6), read_only=True)
    max_yaw_sigma_deg: float = setting(
        10.0, 'A larger standard deviation of the yaw rejects.', unit='deg', between=(0.01, 1e6),
        read_only=True)
    min_valid_share: float = setting(
        0.5, 'With less of the aerial patch covered by imagery the estimate is rejected.',
        between=(0.0, 1.0), read_only=True)
    gate_sigmas: float = setting(
        3.0, 'Poses are looked for within so many standard deviations of the prior.',
        between=(0.1, 1e6), read_only=True)
    gate_margin_m: float = setting(
        2.0, 'The position gate is this much wider.', unit='m', between=(0.0, 1e6), read_only=True)
    gate_margin_deg: float = setting(
        2.0, 'The yaw gate is this much wider.', unit='deg', between=(0.0, 360.0), read_only=True)

    def radius_m(self, sigma_m: float) -> float:
        """Return how far from the prior a position may be."""
        return self.gate_sigmas * sigma_m + self.gate_margin_m

    def angle_rad(self, yaw_sigma_rad: float) -> float:
        """Return how far from the prior a yaw may be."""
        return self.gate_sigmas * yaw_sigma_rad + math.radians(self.gate_margin_deg)


@dataclass(frozen=True)
class Candidate:
    """
    An estimate as the acceptance sees it.

    :param ok: whether the matches determined a pose.
    :param from_prior: the pose's east, north (m) and yaw (rad) less the prior's.
    :param from_patch_m: east, north from the centre of the aerial patch.
    :param covariance: (3, 3) of (east m, north m, yaw rad).
    :param valid_share: how much of the aerial patch shows imagery.
    """

    ok: bool
    inliers: int
    matches: int
    from_prior: Pose2
    from_patch_m: tuple[float, float]
    covariance: np.ndarray
    valid_share: float = 1.0


def rejection_of(
        candidate: Candidate, settings: AcceptanceSettings, sigma_m: float, yaw_sigma_rad: float,
        extent_m: float) -> str:
    """
    Return why a candidate is rejected, as a sentence; '' if it is accepted.

    :param sigma_m: standard deviation of the prior position on each axis.
    :param yaw_sigma_rad: standard deviation of the prior yaw.
    :param extent_m: side of the aerial patch.
    """
    if candidate.valid_share < settings.min_valid_share:
        return f'only {candidate.valid_share:.0%} of the aerial patch shows imagery'
    if not candidate.ok:
        return 'no pose near the prior agrees with the matches'
    return (
        _too_few(candidate, settings)
        or _too_far(candidate, settings, sigma_m, yaw_sigma_rad, extent_m)
        or _too_vague(candidate, settings))


def _too_few(candidate: Candidate, settings: AcceptanceSettings) -> str:
    if candidate.inliers < settings.min_inliers:
        return (f'only {candidate.inliers} matches agree with the pose, '
                f'{settings.min_inliers} are needed')
    ratio = candidate.inliers / max(candidate.matches, 1)
    if ratio < settings.min_inlier_ratio:
        return (f'only {ratio:.0%} of the matches agree with the pose, '
                f'{settings.min_inlier_ratio:.0%} are needed')
    return ''


def _too_far(
        candidate: Candidate, settings: AcceptanceSettings, sigma_m: float, yaw_sigma_rad: float,
        extent_m: float) -> str:
    east_m, north_m, yaw_rad = candidate.from_prior
    distance_m, gate_m = math.hypot(east_m, north_m), settings.radius_m(sigma_m)
    if distance_m > gate_m:
        return (f'the position is {distance_m:.1f} m from the prior, '
                f'at most {gate_m:.1f} m are allowed')
    gate_rad = settings.angle_rad(yaw_sigma_rad)
    if abs(yaw_rad) > gate_rad:
        return (f'the yaw is {math.degrees(abs(yaw_rad)):.1f} degrees from the prior, '
                f'at most {math.degrees(gate_rad):.1f} are allowed')
    if max(map(abs, candidate.from_patch_m)) > extent_m / 2:
        return 'the position is outside the aerial patch'
    return ''


def _too_vague(candidate: Candidate, settings: AcceptanceSettings) -> str:
    sigma_m = math.sqrt(np.linalg.eigvalsh(candidate.covariance[:2, :2])[-1])
    if not sigma_m <= settings.max_sigma_m:
        return (f'the position is uncertain by {sigma_m:.1f} m (one sigma), '
                f'at most {settings.max_sigma_m:.1f} m are allowed')
    sigma_deg = math.degrees(math.sqrt(candidate.covariance[2, 2]))
    if not sigma_deg <= settings.max_yaw_sigma_deg:
        return (f'the yaw is uncertain by {sigma_deg:.1f} degrees (one sigma), '
                f'at most {settings.max_yaw_sigma_deg:.1f} are allowed')
    return ''
