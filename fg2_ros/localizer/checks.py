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

"""Checks of the localizer's arguments; each problem is a sentence."""

from __future__ import annotations

import math

from fg2_ros.localizer.estimate import MapPrior
from fg2_ros.network import FG2Config
import numpy as np

LEAST_SEEN = 0.1  # of a panorama that is masked


def require_panoramic(*configs: FG2Config) -> None:
    """Raise ValueError unless all configurations are for panoramas."""
    for config in configs:
        if config.camera != 'panorama':
            raise ValueError(
                f'the weights are for a {config.camera} camera: headings are found in panoramas '
                'only')


def require_image(image: np.ndarray, what: str) -> None:
    """
    Raise ValueError with a sentence unless an array is an image with something on it.

    :param what: its name in the sentence.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise ValueError(f'the {what} must be a uint8 array, not {kind}')
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f'the {what} must have the shape (height, width, 3), not {image.shape}')
    if not image.any():
        raise ValueError(f'the {what} is black')


def require_panorama(panorama: np.ndarray) -> None:
    """Raise ValueError with a sentence unless the image can be a panorama."""
    require_image(panorama, 'panorama')
    height, width = panorama.shape[:2]
    if abs(width - 2 * height) > 0.02 * width:
        raise ValueError(
            f'the panorama must be twice as wide as high (equirectangular), not {width}x{height}')


def require_mask(seen: np.ndarray | None) -> None:
    """Raise ValueError with a sentence unless a mask leaves enough of a panorama."""
    if seen is None:
        return
    if not isinstance(seen, np.ndarray) or seen.dtype != bool or seen.ndim != 2 or not seen.size:
        raise ValueError('what is seen of a panorama must be a (height, width) bool array')
    if seen.mean() < LEAST_SEEN:
        raise ValueError(f'only {seen.mean():.0%} of the panorama are a picture: masked are its '
                         'black bars, what camera.masks says, and where no camera looks')


def require_intrinsics(camera_k: np.ndarray | None) -> None:
    """Raise ValueError with a sentence unless the array is the matrix of a pinhole camera."""
    if camera_k is None:
        raise ValueError('the weights are for a pinhole camera: its intrinsics are needed')
    matrix = np.asarray(camera_k)
    if matrix.shape != (3, 3) or matrix.dtype.kind not in 'fiu' or not np.isfinite(matrix).all():
        raise ValueError('the intrinsics must be a (3, 3) matrix of finite numbers')
    if min(matrix[0, 0], matrix[1, 1]) <= 0 or tuple(matrix[2]) != (0, 0, 1):
        raise ValueError(
            f'the intrinsics {matrix.tolist()} are none of a pinhole camera: focal lengths must '
            'be positive, the last row (0, 0, 1)')


def require_prior(prior: MapPrior, needs_heading: bool = True) -> None:
    """Raise ValueError with a sentence unless the prior is usable."""
    if not (math.isfinite(prior.pose.x) and math.isfinite(prior.pose.y)):
        raise ValueError(f'the prior position must be finite, not {prior.pose[:2]}')
    if needs_heading and not prior.has_heading:
        raise ValueError('there is no heading: the prior yaw must be known')
    sigmas = {'position': prior.sigma_m}
    if prior.has_heading:
        sigmas['yaw'] = prior.yaw_sigma_rad
    for name, sigma in sigmas.items():
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(f"the prior {name}'s sigma must be positive, not {sigma}")
