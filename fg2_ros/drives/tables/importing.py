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

"""Images with a table of their poses, or with poses in themselves, become drives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
import csv
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
import shutil
from typing import Any

from fg2_ros.cameras.settings import camera_settings
from fg2_ros.datasets.drives import (
    DRIVE_FILE, DriveFacts, GROUND, IMAGES, Keyframe, RecordedDrive, SensorReadings, write_drive)
from fg2_ros.drives.ground import build_ground, Ground, permitted_sources
from fg2_ros.drives.keyframes import thinned
from fg2_ros.drives.panorama_files import write_panorama
from fg2_ros.drives.places import splits_of_places
from fg2_ros.drives.recipe import plain_settings, require_same, write_recipe
from fg2_ros.drives.tables.columns import BadRow
from fg2_ros.drives.tables.panoramas import level_panorama
from fg2_ros.drives.tables.photos import LeftOut, PosedPhoto, read_photos
from fg2_ros.drives.tables.sequences import drives_of, heading_remark, PhotoDrive
from fg2_ros.drives.tables.settings import ImportSettings
from fg2_ros.files import replacing
from fg2_ros.geometry.se2 import Pose2
import numpy as np

NO_GROUND, LEFT_OUT_FILE = 'no imagery around it', 'left_out.csv'

Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class ImportResult:
    """
    What came of an import.

    :param drives: those that are complete.
    :param left_out: the images that cannot be used.
    :param without_ground: names of the drives of which no image has imagery around it.
    """

    drives: list[RecordedDrive]
    left_out: list[LeftOut]
    without_ground: list[str]

    def reasons(self) -> dict[str, int]:
        """Return how many images cannot be used, by reason."""
        return dict(Counter(each.reason for each in self.left_out).most_common())


def import_drives(path: Path, out: Path, settings: ImportSettings,
                  progress: Progress = lambda drive, stage, total, done: None) -> ImportResult:
    """
    Make a drive of each sequence of images; what is there already is kept.

    :param path: a table, or a folder of images, with or without one table in it.
    :param out: of the data set; it gets ``left_out.csv`` beside the drives.
    :param progress: called with the drive, what is being done, how much of it there is and how
        much is done.
    :raises ValueError: with a sentence, if nothing can be used, there is no aerial imagery of the
        same places, or other settings made what is there.
    """
    permitted_sources(settings)
    photos, left_out = read_photos(Path(path), settings)
    if not photos:
        raise ValueError(f'no image of {path} can be used; {_told(left_out)}')
    drives, without_ground = [], []
    for taken in drives_of(photos):
        made = _Job(taken, out / taken.name, path, settings, progress).drive()
        if made is None:
            without_ground.append(taken.name)
        else:
            drives.append(made)
            left_out += [LeftOut(**each) for each in made.facts.origin['unusable']]
    if not drives:
        with suppress(OSError):
            out.rmdir()  # if there is nothing else in it
        raise ValueError(_no_ground(photos, path, settings))
    _write_left_out(out, left_out)
    return ImportResult(drives, left_out, without_ground)


def _told(left_out: Sequence[LeftOut]) -> str:
    counts = Counter(each.reason for each in left_out)
    firsts = {each.reason: each for each in reversed(left_out)}
    return '; '.join(
        f'{count} left out, {reason} (the first: {firsts[reason].where}: '
        f'{firsts[reason].detail})' for reason, count in counts.most_common())


def _no_ground(photos: Sequence[PosedPhoto], path: Path, settings: ImportSettings) -> str:
    first = photos[0]
    return (f'there is no aerial imagery of the same place: {" + ".join(settings.source)} has '
            f'none around any of the {len(photos)} images of {path}, the first of which is at '
            f'{first.latitude_deg:.5f}, {first.longitude_deg:.5f}')


def _write_left_out(out: Path, left_out: Sequence[LeftOut]) -> None:
    if not left_out:
        (out / LEFT_OUT_FILE).unlink(missing_ok=True)
        return
    with replacing(out / LEFT_OUT_FILE) as partial, partial.open('w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(('where', 'reason', 'detail'))
        rows.writerows((each.where, each.reason, each.detail) for each in left_out)


class _Job:
    """A drive to be made."""

    def __init__(self, taken: PhotoDrive, folder: Path, path: Path, settings: ImportSettings,
                 progress: Progress):
        self._taken, self._folder, self._settings = taken, folder, settings
        self._tell = lambda stage, total, done: progress(folder.name, stage, total, done)
        self._recipe = {'table': Path(path).resolve().name, 'poses_sha256': _digest(taken),
                        'settings': plain_settings(settings)}
        self._left_out: Counter[str] = Counter()

    def drive(self) -> RecordedDrive | None:
        """Make the drive, unless it is there; return None if there is no imagery around it."""
        folder, places_m = self._folder, np.array(self._taken.cameras, float)[:, :2]
        require_same(folder, self._recipe)
        if (folder / DRIVE_FILE).exists():
            return RecordedDrive(folder)
        kept = self._thinned(places_m)
        write_recipe(folder, self._recipe)
        ground = build_ground(
            folder / GROUND, self._taken.frame, places_m[kept], self._settings,
            self._settings.patch_m, lambda total, done: self._tell('ground', total, done))
        if not ground.has_enough.any():
            shutil.rmtree(folder)  # which only holds what was begun here
            return None
        self._left_out[NO_GROUND] += int((~ground.has_enough).sum())
        self._write(kept[ground.has_enough].tolist(), ground)
        return RecordedDrive(folder)

    def _thinned(self, places_m: np.ndarray) -> np.ndarray:
        """Return the indices of images that are far enough from each other."""
        count = len(places_m)
        reasons = thinned(places_m, np.full(count, np.inf), np.full(count, '', object),
                          self._settings.every_m)
        self._left_out.update(reasons[reasons != ''].tolist())
        return np.flatnonzero(reasons == '')

    def _write(self, kept: list[int], ground: Ground) -> None:
        """Write the images that can be used, and what completes the drive."""
        names, unusable = self._write_images(kept)
        if not names:
            raise ValueError(f'no image of {self._folder.name} can be used; {_told(unusable)}')
        self._left_out.update(each.reason for each in unusable)
        write_drive(self._folder, self._facts(ground, unusable), self._keyframes(names),
                    SensorReadings())

    def _write_images(self, kept: list[int]) -> tuple[dict[int, str], list[LeftOut]]:
        """Return the names of the files by the images' indices, and what cannot be used."""
        names, unusable = {}, []
        camera, rows = camera_settings(self._settings.camera), self._settings.image_rows
        for done, index in enumerate(kept):
            self._tell('images', len(kept), done)
            photo = self._taken.photos[index]
            name = f'{index:06d}_{photo.path.stem}.jpg'
            try:
                if not (self._folder / IMAGES / name).exists():
                    image = level_panorama(photo, camera, rows)
                    write_panorama(self._folder, name, image.pixels, image.seen, rows)
                names[index] = name
            except BadRow as bad:
                unusable.append(LeftOut(photo.where, bad.reason, str(bad)))
        self._tell('images', len(kept), len(kept))
        return names, unusable

    def _keyframes(self, names: dict[int, str]) -> list[Keyframe]:
        cameras = [self._taken.cameras[index] for index in names]
        splits = splits_of_places(
            self._taken.frame, np.array(cameras, float)[:, :2], self._settings)
        return [Keyframe(name, self._taken.stamp_ns[index], camera,
                         self._taken.photos[index].sigma_m, self._taken.photos[index].sigma_rad,
                         split)
                for (index, name), camera, split in zip(names.items(), cameras, splits)]

    def _facts(self, ground: Ground, unusable: Sequence[LeftOut]) -> DriveFacts:
        offset_deg, remark = heading_remark(self._taken.cameras)
        remarks = [remark] if remark else []
        if not self._taken.has_times:
            remarks.append('not all of its images have a time: their stamps only count them')
        return DriveFacts(
            self._taken.frame.datum, Pose2(0.0, 0.0, 0.0), (0.0, 0.0), ground.layout,
            self._recipe | {
                'images': len(self._taken.photos), 'cells': ground.cells,
                'cells_lacking': ground.lacking, 'imagery': ground.imagery,
                'unusable': [vars(each) for each in unusable]},
            {'told_by': self._recipe['table'], 'heading': 'told by the same',
             'heading_from_course_deg': None if offset_deg is None else round(-offset_deg, 2),
             'remarks': remarks},
            {reason: count for reason, count in self._left_out.most_common() if count})


def _digest(taken: PhotoDrive) -> str:
    """Return what changes when a pose or an image's name does, wherever the folder is."""
    plain = [replace(photo, path=Path(photo.path.name)) for photo in taken.photos]
    return hashlib.sha256(repr(plain).encode()).hexdigest()
