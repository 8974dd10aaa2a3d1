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

"""The page of a data set of recorded drives: map, images, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import math
from pathlib import Path
from typing import Any

import cv2
from fg2_ros.datasets.drives import Keyframe, open_drives, RecordedDrive, SPLITS
from fg2_ros.datasets.frames import UnreadableFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import AerialPatch, ImageryError, partial_patch, PatchView
from fg2_ros.report.html_page import jpeg_uri, write_page
from fg2_ros.report.map import Map, MAP_ASPECT, MAP_MARGIN_M
from markupsafe import Markup
import numpy as np

MAP_PX = 2048
PATCH_M, PATCH_PX = 40.0, 400
SAMPLES = 6  # of each drive
MARK, OUTLINE, LENGTH_PX = (255, 90, 40), (255, 255, 255), 60
NONE = 'none'  # what people read for the images of no split


def write_drives_page(data_set: Path, path: Path | None = None) -> Path:
    """
    Write the page of a data set, and return where it is.

    :param path: index.html in the data set's folder if it is not given.
    :raises ValueError: if there is no drive.
    """
    path = path or Path(data_set) / 'index.html'
    drives = open_drives(data_set)
    write_page(
        path, 'recorded_drives.html', title=f'Recorded drives: {Path(data_set).resolve().name}',
        subtitle=' · '.join(dict.fromkeys(filter(None, (
            drive.facts.ground.attribution or drive.facts.ground.source for drive in drives)))),
        splits=split_counts(drives), rows=[_row(drive) for drive in drives],
        drives=[{'name': drive.name, 'map': _map(drive), 'samples': _samples(drive),
                 'left_out': drive.facts.left_out, 'facts': _facts(drive),
                 'remarks': drive.facts.truth.get('remarks', ())} for drive in drives])
    return path


def split_counts(drives: Sequence[RecordedDrive]) -> dict[str, int]:
    """Return how many images each split has; those of no split are the last."""
    found = Counter(each.split for drive in drives for each in drive.keyframes)
    return {name or NONE: found[name] for name in (*SPLITS, '')}


def _row(drive: RecordedDrive) -> dict[str, Any]:
    kept = len(drive.keyframes)
    places = np.array([each.base[:2] for each in drive.keyframes]).reshape(-1, 2)
    steps_m = np.hypot(*np.diff(places, axis=0).T) if kept > 1 else np.zeros(0)
    return {'drive': drive.name, 'images': kept, 'left out': sum(drive.facts.left_out.values()),
            'km': f'{steps_m.sum() / 1000:.2f}'} | split_counts([drive])


def _map(drive: RecordedDrive) -> Markup:
    """Return the drive's images over the ground, coloured by their split."""
    places = np.array([drive.camera_of(each)[:2] for each in drive.keyframes])
    ground = _ground_of(drive, places)
    picture = Map(ground.image, ground.resolution_m, ground.centre_m, places)
    radius_m = max(0.8, float(np.ptp(places, axis=0).max()) / 250)
    for split in (*SPLITS, ''):
        these = [(place, each) for place, each in zip(places, drive.keyframes)
                 if each.split == split]
        if these:
            name = split or NONE
            picture.add_dots(name, f'{name}: {len(these)}', np.array([each for each, _ in these]),
                             [f'{each.image}, sigma {each.sigma_m:.2f} m, '
                              f'{math.degrees(each.sigma_rad):.1f} deg' for _, each in these],
                             radius_m)
    return picture.html()


def _ground_of(drive: RecordedDrive, places_m: np.ndarray) -> AerialPatch:
    """Return a picture of the ground around all places, grey where there is none."""
    low, high = places_m.min(axis=0), places_m.max(axis=0)
    wide_m, high_m = high - low + 2 * MAP_MARGIN_M
    size_m = max(wide_m, MAP_ASPECT * high_m, drive.facts.ground.resolution_m * 64)
    east_m, north_m = ((low + high) / 2).tolist()
    view = PatchView(drive.map_frame, (east_m, north_m), float(size_m), MAP_PX)
    try:
        patch = partial_patch(drive.imagery, view)
    except ImageryError:
        return AerialPatch(np.full((MAP_PX, MAP_PX, 3), 128, np.uint8), view, None, NONE)
    if patch.valid is not None:
        patch.image[~patch.valid] = 128
    return patch


def _samples(drive: RecordedDrive) -> list[tuple[str, str]]:
    """Return images beside their patches, spread over the drive, and what stands below them."""
    indices = np.linspace(0, len(drive.keyframes) - 1, min(SAMPLES, len(drive.keyframes)))
    samples = []
    for index in dict.fromkeys(np.round(indices).astype(int).tolist()):
        keyframe = drive.keyframes[index]
        try:
            picture = sample_picture(drive, keyframe)
        except (UnreadableFrame, ImageryError) as error:
            samples.append(('', f'{keyframe.image}: {error}'))
            continue
        samples.append((jpeg_uri(picture), f'{keyframe.image}, {keyframe.split or "no split"}'))
    return samples


def sample_picture(drive: RecordedDrive, keyframe: Keyframe) -> np.ndarray:
    """
    Return (h, w, 3) uint8 RGB: a panorama, and the ground around its camera.

    An arrow on the ground looks where the panorama's centre column does, which is marked, too.
    """
    camera = drive.camera_of(keyframe)
    patch = drive.imagery.patch(PatchView(
        drive.map_frame, (camera.x, camera.y), PATCH_M, PATCH_PX))
    panorama = drive.panorama(keyframe)
    width = round(PATCH_PX * panorama.shape[1] / panorama.shape[0])
    panorama = cv2.resize(panorama, (width, PATCH_PX), interpolation=cv2.INTER_AREA)
    for colour, thickness in ((OUTLINE, 5), (MARK, 2)):
        cv2.line(panorama, (width // 2, 0), (width // 2, LENGTH_PX // 2), colour, thickness,
                 cv2.LINE_AA)
    return np.concatenate([panorama, _with_arrow(patch.image, camera)], axis=1)


def _with_arrow(image: np.ndarray, camera: Pose2) -> np.ndarray:
    """Return the square around a camera with an arrow where it stands and looks."""
    image = np.ascontiguousarray(image)
    middle = PATCH_PX // 2
    tip = (middle + round(LENGTH_PX * math.cos(camera.yaw)),
           middle - round(LENGTH_PX * math.sin(camera.yaw)))
    for colour, thickness in ((OUTLINE, 6), (MARK, 3)):
        cv2.arrowedLine(image, (middle, middle), tip, colour, thickness, cv2.LINE_AA,
                        tipLength=0.3)
        cv2.circle(image, (middle, middle), thickness + 3, colour, cv2.FILLED, cv2.LINE_AA)
    return image


def _facts(drive: RecordedDrive) -> dict[str, str]:
    """Return what the drive was made of, in words."""
    truth, ground, origin = drive.facts.truth, drive.facts.ground, drive.facts.origin
    clock = truth.get('clock') or {}
    facts = {'made of': origin.get('bag') or origin.get('table'),
             'origin of its map': ', '.join(f'{each:.5f}' for each in drive.facts.datum_deg),
             'truth': truth.get('topic') or truth.get('told_by'),
             'true heading': truth.get('heading')}
    if 'words' in clock:
        facts['clock of the truth'] = clock['words']
    for by in ('images', 'odometry'):
        if clock.get(f'by_{by}'):
            facts[f'its clock by {by}'] = _offset(clock[f'by_{by}'])
    if truth.get('heading_from_course_deg') is not None:
        facts['true heading from course'] = f'{truth["heading_from_course_deg"]:+.2f} degrees'
    facts |= {'imagery': ground.source, 'taken': ground.vintage,
              'attribution': ground.attribution, 'terms': '; '.join(dict.fromkeys(
                  each.get('terms', '') for each in origin.get('imagery', ()))),
              'resolution': f'{ground.resolution_m:g} m per pixel'}
    if 'cells' in origin:
        facts['cells of ground'] = (
            f'{origin["cells"]}, and {origin.get("cells_lacking", 0)} that could not be had')
    return {name: str(value) for name, value in facts.items() if value}


def _offset(told: dict[str, Any]) -> str:
    """Return a clock offset in words."""
    words = f'{told["offset_s"] * 1e3:+.0f} ms ahead, sigma {told["sigma_s"] * 1e3:.0f} ms'
    return words if told['is_known'] else f'{words}: too vague to count'
