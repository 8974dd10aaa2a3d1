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

"""The result of a drive, image by image, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from fg2_ros.evaluation.drives.stream import Sigma
from fg2_ros.evaluation.metrics import FrameResult, pose_error
from fg2_ros.geometry.se2 import Pose2
import numpy as np


@dataclass(frozen=True)
class Claim:
    """
    A pose of base_link with the covariance that is claimed for it.

    :param covariance: (3, 3) of (east m, north m, yaw rad).
    """

    pose: Pose2
    covariance: np.ndarray

    def against(self, truth: Pose2, sigma: Sigma = Sigma()) -> FrameResult:
        """
        Return its error.

        :param sigma: how well the truth is known.
        """
        return FrameResult(pose_error(self.pose, truth), self.covariance,
                           truth_covariance=sigma.covariance)


@dataclass(frozen=True)
class ImageResult:
    """
    The result of one image.

    :param time_s: since the first image of the drive.
    :param truth: of base_link; ``sigma`` says how well it is known.
    :param track: what the belief published; None if nothing.
    :param measurement: what went out for a filter, as ~/pose.
    :param single: what this image alone would have published.
    :param agreement: of the last images with the belief; NaN if there is none.
    :param rejection: kind of the reason why nothing was published; '' if something was.
    :param sentences: the reason, and the tracker's remarks.
    """

    time_s: float
    truth: Pose2
    track: Claim | None = None
    measurement: Claim | None = None
    single: Claim | None = None
    mass: float = float('nan')
    agreement: float = float('nan')
    rejection: str = ''
    sentences: tuple[str, ...] = ()
    sigma: Sigma = Sigma()

    def errors_of(self, claim: Claim) -> FrameResult:
        """Return the error of a claim."""
        return claim.against(self.truth, self.sigma)


@dataclass(frozen=True)
class FilterResult:
    """
    How two filters fared over the same images: fed with ~/pose, and with GNSS and IMU.

    Both have the odometry. Errors are None where a filter never started.
    """

    rmse_m: float | None
    gnss_rmse_m: float | None
    anees: float | None


@dataclass(frozen=True)
class DriveResult:
    """
    The result of one drive.

    :param name: the seed of a simulated drive, the name of a recorded one.
    :param fault_s: when something happened that was to be got over, since the first image.
    """

    name: int | str
    images: tuple[ImageResult, ...]
    fault_s: float | None = None
    ekf: FilterResult = field(default_factory=lambda: FilterResult(None, None, None))

    @property
    def length_m(self) -> float:
        """Return how far it goes."""
        places_m = np.array([image.truth[:2] for image in self.images])
        return float(np.hypot(*np.diff(places_m, axis=0).T).sum())

    def as_json(self) -> dict:
        """Return the same in numbers, texts, lists and dicts."""
        return {
            'index': self.name, 'fault_s': self.fault_s, 'ekf': asdict(self.ekf),
            'images': [_image_as_json(image) for image in self.images]}

    @classmethod
    def from_json(cls, values: dict) -> DriveResult:
        """Return what `as_json` was made of."""
        return cls(
            values['index'], tuple(_image_from_json(image) for image in values['images']),
            values['fault_s'], FilterResult(**values['ekf']))


def _image_as_json(image: ImageResult) -> dict:
    return {
        'time_s': image.time_s, 'truth': list(image.truth), 'sigma': list(image.sigma),
        'mass': _number(image.mass), 'agreement': _number(image.agreement),
        'silence': image.rejection, 'sentences': list(image.sentences), **{
            name: None if claim is None else [*claim.pose, *claim.covariance.ravel().tolist()]
            for name, claim in _claims(image).items()}}


def _image_from_json(values: dict) -> ImageResult:
    claims = {
        name: None if values[name] is None else Claim(
            Pose2(*values[name][:3]), np.reshape(values[name][3:], (3, 3)))
        for name in ('track', 'measurement', 'single')}
    return ImageResult(
        values['time_s'], Pose2(*values['truth']), mass=_float(values['mass']),
        agreement=_float(values['agreement']), rejection=values['silence'],
        sentences=tuple(values['sentences']), sigma=Sigma(*values['sigma']), **claims)


def _claims(image: ImageResult) -> dict[str, Claim | None]:
    return {'track': image.track, 'measurement': image.measurement, 'single': image.single}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None  # JSON knows no NaN


def _float(value: float | None) -> float:
    return float('nan') if value is None else value
