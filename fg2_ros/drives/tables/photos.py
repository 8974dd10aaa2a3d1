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

"""Images with their poses, from the table and from the images themselves, checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
import math
from pathlib import Path

from fg2_ros.drives.tables.columns import BadRow, Columns, Stated
from fg2_ros.drives.tables.cubes import is_cube
from fg2_ros.drives.tables.photo_metadata import MAGNETIC, PhotoFacts, read_photo_facts
from fg2_ros.drives.tables.rows import read_rows, SUFFIXES
from fg2_ros.drives.tables.settings import TableSettings
from fg2_ros.geometry.frames import is_nowhere, require_geodetic

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.webp')
_SHOWN = 200  # characters of a name


@dataclass(frozen=True)
class PosedPhoto:
    """
    An image with the pose of the camera that took it.

    :param where: the line of the table, or the file, for messages.
    :param path: of the image, or the folder of a cube's faces.
    :param sequence: of the images that were taken on one way.
    :param heading_deg: of the centre column, clockwise from true north.
    :param pitch_deg: of the centre above the horizon; ``roll_deg`` of the camera to its right.
    :param stamp_ns: None if it is not known.
    :param sigma_m: of the position on each axis.
    :param elevations_deg: of the edges of a panorama that says how it was cropped.
    """

    where: str
    path: Path
    sequence: str
    latitude_deg: float
    longitude_deg: float
    heading_deg: float
    pitch_deg: float
    roll_deg: float
    stamp_ns: int | None
    sigma_m: float
    sigma_rad: float
    elevations_deg: tuple[float, float] | None = None


@dataclass(frozen=True)
class LeftOut:
    """
    An image that cannot be used.

    :param where: the line of the table, or the file.
    :param reason: few words; ``detail`` the sentence.
    """

    where: str
    reason: str
    detail: str


def read_photos(path: Path, settings: TableSettings,
                progress: Callable[[int, int], None] = lambda total, done: None
                ) -> tuple[list[PosedPhoto], list[LeftOut]]:
    """
    Return the images of a table, or those of a folder.

    A folder with one table is that table; without one, its images tell their poses themselves.

    :param progress: called with how many images are stated, and how many were looked at.
    :raises ValueError: if there is nothing of the kind, or the table cannot be read.
    """
    table = _table_of(path)
    files = ImageFiles(settings.images or (table.parent if table else path))
    photos, left_out = [], []
    everything = list(_stated(path, table, files, settings))
    for done, (where, stated, reason) in enumerate(everything):
        progress(len(everything), done)
        try:
            if reason is not None:
                raise reason
            photos.append(_posed(where, stated, files, settings))
        except BadRow as bad:
            left_out.append(LeftOut(where, bad.reason, str(bad)))
    return photos, left_out


def _table_of(path: Path) -> Path | None:
    """
    Return the table that is meant; None for images without one.

    :raises ValueError: if it is not there, or there are several.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f'there is no folder or table {path}')
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES
                    and not file.name.lower().startswith('readme'))
    if len(tables) > 1:
        raise ValueError(f'{path} has several tables: name one of '
                         f'{", ".join(each.name for each in tables)}')
    return tables[0] if tables else None


def _stated(path: Path, table: Path | None, files: ImageFiles, settings: TableSettings
            ) -> Iterator[tuple[str, Stated, BadRow | None]]:
    """Yield where each image is stated, what is, and why that cannot be used."""
    if table is None:
        if not files.paths:
            raise ValueError(f'there is neither a table nor an image in {path}')
        for file in files.paths:
            name = str(file.relative_to(files.folder))
            yield name, Stated(image=name), None
        return
    rows = read_rows(table)
    columns = Columns(rows, settings.stated_columns(), settings.heading)
    for row in rows:
        try:
            yield row.where, columns.stated_by(row), None
        except BadRow as bad:
            yield row.where, Stated(), bad


class ImageFiles:
    """
    The images in a folder and those below it.

    :raises ValueError: if it is none.
    """

    def __init__(self, folder: Path):
        """Look for them."""
        if not folder.is_dir():
            raise ValueError(f'there is no folder of images {folder}')
        self.folder = folder
        cubes = [path for path in folder.rglob('*') if path.is_dir() and is_cube(path)]
        faces = set(cubes)
        self.paths = sorted(cubes + [
            path for path in folder.rglob('*')
            if path.suffix.lower() in IMAGE_SUFFIXES and path.parent not in faces])
        self._named = defaultdict(set)
        for path in self.paths:
            for name in (str(path.relative_to(folder)), path.name, path.stem):
                self._named[name].add(path)

    def find(self, written: str) -> Path:
        """
        Return the image that a table means: by its path, its name, or its name without the end.

        :raises BadRow: if there is none, or several.
        """
        name = written.replace('\\', '/').partition('?')[0].removeprefix('./')
        for wanted in (name, name.rpartition('/')[2]):
            found = self._named.get(wanted, ())
            if len(found) > 1:
                raise BadRow('several images have its name', written[:_SHOWN])
            if found:
                return next(iter(found))
        raise BadRow('there is no such image', written[:_SHOWN])


def _posed(where: str, stated: Stated, files: ImageFiles, settings: TableSettings) -> PosedPhoto:
    if stated.image is None:
        raise BadRow('it names no image')
    path = files.find(stated.image)
    own = read_photo_facts(path) if path.is_file() else PhotoFacts()
    whole = _merged(stated, own.stated)
    if whole.is_flat:
        raise BadRow('it is a flat photograph, not a panorama', path.name)
    latitude_deg, longitude_deg = _place(whole)
    return PosedPhoto(
        where, path, whole.sequence or _folder_of(path, files), latitude_deg, longitude_deg,
        _heading_deg(whole, own, settings), whole.pitch_deg or 0.0, whole.roll_deg or 0.0,
        whole.stamp_ns, _sigma_m(whole, settings), math.radians(_sigma_deg(whole, settings)),
        own.elevations_deg)


def _merged(table: Stated, image: Stated) -> Stated:
    """Return what a table says, and what it leaves out as the image says it."""
    return Stated(is_flat=table.is_flat or image.is_flat, **{
        each.name: getattr(image if getattr(table, each.name) is None else table, each.name)
        for each in fields(Stated) if each.name != 'is_flat'})


def _folder_of(path: Path, files: ImageFiles) -> str:
    inside = path.parent.relative_to(files.folder)
    return str(inside) if inside.parts else files.folder.resolve().name


def _place(stated: Stated) -> tuple[float, float]:
    latitude_deg, longitude_deg = stated.latitude_deg, stated.longitude_deg
    if latitude_deg is None or longitude_deg is None:
        raise BadRow('it has no place')
    try:
        require_geodetic(latitude_deg, longitude_deg)
    except ValueError as error:
        raise BadRow('its place is none on Earth', str(error)) from None
    if is_nowhere(latitude_deg, longitude_deg):
        raise BadRow('its place is 0, 0, which receivers say that have no fix')
    return latitude_deg, longitude_deg


def _heading_deg(stated: Stated, own: PhotoFacts, settings: TableSettings) -> float:
    heading_deg, offset_deg = stated.heading_deg, settings.heading_offset_deg
    if heading_deg is None and own.magnetic_deg is not None:
        if offset_deg is None:
            raise BadRow(MAGNETIC, 'say the declination with --heading-offset')
        heading_deg = own.magnetic_deg
    if heading_deg is None:
        raise BadRow('it has no heading')
    return (heading_deg + (offset_deg or 0.0)) % 360


def _sigma_m(stated: Stated, settings: TableSettings) -> float:
    sigma_m = settings.sigma_m if stated.sigma_m is None else stated.sigma_m
    if sigma_m is None:
        raise ValueError('how accurate are the positions? Neither the table nor the images say '
                         'it: say --sigma-m')
    if settings.max_sigma_m is not None and sigma_m > settings.max_sigma_m:
        raise BadRow('its position is less accurate than wanted', f'{sigma_m:g} m')
    return sigma_m


def _sigma_deg(stated: Stated, settings: TableSettings) -> float:
    sigma_deg = settings.sigma_deg if stated.sigma_deg is None else stated.sigma_deg
    if sigma_deg is None:
        raise ValueError('how accurate are the headings? Neither the table nor the images say '
                         'it: say --sigma-deg')
    return sigma_deg
