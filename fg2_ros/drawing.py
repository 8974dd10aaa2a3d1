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

"""Pictures of matches: a ground image and an aerial one side by side, and lines across."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT_PX = 512
MAX_LINES = 60
ELLIPSE_95 = 5.991 ** 0.5  # chi-squared of two degrees of freedom
POSE_RGB, PRIOR_RGB, TRUTH_RGB = (255, 220, 0), (80, 170, 255), (255, 255, 255)
INLIER_RGB, OUTLIER_RGB = (60, 220, 90), (230, 70, 60)
_ARROW_PX = 24
_SUBPIXEL_BITS = 4


class MatchPicture:
    """
    Two images at one height, with what is drawn on them.

    Places are continuous (column, row) pixels of the given images, pixel centres at halves.

    :param ground: (H, W, 3) uint8 RGB, drawn on the left.
    :param aerial: (h, w, 3) uint8 RGB, drawn on the right.
    """

    def __init__(self, ground: np.ndarray, aerial: np.ndarray):
        left, self._ground_scale = _at_height(ground)
        right, self._aerial_scale = _at_height(aerial)
        self._left_px = left.shape[1]
        self.image = np.ascontiguousarray(np.concatenate([left, right], axis=1))

    def add_matches(self, ground_px: np.ndarray, aerial_px: np.ndarray, weight: np.ndarray,
                    inlier: np.ndarray) -> None:
        """Draw the strongest of (M, 2) pairs of places, inliers green and outliers red."""
        strongest = np.argsort(weight)[::-1][:MAX_LINES]
        top = max(float(np.max(weight, initial=0.0)), 1e-12)
        for index in strongest[::-1]:  # the strongest on top
            colour = np.array(INLIER_RGB if inlier[index] else OUTLIER_RGB)
            shade = 0.4 + 0.6 * float(weight[index]) / top
            cv2.line(
                self.image, _fixed(np.asarray(ground_px[index]) * self._ground_scale),
                _fixed(np.asarray(aerial_px[index]) * self._aerial_scale + (self._left_px, 0)),
                tuple(map(float, shade * colour)), 1, cv2.LINE_AA, _SUBPIXEL_BITS)

    def add_pose(self, aerial_px: np.ndarray, direction: np.ndarray,
                 rgb: tuple[int, int, int]) -> None:
        """Draw a camera at a place of the aerial image, looking along a (column, row)."""
        start = np.asarray(aerial_px, float) * self._aerial_scale
        tip = start + np.asarray(direction) / np.linalg.norm(direction) * _ARROW_PX
        cv2.arrowedLine(self._aerial_half, _fixed(start), _fixed(tip), rgb, 2, cv2.LINE_AA,
                        _SUBPIXEL_BITS, 0.35)
        cv2.circle(self._aerial_half, _fixed(start), 4 << _SUBPIXEL_BITS, rgb, -1, cv2.LINE_AA,
                   _SUBPIXEL_BITS)

    def add_outline(self, aerial_px: np.ndarray, rgb: tuple[int, int, int]) -> None:
        """Draw a closed line through (N, 2) places of the aerial image, which clips it."""
        points = np.array(
            [_fixed(place) for place in np.asarray(aerial_px) * self._aerial_scale], np.int32)
        cv2.polylines(
            self._aerial_half, [points], True, rgb, 2, cv2.LINE_AA, _SUBPIXEL_BITS)

    def add_caption(self, text: str) -> None:
        """Write a line at the top, on a darker ground."""
        font = cv2.FONT_HERSHEY_SIMPLEX, 0.6
        (width, height), below = cv2.getTextSize(text, *font, 1)
        self.image[:height + below + 16, :width + 20] //= 3
        cv2.putText(self.image, text, (10, height + 8), *font, (255, 255, 255), 1, cv2.LINE_AA)

    @property
    def _aerial_half(self) -> np.ndarray:
        return self.image[:, self._left_px:]


def ellipse_axes(covariance: np.ndarray) -> tuple[float, float, float]:
    """Return the 95 % half axes (major, minor) and the major axis' angle of a (2, 2) matrix."""
    values, vectors = np.linalg.eigh(covariance)
    minor, major = ELLIPSE_95 * np.sqrt(np.maximum(values, 0.0))
    return float(major), float(minor), float(np.arctan2(vectors[1, 1], vectors[0, 1]))


def ellipse_points(covariance: np.ndarray, count: int = 48) -> np.ndarray:
    """Return (count, 2) points of the 95 % ellipse of a (2, 2) covariance around the origin."""
    major, minor, angle = ellipse_axes(covariance)
    around = np.linspace(0, 2 * np.pi, count, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    on_axes = np.stack([major * np.cos(around), minor * np.sin(around)], axis=-1)
    return on_axes @ np.array([[c, s], [-s, c]])


def _at_height(image: np.ndarray) -> tuple[np.ndarray, float]:
    scale = HEIGHT_PX / image.shape[0]
    size = round(image.shape[1] * scale), HEIGHT_PX
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA), scale


def _fixed(point) -> tuple[int, int]:
    """Return a pixel with OpenCV's fixed-point fraction, its integers at pixel centres."""
    x, y = np.clip(np.nan_to_num(np.asarray(point) - 0.5), -4000, 8000) * (1 << _SUBPIXEL_BITS)
    return int(round(x)), int(round(y))
