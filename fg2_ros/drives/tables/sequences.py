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

"""Sequences: images with poses are cut into drives, and headings compared with the course."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
import math
import re

from fg2_ros.drives.tables.photos import PosedPhoto
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2, wrap_angle
import numpy as np

JUMP_M = 1000.0  # images further apart are not of one drive
STEP_M = 1.0, 30.0  # between images whose course is compared with their headings
FEWEST_STEPS = 5
LASTING_DEG, STEADY = 5.0, 0.8  # the least offset that is told, and length of the mean direction
SECOND_NS = 10 ** 9
_PROBE_DEG = 1e-4


@dataclass(frozen=True)
class PhotoDrive:
    """
    Images that were taken on one way, in their order.

    :param name: of its folder.
    :param frame: a map around its first image.
    :param cameras: pose of each image's camera in the map; yaw of the centre column.
    :param stamp_ns: of each; without times, a second apart.
    :param has_times: whether they are known.
    """

    name: str
    photos: tuple[PosedPhoto, ...]
    frame: MapFrame
    cameras: tuple[Pose2, ...]
    stamp_ns: tuple[int, ...]
    has_times: bool


def drives_of(photos: Iterable[PosedPhoto]) -> list[PhotoDrive]:
    """Return the drives of images: their sequences, cut where they jump."""
    sequences: dict[str, list[PosedPhoto]] = defaultdict(list)
    for photo in photos:
        sequences[photo.sequence].append(photo)
    drives: dict[str, PhotoDrive] = {}
    for name, taken in sequences.items():
        pieces = list(_pieces(_in_order(taken)))
        for number, piece in enumerate(pieces, 1):
            suffix = f'-{number}' if len(pieces) > 1 else ''
            free = _free_name(f'{_file_name(name)}{suffix}', drives)
            drives[free] = _drive(free, piece)
    return list(drives.values())


def _file_name(text: str) -> str:
    return re.sub(r'[^\w.-]+', '_', text).strip('._-') or 'drive'


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    names = [wanted, *(f'{wanted}_{number}' for number in range(2, len(list(taken)) + 2))]
    return next(name for name in names if name not in taken)


def _in_order(photos: Sequence[PosedPhoto]) -> list[PosedPhoto]:
    """Return images by time, or in the order of the table if not all have one."""
    if not _has_times(photos):
        return list(photos)
    return sorted(photos, key=lambda photo: photo.stamp_ns or 0)


def _has_times(photos: Sequence[PosedPhoto]) -> bool:
    return all(photo.stamp_ns is not None for photo in photos)


def _pieces(photos: Sequence[PosedPhoto]) -> Iterator[list[PosedPhoto]]:
    piece: list[PosedPhoto] = []
    for photo in photos:
        if piece and _apart_m(piece[-1], photo) > JUMP_M:
            yield piece
            piece = []
        piece.append(photo)
    yield piece


def _apart_m(first: PosedPhoto, second: PosedPhoto) -> float:
    frame = MapFrame(first.latitude_deg, first.longitude_deg)
    place = second.latitude_deg, second.longitude_deg
    return float(np.hypot(*frame.map_from_geodetic(*place, anywhere=True)))


def _drive(name: str, photos: Sequence[PosedPhoto]) -> PhotoDrive:
    has_times = _has_times(photos)
    frame = MapFrame(photos[0].latitude_deg, photos[0].longitude_deg)
    stamps = [photo.stamp_ns or 0 for photo in photos] if has_times else [
        index * SECOND_NS for index in range(len(photos))]
    return PhotoDrive(
        name, tuple(photos), frame, tuple(_camera_in(frame, photo) for photo in photos),
        tuple(_increasing(stamps)), has_times)


def _increasing(stamps: Sequence[int]) -> Iterator[int]:
    """Yield stamps that never fall, each later than the one before: tables have whole seconds."""
    last = -1
    for stamp_ns in stamps:
        last = max(stamp_ns, last + 1)
        yield last


def _camera_in(frame: MapFrame, photo: PosedPhoto) -> Pose2:
    """Return the pose of a camera; true north at a place is not quite the map's."""
    place = np.array(frame.map_from_geodetic(photo.latitude_deg, photo.longitude_deg))
    probe_deg = math.copysign(_PROBE_DEG, -photo.latitude_deg)  # towards the equator
    there = np.array(frame.map_from_geodetic(
        photo.latitude_deg + probe_deg, photo.longitude_deg))
    north = (there - place) * math.copysign(1, probe_deg)
    yaw_rad = math.atan2(north[1], north[0]) - math.radians(photo.heading_deg)
    return Pose2(float(place[0]), float(place[1]), float(wrap_angle(yaw_rad)))


def heading_remark(cameras: Sequence[Pose2]) -> tuple[float | None, str]:
    """
    Return by how much headings are off the course of a drive, and a sentence if that lasts.

    :param cameras: in the order of the drive.
    :return: degrees clockwise, None if the course does not tell; the sentence or ''.
    """
    poses = np.array(cameras, float).reshape(-1, 3)
    steps = np.diff(poses[:, :2], axis=0)
    length_m = np.hypot(*steps.T)
    moved = (STEP_M[0] <= length_m) & (length_m <= STEP_M[1])
    if moved.sum() < FEWEST_STEPS:
        return None, ''
    course_rad = np.arctan2(steps[moved, 1], steps[moved, 0])
    mean = np.exp(1j * (course_rad - poses[:-1][moved, 2])).mean()
    offset_deg = math.degrees(np.angle(mean))
    if abs(mean) < STEADY:
        return None, ('its headings and its course do not go together: they differ by other '
                      'angles all the time')
    if abs(offset_deg) < LASTING_DEG:
        return offset_deg, ''
    side = 'right' if offset_deg > 0 else 'left'
    return offset_deg, (
        f'its images look {abs(offset_deg):.1f} degrees to the {side} of its course all along: '
        'if the camera is not turned on the vehicle, its headings are off by that '
        f'(--heading-offset {-offset_deg:.1f})')
