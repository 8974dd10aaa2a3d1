"""Pictures of an estimate: panorama and aerial patch side by side, with what was matched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import AerialPatch
import numpy as np

if TYPE_CHECKING:  # drawing needs no torch
    from fg2_ros.localizer import Estimate, Matches

HEIGHT_PX = 512
MAX_LINES = 60
CHI2_95_2D = 5.991  # quantile of the chi-squared distribution with two degrees of freedom
_INLIER_RGB, _OUTLIER_RGB = (60, 220, 90), (230, 70, 60)
_POSE_RGB, _PRIOR_RGB = (255, 220, 0), (80, 170, 255)
_SUBPIXEL_BITS = 4


def match_overlay(panorama: np.ndarray, estimate: Estimate,
                  prior: Pose2 | None = None) -> np.ndarray:
    """
    Draw an estimate.

    :param panorama: (H, W, 3) uint8 RGB as it came in.
    :param estimate: with its matches and aerial patch.
    :param prior: of the camera in the map frame, drawn beside the estimate.
    :return: (512, 2 * 512 + 512, 3) uint8 RGB for a 2:1 panorama.
    """
    left, left_scale = _at_height(panorama)
    right, right_scale = _at_height(estimate.patch.image)
    canvas = np.ascontiguousarray(np.concatenate([left, right], axis=1))
    place = _Place(estimate.patch, right_scale, left.shape[1])
    _draw_matches(canvas, estimate.matches, left_scale, place)
    if prior is not None:
        _draw_pose(canvas, place, prior, _PRIOR_RGB)
    pose = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
    _draw_ellipse(canvas, place, pose, estimate.covariance[:2, :2])
    _draw_pose(canvas, place, pose, _POSE_RGB)
    _write(canvas, _caption(estimate))
    return canvas


def ellipse_axes(covariance: np.ndarray) -> tuple[float, float, float]:
    """Return the 95 % half axes (major, minor) and the major axis' angle of a (2, 2) matrix."""
    values, vectors = np.linalg.eigh(covariance)
    minor, major = np.sqrt(CHI2_95_2D * np.maximum(values, 0.0))
    return float(major), float(minor), float(np.arctan2(vectors[1, 1], vectors[0, 1]))


class _Place:
    """Where map metres are on the canvas."""

    def __init__(self, patch: AerialPatch, scale: float, left_px: int):
        self._patch, self._scale, self._left_px = patch, scale, left_px
        self.px_per_m = scale / patch.resolution_m

    def __call__(self, east_m: float, north_m: float) -> tuple[float, float]:
        column, row = self._patch.pixel_from_map(east_m, north_m)
        return float(column * self._scale + self._left_px), float(row * self._scale)


def _at_height(image: np.ndarray) -> tuple[np.ndarray, float]:
    scale = HEIGHT_PX / image.shape[0]
    size = round(image.shape[1] * scale), HEIGHT_PX
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA), scale


def _draw_matches(canvas, matches: Matches, panorama_scale: float, place: _Place) -> None:
    strongest = np.argsort(matches.weight)[::-1][:MAX_LINES]
    top = max(float(np.max(matches.weight, initial=0.0)), 1e-12)
    for index in strongest[::-1]:  # the strongest on top
        colour = np.array(_INLIER_RGB if matches.inlier[index] else _OUTLIER_RGB)
        shade = 0.4 + 0.6 * float(matches.weight[index]) / top
        _line(canvas, matches.panorama_px[index] * panorama_scale,
              place(*matches.aerial_map_m[index]), tuple(map(float, shade * colour)))


def _draw_pose(canvas, place: _Place, pose: Pose2, rgb) -> None:
    start = place(pose.x, pose.y)
    length_m = 24 / place.px_per_m
    tip = place(pose.x + length_m * np.cos(pose.yaw), pose.y + length_m * np.sin(pose.yaw))
    cv2.arrowedLine(canvas, _fixed(start), _fixed(tip), rgb, 2, cv2.LINE_AA, _SUBPIXEL_BITS, 0.35)
    cv2.circle(canvas, _fixed(start), 4 << _SUBPIXEL_BITS, rgb, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_ellipse(canvas, place: _Place, pose: Pose2, covariance: np.ndarray) -> None:
    major, minor, angle = ellipse_axes(covariance)
    around = np.linspace(0, 2 * np.pi, 49)
    x, y = major * np.cos(around), minor * np.sin(around)
    points = [_fixed(place(pose.x + np.cos(angle) * a - np.sin(angle) * b,
                           pose.y + np.sin(angle) * a + np.cos(angle) * b))
              for a, b in zip(x, y)]
    cv2.polylines(canvas, [np.array(points, np.int32)], True, _POSE_RGB, 2, cv2.LINE_AA,
                  _SUBPIXEL_BITS)


def _caption(estimate: Estimate) -> str:
    verdict = 'accepted' if estimate.accepted else f'rejected: {estimate.rejection}'
    return (f'{verdict}   {estimate.match_count} matches, '
            f'{100 * estimate.inlier_ratio:.0f} % inliers')


def _write(canvas, text: str) -> None:
    for rgb, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(canvas, text, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, rgb, thickness,
                    cv2.LINE_AA)


def _line(canvas, start, end, rgb) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), rgb, 1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed(point) -> tuple[int, int]:
    """Return a pixel with OpenCV's fixed-point fraction, its integers at pixel centres."""
    x, y = np.clip(np.nan_to_num(np.asarray(point) - 0.5), -4000, 8000) * (1 << _SUBPIXEL_BITS)
    return int(round(x)), int(round(y))
