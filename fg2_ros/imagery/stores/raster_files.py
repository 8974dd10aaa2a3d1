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
Orthophoto files: found by their contents, and opened safely.

GDAL knows a hundred formats, and some of them name other files, servers or code to run. So each
file is opened by the driver of its own format and no other, and what names files is looked into.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
import logging
import os
from pathlib import Path
import sqlite3
import struct
import zipfile
import zlib

from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.formats import driver_of, PICTURE_DRIVERS, START_BYTES, start_of
from fg2_ros.imagery.stores.http_ranges import RangedFile
from fg2_ros.imagery.stores.vrt import source_files_of
from fg2_ros.imagery.tiles.mbtiles import connect_read_only, tables_of, within

_OWN_TABLES = {'gpkg_contents', 'gpkg_tile_matrix', 'gpkg_tile_matrix_set', 'gpkg_spatial_ref_sys'}
_SUFFIXES = ('.tif', '.tiff', '.jp2', '.j2k', '.vrt', '.png', '.jpg', '.jpeg', '.gpkg')
_DEEPEST = 3  # folders inside a folder of sheets, and VRT files that name VRT files
_MOST_SHEETS = 50_000
_LONGEST_S = 5.0
_logger = logging.getLogger(__name__)
_DAMAGED_ZIP = (EOFError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
                struct.error, zipfile.BadZipFile, zlib.error)
_MOST_PACKED_BYTES, _MOST_TIMES_PACKED = 1 << 32, 300  # a packed file is unpacked again and again


@dataclass(frozen=True)
class RasterFile:
    """
    An orthophoto, or one of several in a file.

    :param path: where it is, as messages name it.
    :param name: what GDAL opens.
    :param driver: GDAL's name of its format.
    :param table: of a GeoPackage; '' for other files.
    :param remote: where it is fetched from, if it is on a server.
    """

    path: Path
    name: str
    driver: str
    table: str = ''
    remote: RangedFile | None = None


def rasters_in(path: Path) -> list[RasterFile]:
    """
    Return the orthophotos of a file, an archive or a folder, in the order of their names.

    :raises FileProblem: if there are none, or one must not be opened.
    """
    if path.is_dir():
        return _rasters_in_folder(path)
    return _rasters_of(path)


def _rasters_in_folder(folder: Path) -> list[RasterFile]:
    rasters, problems = [], []
    for file in files_below(folder):
        try:
            rasters += _rasters_of(file)
        except FileProblem as problem:
            problems.append(problem)
    if not rasters:
        raise problems[0] if problems else FileProblem(
            f'{folder} holds no tiles named {{z}}/{{x}}/{{y}} and no orthophotos: GeoTIFF, VRT,'
            ' JPEG 2000, GeoPackage, PNG or JPEG')
    if problems:
        _logger.warning('%s; %d files in %s are left out', problems[0], len(problems), folder)
    return rasters


def _rasters_of(path: Path) -> list[RasterFile]:
    driver = driver_of(start_of(path))
    if driver == 'zip':
        return list(_rasters_in_zip(path))
    if driver == 'GPKG':
        return [RasterFile(path, str(path.absolute()), driver, table)
                for table in _tables_of_tiles(path)]
    if driver:
        require_harmless(path)
        return [RasterFile(path, str(path.absolute()), driver)]
    raise FileProblem(f'{path} is no orthophoto: neither GeoTIFF nor VRT, JPEG 2000, GeoPackage,'
                      ' PNG or JPEG')


def require_harmless(path: Path, depth: int = _DEEPEST) -> None:
    """
    Accept a file unless opening it would open others than those that lie beside it.

    :param depth: how many files may name each other.
    :raises FileProblem: if it would, or one of them is no orthophoto.
    """
    for beside in (Path(f'{path}.ovr'), Path(f'{path}.msk')):
        if beside.exists() and driver_of(start_of(beside)) != 'GTiff':
            raise FileProblem(f'{beside} is no GeoTIFF, so {path} is not opened')
    driver = driver_of(start_of(path))
    if driver == 'VRT':
        if not depth:
            raise FileProblem(f'{path} is a VRT file inside too many others')
        for source in source_files_of(path):
            require_harmless(source, depth - 1)
    elif driver not in PICTURE_DRIVERS:
        raise FileProblem(f'{path} is neither GeoTIFF nor JPEG 2000, PNG, JPEG or VRT')


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and those in it whose names are those of orthophotos."""
    found = []
    for inside, folders, names in os.walk(folder):
        here = Path(inside)
        if len(here.relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
        folders.sort()
        found += [here / name for name in sorted(names) if name.lower().endswith(_SUFFIXES)]
        if len(found) > _MOST_SHEETS:
            raise FileProblem(f'{folder} holds more than {_MOST_SHEETS} sheets')
    return [path for path in found if path.suffix.lower() != '.vrt'] or found


def _tables_of_tiles(path: Path) -> list[str]:
    try:
        with closing(connect_read_only(path)) as database, within(database, _LONGEST_S):
            real = tables_of(database, views=False)
            if not _OWN_TABLES <= real:
                raise FileProblem(f'{path} is a GeoPackage without the tables of one')
            names = [name for name, in database.execute(
                "SELECT table_name FROM gpkg_contents WHERE data_type = 'tiles'"
                ' ORDER BY table_name LIMIT 1000')]
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a message quotes damaged names
        raise FileProblem(f'{path} cannot be read as a GeoPackage: {error}') from None
    tables = [name for name in names if name in real]
    if not tables:
        raise FileProblem(f'{path} is a GeoPackage that holds no tiles of pictures')
    return tables


def _rasters_in_zip(path: Path) -> Iterator[RasterFile]:
    """Yield the pictures in an archive; VRT files and archives in it are left out."""
    found = False
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                if not member.filename.lower().endswith(_SUFFIXES):
                    continue
                with archive.open(member) as file:
                    driver = driver_of(file.read(START_BYTES))
                if driver in PICTURE_DRIVERS:
                    _require_packed_loosely(path, member)
                    found = True
                    yield RasterFile(path / member.filename,
                                     f'/vsizip/{{{path.absolute()}}}/{member.filename}', driver)
    except _DAMAGED_ZIP as error:
        raise FileProblem(f'{path} cannot be read as a zip archive: {error}') from None
    if not found:
        raise FileProblem(f'{path} holds no orthophotos')


def _require_packed_loosely(path: Path, member: zipfile.ZipInfo) -> None:
    if member.compress_type == zipfile.ZIP_STORED:
        return
    if (member.file_size > _MOST_PACKED_BYTES
            or member.file_size > _MOST_TIMES_PACKED * max(member.compress_size, 1000)):
        raise FileProblem(f'{member.filename} in {path} is packed too tightly to be read where'
                          ' it is: unpack it')
