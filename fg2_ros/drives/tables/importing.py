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

"""Build drives from images with a table of their poses, or with poses in their metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
import csv
from dataclasses import asdict, dataclass, replace
import hashlib
from pathlib import Path
import shutil

from fg2_ros.cameras.settings import camera_settings
from fg2_ros.datasets.drives import (
    DRIVE_FILE, DriveFacts, GROUND, IMAGES, Keyframe, RecordedDrive, SensorReadings, write_drive)
from fg2_ros.drives.ground import build_ground, Ground, permitted_sources
from fg2_ros.drives.keyframes import thinned
from fg2_ros.drives.panoramas import write_panorama
from fg2_ros.drives.splits import splits_of_places
from fg2_ros.drives.tables.columns import BadRow
from fg2_ros.drives.tables.panoramas import level_panorama
from fg2_ros.drives.tables.photos import LeftOut, PosedPhoto, read_photos
from fg2_ros.drives.tables.sequences import drives_of, heading_remark, PhotoDrive
from fg2_ros.drives.tables.settings import ImportSettings
from fg2_ros.files import replacing
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.recipe import plain, require_same, write_recipe
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
    path = Path(path)
    photos, left_out = read_photos(
        path, settings, lambda total, done: progress(path.name, 'poses', total, done))
    if not photos:
        raise ValueError(f'no image of {path} can be used; {_told(left_out)}')
    drives, without_ground = [], []
    for taken in drives_of(photos):
        job = _Job(taken, out / taken.name, path, settings, progress)
        made = job.drive()
        left_out += job.unusable
        if made is not None:
            drives.append(made)
        elif not job.has_ground:
            without_ground.append(taken.name)
    if not drives:
        with suppress(OSError):
            out.rmdir()  # if there is nothing else in it
        raise ValueError(_no_ground(photos, path, settings) if without_ground else
                         f'no image of {path} can be used; {_told(left_out)}')
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
    """
    A drive to be made.

    `unusable` are its images of which no panorama comes, and `has_ground` is whether there is
    imagery around any.
    """

    def __init__(self, taken: PhotoDrive, folder: Path, path: Path, settings: ImportSettings,
                 progress: Progress):
        """Do nothing yet."""
        self._taken, self._folder, self._settings = taken, folder, settings
        self._places_m = np.array(taken.cameras, float)[:, :2]
        self._tell = lambda stage, total, done: progress(folder.name, stage, total, done)
        self._recipe = {'table': Path(path).resolve().name, 'poses': _digest(taken),
                        'settings': plain(settings)}
        self.unusable: list[LeftOut] = []
        self.has_ground = True

    def drive(self) -> RecordedDrive | None:
        """Make the drive, unless it is there; return None if there is no image for it."""
        folder = self._folder
        require_same(folder, self._recipe)
        if (folder / DRIVE_FILE).exists():
            drive = RecordedDrive(folder)
            self.unusable = [LeftOut(**each) for each in drive.facts.origin['unusable']]
            return drive
        write_recipe(folder, self._recipe)
        if not self._make():
            shutil.rmtree(folder)  # which only holds what was begun here
            return None
        return RecordedDrive(folder)

    def _make(self) -> bool:
        """
        Choose images, fetch the ground around them and write all; return whether any is left.

        An image of which no panorama comes makes room for its neighbours, so it is chosen again.
        """
        reasons = np.full(len(self._places_m), '', object)
        while True:
            chosen = thinned(
                self._places_m, np.full(len(reasons), np.inf), reasons, self._settings.every_m)
            kept = np.flatnonzero(chosen == '')
            if not kept.size:
                return False
            ground = build_ground(
                self._folder / GROUND, self._taken.frame, self._places_m[kept], self._settings,
                self._settings.patch_m, lambda total, done: self._tell('ground', total, done))
            self.has_ground = bool(ground.has_enough.any())
            if not self.has_ground:
                return False
            chosen[kept[~ground.has_enough]] = NO_GROUND
            if self._write_images(np.flatnonzero(chosen == '').tolist(), reasons):
                break
        self._write(ground, chosen)
        return True

    def _write_images(self, kept: list[int], reasons: np.ndarray) -> bool:
        """Write panoramas; return whether all could be, and say why of those that could not."""
        camera, rows = camera_settings(self._settings.camera), self._settings.image_rows
        for done, index in enumerate(kept):
            self._tell('images', len(kept), done)
            photo, name = self._taken.photos[index], self._name(index)
            try:
                if not (self._folder / IMAGES / name).exists():
                    image = level_panorama(photo, camera, rows)
                    write_panorama(self._folder, name, image.pixels, image.seen, rows)
            except BadRow as bad:
                reasons[index] = bad.reason
                self.unusable.append(LeftOut(photo.where, bad.reason, str(bad)))
        self._tell('images', len(kept), len(kept))
        return not (reasons[kept] != '').any()

    def _name(self, index: int) -> str:
        return f'{index:06d}_{self._taken.photos[index].path.stem}.jpg'

    def _write(self, ground: Ground, chosen: np.ndarray) -> None:
        """Write what completes the drive."""
        counts = Counter(chosen[chosen != ''].tolist())
        write_drive(
            self._folder, self._facts(ground, dict(counts.most_common())),
            self._keyframes(np.flatnonzero(chosen == '').tolist()), SensorReadings())

    def _keyframes(self, kept: list[int]) -> list[Keyframe]:
        taken = self._taken
        splits = splits_of_places(taken.frame, self._places_m[kept], self._settings)
        return [Keyframe(
            self._name(index), taken.stamp_ns[index], taken.cameras[index],
            taken.photos[index].sigma_m, taken.photos[index].sigma_rad, split)
            for index, split in zip(kept, splits)]

    def _facts(self, ground: Ground, left_out: dict[str, int]) -> DriveFacts:
        offset_deg, remark = heading_remark(self._taken.cameras)
        remarks = [remark] if remark else []
        if not self._taken.has_times:
            remarks.append('not all of its images have a time: their stamps only count them')
        return DriveFacts(
            self._taken.frame.datum, Pose2(0.0, 0.0, 0.0), (0.0, 0.0), ground.layout,
            self._recipe | {
                'images': len(self._taken.photos), 'cells': ground.cells,
                'cells_lacking': ground.lacking, 'imagery': ground.imagery,
                'unusable': [asdict(each) for each in self.unusable]},
            {'told_by': self._recipe['table'], 'heading': 'told by the same',
             'heading_from_course_deg': None if offset_deg is None else round(-offset_deg, 2),
             'remarks': remarks}, left_out)


def _digest(taken: PhotoDrive) -> str:
    """Return what changes when a pose or an image's name does, wherever the folder is."""
    plain = [replace(photo, path=Path(photo.path.name)) for photo in taken.photos]
    return hashlib.sha256(repr(plain).encode()).hexdigest()
