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

"""Evidence of images: how they update a belief, and whether they agree with a pose."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Iterator, NamedTuple, Sequence

from fg2_ros.geometry.pose_volume import PoseVolume
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.tracker.inputs import Observation
from fg2_ros.tracker.motion import Link
from fg2_ros.tracker.settings import Calibration
import numpy as np
from scipy.ndimage import map_coordinates

# Found with right and wrong places along simulated drives, where they tell them apart best.
CORRELATION_M = 8.0  # images this far apart agree with a wrong place independently
FIRST_M = 4.0  # of road that the first image stands for
FADING_M = 30.0  # driven, after which an image counts for 1/e
MAX_SHORTFALL = 1.5  # further below its mean an image carries no more information
AROUND = 1.5  # times the reach of a volume: poses so far from its middle are compared with it


@dataclass(frozen=True)
class ImageLikelihood:
    """
    The log-likelihoods of an image, kept to judge poses along the drive.

    :param volumes: over poses of the camera.
    :param resemblances: how much of the image finds its like in the aerial patch of each volume;
        NaN if that is not known.
    :param odometry: where it was taken; None if there was no odometry.
    :param mean: log-likelihood over all poses that were evaluated.
    :param bests: largest log-likelihood of each volume.
    """

    stamp_ns: int
    volumes: tuple[PoseVolume, ...]
    resemblances: tuple[float, ...]
    base_from_camera: Pose2
    odometry: Link | None
    mean: float
    bests: tuple[float, ...]

    @classmethod
    def of(cls, stamp_ns: int, observation: Observation,
           odometry: Link | None) -> ImageLikelihood:
        """Return the likelihood of an observation."""
        values = np.concatenate([volume.values.ravel()[::7] for volume in observation.known])
        bests = tuple(float(volume.values.max()) for volume in observation.known)
        resemblances = observation.resemblances or (math.nan,) * len(observation.volumes)
        return cls(stamp_ns, observation.known, tuple(
            each for each, volume in zip(resemblances, observation.volumes) if volume is not None),
            observation.base_from_camera, odometry, float(values.mean()), bests)

    def at(self, base: Pose2) -> float:
        """Return the log-likelihood at a pose of base_link; the mean outside of all volumes."""
        camera = base.compose(self.base_from_camera)
        holding = self._holding(camera)
        if holding is None:
            return self.mean
        volume = self.volumes[holding]
        index = volume.grid.index_of(*camera)
        return float(map_coordinates(volume.values, index[:, None], order=1)[0])

    def best_around(self, base: Pose2) -> float:
        """
        Return the largest log-likelihood in the volumes around a pose of base_link.

        One far away is a rival for the belief to weigh, but says nothing of this place.
        """
        around = self._around(base.compose(self.base_from_camera))
        return max((self.bests[index] for index in around), default=max(self.bests))

    def resemblance_at(self, base: Pose2) -> float:
        """Return the resemblance around a pose of base_link; NaN if that is not known."""
        holding = self._holding(base.compose(self.base_from_camera))
        return math.nan if holding is None else self.resemblances[holding]

    def _holding(self, camera: Pose2) -> int | None:
        return next((index for index in self._around(camera)
                     if self.volumes[index].grid.contains(camera)), None)

    def _around(self, camera: Pose2) -> Iterator[int]:
        """Yield the indices of the volumes that are near a place."""
        for index, volume in enumerate(self.volumes):
            middle, reach_m = volume.grid.middle, AROUND * max(volume.grid.reach_m)
            if abs(camera.x - middle.x) <= reach_m and abs(camera.y - middle.y) <= reach_m:
                yield index


def log_likelihood_ratios(
        volumes: Sequence[PoseVolume | None], wide: Sequence[PoseVolume], temper: float,
        nothing_share: float) -> list[np.ndarray]:
    """
    Return the logarithms of how much likelier an image makes each pose of some volumes.

    A share of images carries no information; mixed in, it keeps any image from excluding a pose.

    :param volumes: log-likelihoods; None gives zeros.
    :param wide: log-likelihoods over all poses that were evaluated: their mean is the reference.
    :param temper: exponent of the likelihood.
    :param nothing_share: share of images without information.
    """
    highest = max(float(volume.values.max()) for volume in wide)
    total = sum(float(np.exp(temper * (volume.values - highest)).sum()) * volume.grid.cell_volume
                for volume in wide)
    space = sum(volume.values.size * volume.grid.cell_volume for volume in wide)
    usual = math.log(total / space)
    return [np.zeros((1, 1, 1)) if volume is None else np.log(
        (1 - nothing_share) * np.exp(temper * (volume.values - highest) - usual) + nothing_share)
        for volume in volumes]


class Recent(NamedTuple):
    """
    An image of the last metres.

    :param step: its base_link in the frame of base_link now.
    :param driven_m: length of the path since.
    """

    image: ImageLikelihood
    step: Pose2
    driven_m: float


def log_odds(base: Pose2, images: Sequence[Recent], calibration: Calibration) -> float:
    """
    Return the log-odds that images were taken at a pose and not at one that looks alike.

    Each image counts for the road since the one before. Its shortfall is how much less likely the
    pose is than the image's best one around. At the right pose all images fall short by little;
    elsewhere some fall short by much, few match as strongly, and much of what they show is not
    found in the imagery around. GNSS and headings are not used.

    :param images: in the order in which they were taken.
    """
    return float(calibration.odds_weights @ calibration.compared(features(base, images)))


def features(base: Pose2, images: Sequence[Recent]) -> np.ndarray:
    """
    Return the features of the log-odds, see `fg2_ros.tracker.settings.Calibration`.

    :return: (5,) 1; number of independent images; weighted sum of their squared shortfalls; how
        strongly they match; and their resemblance, NaN if that is not known.
    """
    if not images:
        return np.array([1.0, 0.0, 0.0, 0.0, math.nan])
    poses = [base.compose(step) for _, step, _ in images]
    here, best, alike = np.transpose([
        (image.at(pose) - image.mean, image.best_around(pose) - image.mean,
         image.resemblance_at(pose))
        for (image, _, _), pose in zip(images, poses)])
    weight = _weights(images)
    shortfall = np.clip(1 - here / np.maximum(best, 1e-6), 0.0, MAX_SHORTFALL)
    known = weight * np.isfinite(alike)
    return np.array([
        1.0, weight.sum(), weight @ shortfall ** 2, weight @ here / weight.sum(),
        known @ np.nan_to_num(alike) / known.sum() if known.any() else math.nan])


def strength(base: Pose2, images: Sequence[Recent]) -> float:
    """Return the mean log-likelihood ratio of a pose to an average one; 0 without images."""
    if not images:
        return 0.0
    return float(np.mean([
        image.at(base.compose(step)) - image.mean for image, step, _ in images]))


def _weights(images: Sequence[Recent]) -> np.ndarray:
    """Return the share of an independent image that each is worth; old ones fade."""
    driven_m = np.array([image.driven_m for image in images])
    road_m = np.append(FIRST_M, -np.diff(driven_m))
    return -np.expm1(-road_m / CORRELATION_M) * np.exp(-driven_m / FADING_M)
