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
The classical baseline: bird's-eye warp of the panorama, high-pass, normalised cross-correlation.

It is given the true height of the camera and assumes a planar world. Whatever it solves
needs no learning, so its error is reported beside the network's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
from fg2_ros.geometry.panorama import pixel_from_direction
from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np
from scipy import fft


@dataclass(frozen=True)
class BaselineSettings:
    """Metric sizes of the bird's-eye view and of the search around the prior."""

    resolution_m: float = 0.25  # of the bird's-eye view, hence the step of the search
    radius_m: float = 22.0  # seen ground; farther away a pixel spans metres of it
    blind_radius_m: float = 2.0  # the vehicle and the stretched pixels around the nadir
    shift_m: float = 13.0  # searched east-west and north-south
    rotation_deg: float = 11.0
    rotation_step_deg: float = 1.0
    highpass_m: float = 3.0  # Gaussian sigma: shading and lighting coarser than this is removed

    @property
    def aerial_size_m(self) -> float:
        """Side of the smallest aerial image that holds every searched view."""
        return 2 * (self.radius_m + self.shift_m + self.resolution_m)


def estimate(
        panorama: np.ndarray, prior_yaw_rad: float, camera_height_m: float, aerial: np.ndarray,
        aerial_resolution_m: float, settings: BaselineSettings = BaselineSettings()) -> Pose2:
    """
    Return where the camera stands and looks, relative to the centre of the aerial image.

    :param panorama: (H, W, 3) uint8 RGB, level.
    :param prior_yaw_rad: map yaw (0 east, counter-clockwise) that the panorama's centre column
        is thought to have; the search goes around it.
    :param camera_height_m: above the ground.
    :param aerial: (h, w, 3) uint8 RGB, north-up, centred on the prior position.
    :param aerial_resolution_m: metres per aerial pixel.
    :return: east and north in metres from the aerial image's centre, and the map yaw.
    :raises ValueError: if the aerial image does not hold every searched view.
    """
    size_m = min(aerial.shape[:2]) * aerial_resolution_m
    if size_m < settings.aerial_size_m:
        raise ValueError(
            f'the aerial image is {size_m:.1f} m wide, but the baseline needs '
            f'{settings.aerial_size_m:.1f} m')
    ground, ring = birds_eye_view(panorama, prior_yaw_rad, camera_height_m, settings)
    ground = _highpass(ground, settings, (ring > 0).astype(np.float32))
    search = _Correlation(_resampled_grey(aerial, aerial_resolution_m, settings), ring, settings)
    angles_deg = np.arange(
        -settings.rotation_deg, settings.rotation_deg + 1e-9, settings.rotation_step_deg)
    scores = np.stack([search.scores(_rotated(ground, angle)) for angle in angles_deg])
    peak = np.unravel_index(np.argmax(scores), scores.shape)
    angle, row, column = _refined_peak(scores, [int(index) for index in peak])
    middle = scores.shape[1] // 2
    yaw_error_deg = angles_deg[0] + angle * settings.rotation_step_deg
    return Pose2(
        float((column - middle) * settings.resolution_m),
        float((middle - row) * settings.resolution_m),
        wrap_angle(prior_yaw_rad + np.radians(yaw_error_deg)))


def birds_eye_view(
        panorama: np.ndarray, yaw_rad: float, camera_height_m: float,
        settings: BaselineSettings = BaselineSettings()) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the flat ground around the camera, north-up, and the ring of it to be trusted.

    :return: (n, n) float32 grey in [0, 1], n odd, the camera below the middle pixel's centre;
        (n, n) float32 mask of zeros and ones.
    """
    oversampling = 3  # close to the camera a panorama is several times finer than the view
    half = int(np.ceil(settings.radius_m / settings.resolution_m))
    offsets_m = (np.arange((2 * half + 1) * oversampling) - (
        (2 * half + 1) * oversampling - 1) / 2) * settings.resolution_m / oversampling
    east, north = np.meshgrid(offsets_m, -offsets_m)
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    direction = np.stack(
        [c * east + s * north, c * north - s * east, np.full_like(east, -camera_height_m)], -1)
    column, row = pixel_from_direction(direction, panorama.shape[1], panorama.shape[0])
    fine = cv2.remap(
        _grey(panorama), (column - 0.5).astype(np.float32), (row - 0.5).astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    view = cv2.resize(fine, (2 * half + 1, 2 * half + 1), interpolation=cv2.INTER_AREA)
    axis_m = np.arange(-half, half + 1) * settings.resolution_m
    distance_m = np.hypot(axis_m[:, None], axis_m[None, :])
    ring = (distance_m >= settings.blind_radius_m) & (distance_m <= settings.radius_m)
    return view, ring.astype(np.float32)


class _Correlation:
    """Masked normalised cross-correlation with one aerial image (Padfield, CVPR 2010)."""

    def __init__(self, aerial: np.ndarray, ring: np.ndarray, settings: BaselineSettings):
        self.ring = ring
        self.steps = int(settings.shift_m / settings.resolution_m)
        self.first = aerial.shape[0] // 2 - ring.shape[0] // 2 - self.steps
        self.shape = [fft.next_fast_len(side, real=True) for side in aerial.shape]
        aerial = _highpass(aerial, settings, np.ones_like(aerial))
        self.aerial_f = fft.rfft2(aerial, self.shape)
        ring_f = fft.rfft2(ring, self.shape)
        self.mean = self._valid(self.aerial_f * ring_f.conj()) / ring.sum()
        square_f = fft.rfft2(aerial ** 2, self.shape)
        energy = self._valid(square_f * ring_f.conj()) - ring.sum() * self.mean ** 2
        self.aerial_norm = np.sqrt(np.maximum(energy, 1e-12))

    def scores(self, view: np.ndarray) -> np.ndarray:
        """Return the correlation coefficients over (south, east) shifts of the camera."""
        centred = (view - (view * self.ring).sum() / self.ring.sum()) * self.ring
        product = self._valid(self.aerial_f * fft.rfft2(centred, self.shape).conj())
        norm = np.sqrt((centred ** 2).sum()) + 1e-12
        return product / (self.aerial_norm * norm)

    def _valid(self, spectrum: np.ndarray) -> np.ndarray:
        searched = slice(self.first, self.first + 2 * self.steps + 1)
        return fft.irfft2(spectrum, self.shape)[searched, searched]


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _resampled_grey(
        aerial: np.ndarray, resolution_m: float, settings: BaselineSettings) -> np.ndarray:
    """Return an odd square at the view's resolution whose middle pixel is the image's centre."""
    half = int((settings.radius_m + settings.shift_m) / settings.resolution_m) + 1
    scale = settings.resolution_m / resolution_m
    centre = (np.array(aerial.shape[1::-1]) - 1) / 2
    affine = np.array([
        [scale, 0, centre[0] - scale * half], [0, scale, centre[1] - scale * half]])
    grey = _grey(aerial)
    if scale > 1:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.5 * np.sqrt(scale ** 2 - 1) + 1e-3)
    return cv2.warpAffine(
        grey, affine, (2 * half + 1, 2 * half + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


def _highpass(grey: np.ndarray, settings: BaselineSettings, mask: np.ndarray) -> np.ndarray:
    """Subtract the local mean of the masked pixels and divide by their local contrast."""
    sigma = settings.highpass_m / settings.resolution_m
    weight = cv2.GaussianBlur(mask, (0, 0), sigma) + 1e-6
    detail = (grey - cv2.GaussianBlur(grey * mask, (0, 0), sigma) / weight) * mask
    contrast = np.sqrt(cv2.GaussianBlur(detail ** 2, (0, 0), sigma) / weight)
    return detail / (contrast + 0.02)


def _rotated(view: np.ndarray, angle_deg: float) -> np.ndarray:
    """Return a north-up view turned counter-clockwise about its middle pixel."""
    middle = (view.shape[0] - 1) / 2
    affine = cv2.getRotationMatrix2D((middle, middle), angle_deg, 1.0)
    return cv2.warpAffine(view, affine, view.shape[::-1], flags=cv2.INTER_CUBIC)


def _refined_peak(scores: np.ndarray, peak: list[int]) -> list[float]:
    """Return the peak's index with a parabola's vertex added along each axis."""
    refined: list[float] = []
    for axis, index in enumerate(peak):
        line = scores[tuple(
            slice(None) if other == axis else at for other, at in enumerate(peak))]
        refined.append(float(index))
        if 0 < index < len(line) - 1:
            before, here, after = line[index - 1:index + 2]
            refined[-1] += 0.5 * (before - after) / (before - 2 * here + after - 1e-12)
    return refined
