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

"""The turn of the vehicle between two panoramas, from their pixels."""

from __future__ import annotations

from collections.abc import Iterable
import math

import cv2
from fg2_ros.ros.camera_images import CameraImage
import numpy as np

COLUMNS, ROWS = 1024, 32  # of the strip that is compared
ELEVATION_RAD = math.radians(15.0)  # to either side of the horizon
LONGEST_NS = 1_000_000_000  # between two images that are compared
LEAST_PEAK = 4.0  # times the root mean square of the correlation


def strip_of(panorama: np.ndarray) -> np.ndarray:
    """Return (ROWS, COLUMNS) float32: what is around the horizon of a level (H, W, 3) image."""
    height = len(panorama)
    reach = max(1, round(height * ELEVATION_RAD / math.pi))
    middle = height // 2
    grey = cv2.cvtColor(panorama[middle - reach:middle + reach], cv2.COLOR_RGB2GRAY)
    strip = cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32)
    return strip - cv2.blur(strip, (65, 1), borderType=cv2.BORDER_REFLECT)


def turn_between(before: np.ndarray, after: np.ndarray) -> float:
    """
    Return by how much the camera turned, counter-clockwise, in rad; NaN if it is not known.

    Rows are correlated by phase: what is near moves apart ahead and together behind, and spreads
    thinly, while what is far shifts as a whole.
    """
    spectra = [np.fft.rfft(strip, axis=1) for strip in (before, after)]
    cross = np.conj(spectra[0]) * spectra[1]
    cross /= np.maximum(np.abs(cross), 1e-6)
    cross[:, COLUMNS // 8:] = 0  # finer than this is noise
    correlation = np.fft.irfft(cross.sum(axis=0), n=COLUMNS)
    peak = int(np.argmax(correlation))
    if not correlation[peak] > LEAST_PEAK * np.sqrt(np.mean(correlation ** 2)):
        return math.nan
    left, top, right = correlation[[peak - 1, peak, (peak + 1) % COLUMNS]]
    shift = peak + (left - right) / (2 * (left - 2 * top + right))
    return math.remainder(shift * 2 * math.pi / COLUMNS, 2 * math.pi)


def turns(images: Iterable[CameraImage]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (N,) int64 stamps, (N,) later stamps, and (N,) turns between them in rad."""
    found = []
    before: tuple[int, float, np.ndarray] | None = None
    for image in images:
        here = image.stamp_ns, image.base_from_camera.yaw, strip_of(image.image)
        if before is not None and 0 < here[0] - before[0] <= LONGEST_NS:
            turn = turn_between(before[2], here[2]) - (here[1] - before[1])
            if math.isfinite(turn):
                found.append((before[0], here[0], turn))
        before = here
    stamps = np.array([each[:2] for each in found], np.int64).reshape(-1, 2)
    return stamps[:, 0], stamps[:, 1], np.array([each[2] for each in found])
