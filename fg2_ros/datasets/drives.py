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
Recorded drives as a data set: images with poses, what sensors said, and the ground around them.

A data set is a folder of drives. Each drive is a folder of its own, complete once its
``drive.json`` is there:

* ``drive.json``: where the map is, how the camera is mounted, what the drive was made of;
* ``keyframes.csv``: the images with their poses, and which split each is of;
* ``images/``: level panoramas, JPEG; ``masks/``: which parts of them are a picture, where not all;
* ``ground/``: cells of aerial imagery (see `fg2_ros.datasets.ground_cells`);
* ``sensors.npz``: GNSS, odometry and headings along the drive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import csv
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
import json
import math
import os
from pathlib import Path
from typing import Any

from fg2_ros.datasets.frames import read_image, UnreadableFrame
from fg2_ros.datasets.ground_cells import CellLayout, GroundCells
from fg2_ros.files import replacing
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
import numpy as np

FORMAT, VERSION = 'fg2 recorded drive', 1
DRIVE_FILE, KEYFRAMES_FILE, SENSORS_FILE = 'drive.json', 'keyframes.csv', 'sensors.npz'
IMAGES, MASKS, GROUND = 'images', 'masks', 'ground'
TRAIN, VALIDATION, TEST = SPLITS = ('train', 'validation', 'test')
COLUMNS = ('image', 'stamp_ns', 'latitude_deg', 'longitude_deg', 'east_m', 'north_m', 'yaw_deg',
           'sigma_m', 'sigma_deg', 'split')


@dataclass(frozen=True)
class Keyframe:
    """
    An image with its pose.

    :param image: name of its file in ``images/``.
    :param base: of base_link in the drive's map.
    :param sigma_m: of the position on each axis, as far as it is known.
    :param sigma_rad: of the heading.
    :param split: 'train', 'validation' or 'test'; '' for none: too near to another split's ground.
    """

    image: str
    stamp_ns: int
    base: Pose2
    sigma_m: float
    sigma_rad: float
    split: str = TRAIN


@dataclass(frozen=True)
class SensorReadings:
    """
    What sensors said along a drive, in the drive's map; all stamps in nanoseconds.

    :param fix_stamp_ns: (F,) int64.
    :param fix_m: (F, 2) east, north of the antenna.
    :param fix_sigma_m: (F,) one sigma on each axis.
    :param odometry_stamp_ns: (O,) int64.
    :param odometry: (O, 6) x m, y m, yaw rad in the odometry's frame; forward and leftward m/s and
        rad/s in base_link.
    :param heading_stamp_ns: (H,) int64.
    :param heading: (H, 2) map yaw of base_link and its sigma, rad.
    """

    fix_stamp_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    fix_m: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    fix_sigma_m: np.ndarray = field(default_factory=lambda: np.zeros(0))
    odometry_stamp_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    odometry: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))
    heading_stamp_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    heading: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass(frozen=True)
class DriveFacts:
    """
    What ``drive.json`` says.

    :param datum_deg: latitude and longitude of the origin of the drive's map.
    :param base_from_camera: where the camera is on the vehicle, in the plane; yaw that of the
        images' centre column.
    :param antenna_m: of GNSS in base_link.
    :param ground: of the cells.
    :param origin: JSON-ready words on what the drive was made of: files, topics, options.
    :param truth: JSON-ready figures on the truth: clock offset, how it was checked.
    :param left_out: how many images are not among the keyframes, by reason.
    """

    datum_deg: tuple[float, float]
    base_from_camera: Pose2
    antenna_m: tuple[float, float]
    ground: CellLayout
    origin: dict[str, Any] = field(default_factory=dict)
    truth: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


class RecordedDrive:
    """
    A drive in a folder; images, sensors and ground are read when they are asked for.

    :raises ValueError: if the folder is no complete drive; the sentence names the file.
    """

    def __init__(self, folder: Path):
        """Read what the drive is and its keyframes."""
        self.folder = Path(folder)
        self.facts = _read_facts(self.folder / DRIVE_FILE)
        self.map_frame = MapFrame(*self.facts.datum_deg)
        self.keyframes = _read_keyframes(self.folder / KEYFRAMES_FILE)

    @property
    def name(self) -> str:
        """Return the name of the drive's folder."""
        return self.folder.name

    @property
    def keyframes_file(self) -> Path:
        """Return the table of the images with their poses."""
        return self.folder / KEYFRAMES_FILE

    def panorama(self, keyframe: Keyframe) -> np.ndarray:
        """
        Return an image, (h, w, 3) uint8 RGB.

        :raises UnreadableFrame: if it cannot be read.
        """
        return np.asarray(read_image(self.folder / IMAGES / keyframe.image))

    def seen(self, keyframe: Keyframe) -> np.ndarray | None:
        """
        Return which parts of an image are a picture, (h, w) bool of any size; None for all.

        :raises UnreadableFrame: if the mask cannot be read.
        """
        path = (self.folder / MASKS / keyframe.image).with_suffix('.png')
        return np.asarray(read_image(path))[..., 0] > 0 if path.exists() else None

    def camera_of(self, keyframe: Keyframe) -> Pose2:
        """Return the pose of the camera in the drive's map."""
        return keyframe.base.compose(self.facts.base_from_camera)

    @cached_property
    def sensors(self) -> SensorReadings:
        """
        Return what sensors said; nothing if it was not kept.

        :raises ValueError: if the file is damaged.
        """
        path = self.folder / SENSORS_FILE
        if not path.exists():
            return SensorReadings()
        try:
            with np.load(path) as content:
                return SensorReadings(**{each.name: content[each.name]
                                         for each in fields(SensorReadings)})
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ValueError(f'{path} cannot be read ({error}): build the drive anew') from error

    @cached_property
    def imagery(self) -> GroundCells:
        """Return the ground around the drive."""
        return GroundCells(self.folder / GROUND, self.map_frame, self.facts.ground)


def open_drives(path: Path) -> list[RecordedDrive]:
    """
    Return the complete drives of a data set, or the one whose folder is given, by name.

    :raises ValueError: if there is none.
    """
    path = Path(path)
    folders = [path] if (path / DRIVE_FILE).exists() else sorted(
        file.parent for file in path.glob(f'*/{DRIVE_FILE}'))
    if not folders:
        raise ValueError(f'there is no drive in {path}: {DRIVE_FILE} is in none of its folders; '
                         '"fg2 drives build" and "fg2 import" make them')
    return [RecordedDrive(folder) for folder in folders]


def require_images(drives: Iterable[RecordedDrive]) -> None:
    """
    Refuse drives whose images are not all there and whole, before hours are spent on them.

    :raises UnreadableFrame: naming the first such file, and what to do.
    """
    for drive in drives:
        for keyframe in drive.keyframes:
            path = drive.folder / IMAGES / keyframe.image
            if not _is_whole(path):
                raise UnreadableFrame(
                    f'{path} is missing or damaged: remove it and {drive.folder / DRIVE_FILE}, '
                    'and the command that made the drive goes on from there')


def _is_whole(path: Path) -> bool:
    """Return whether a file is there, and a JPEG begins and ends as one."""
    if path.suffix != '.jpg':
        return path.exists()
    try:
        with open(path, 'rb') as file:
            begin = file.read(2)
            file.seek(-2, os.SEEK_END)
            return (begin, file.read(2)) == (b'\xff\xd8', b'\xff\xd9')
    except OSError:
        return False


def write_drive(folder: Path, facts: DriveFacts, keyframes: Iterable[Keyframe],
                sensors: SensorReadings) -> None:
    """Write what completes a drive, whose images and ground are there; ``drive.json`` is last."""
    frame = MapFrame(*facts.datum_deg)
    with replacing(folder / KEYFRAMES_FILE) as partial, open(partial, 'w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(_row(keyframe, frame) for keyframe in keyframes)
    with replacing(folder / SENSORS_FILE) as partial, open(partial, 'wb') as file:
        np.savez_compressed(file, **{
            each.name: getattr(sensors, each.name) for each in fields(sensors)})
    with replacing(folder / DRIVE_FILE) as partial:
        partial.write_text(json.dumps(_as_json(facts), indent=2) + '\n')


def _as_json(facts: DriveFacts) -> dict[str, Any]:
    camera = facts.base_from_camera
    mount = {'x_m': camera.x, 'y_m': camera.y, 'yaw_deg': math.degrees(camera.yaw)}
    return {'format': FORMAT, 'version': VERSION} | asdict(facts) | {'base_from_camera': mount}


def _read_facts(path: Path) -> DriveFacts:
    try:
        content = json.loads(path.read_text())
        if (content.pop('format'), content.pop('version')) != (FORMAT, VERSION):
            raise ValueError(f'it is not version {VERSION} of a {FORMAT}')
        camera = content.pop('base_from_camera')
        return DriveFacts(
            tuple(content.pop('datum_deg')),
            Pose2(camera['x_m'], camera['y_m'], math.radians(camera['yaw_deg'])),
            tuple(content.pop('antenna_m')), CellLayout(**content.pop('ground')), **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} cannot be used ({error}): build the drive anew') from error


def _row(keyframe: Keyframe, frame: MapFrame) -> Sequence[Any]:
    east_m, north_m, yaw_rad = keyframe.base
    latitude_deg, longitude_deg = frame.geodetic_from_map(east_m, north_m)
    return (keyframe.image, keyframe.stamp_ns, f'{latitude_deg:.9f}', f'{longitude_deg:.9f}',
            f'{east_m:.4f}', f'{north_m:.4f}', f'{math.degrees(yaw_rad):.4f}',
            f'{keyframe.sigma_m:.4f}', f'{math.degrees(keyframe.sigma_rad):.4f}', keyframe.split)


def _read_keyframes(path: Path) -> tuple[Keyframe, ...]:
    try:
        with open(path, newline='') as file:
            return tuple(_keyframe(row) for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} cannot be used ({error}): build the drive anew') from error


def _keyframe(row: dict[str, str]) -> Keyframe:
    east_m, north_m, yaw_deg, sigma_m, sigma_deg = (float(row[name]) for name in (
        'east_m', 'north_m', 'yaw_deg', 'sigma_m', 'sigma_deg'))
    if not all(map(math.isfinite, (east_m, north_m, yaw_deg))) or row['split'] not in (
            *SPLITS, ''):
        raise ValueError(f'the row of {row["image"]} makes no sense')
    return Keyframe(row['image'], int(row['stamp_ns']), Pose2(
        east_m, north_m, math.radians(yaw_deg)), sigma_m, math.radians(sigma_deg), row['split'])
