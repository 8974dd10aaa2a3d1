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

"""Results of the tracker: a pose that may be published, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2
import numpy as np


@dataclass(frozen=True)
class BeliefState:
    """
    Where base_link is believed to be at a stamp.

    :param mode: the likeliest pose in the map.
    :param mean: mean around the mode.
    :param covariance: (3, 3) of (east m, north m, yaw rad) around the mean, of the mode only.
    :param mass: probability of the mode against everything that is considered.
    :param agreement: probability, by how well the last images agree with the mode, that it is
        the right place and none that looks alike; NaN without images.
    :param strength: by how much the last images prefer the mode to other poses.
    :param length_m: of the path along which the last images were taken.
    :param features: from which agreement is computed, see `fg2_ros.tracker.evidence.features`.
    :param surprise: log-odds that a place needs in addition before it is first published: more
        where much was searched and far from GNSS.
    :param density: of places and headings, probabilities that sum to 1, for pictures.
    """

    stamp_ns: int
    mode: Pose2
    mean: Pose2
    covariance: np.ndarray
    mass: float
    agreement: float
    strength: float = 0.0
    length_m: float = 0.0
    features: tuple[float, ...] = ()
    surprise: float = 0.0
    density: tuple[PoseVolume, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """
    The pose by one image alone near the belief's mode, for an external filter.

    :param base: pose of base_link in the map.
    :param covariance: (3, 3) of (east m, north m, yaw rad).
    """

    base: Pose2
    covariance: np.ndarray


@dataclass(frozen=True)
class TrackedPose:
    """
    A pose that may be published.

    :param base: pose of base_link in the map, from the belief.
    :param covariance: (3, 3) of (east m, north m, yaw rad).
    :param measurement: this image's own for `~/pose`; None where it is ambiguous, or where
        the vehicle has not driven far enough since the last.
    :param remarks: sentences on inputs that do not fit: an IMU that is off by degrees, a GNSS
        receiver that is off by metres, odometry that has jumped.
    """

    stamp_ns: int
    base: Pose2
    covariance: np.ndarray
    measurement: Measurement | None
    belief: BeliefState
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """
    Why nothing is published for an image.

    :param kind: under which it is counted: 'prior', 'order', 'odometry', 'start', 'mass',
        'agreement', 'vague', 'imagery'.
    :param sentence: for the user: what is not certain, and what may be wrong.
    :param belief: None where there is none.
    :param remarks: see `TrackedPose`.
    """

    stamp_ns: int
    kind: str
    sentence: str
    belief: BeliefState | None = None
    remarks: tuple[str, ...] = ()
