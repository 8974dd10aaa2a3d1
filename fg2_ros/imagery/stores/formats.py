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

"""The accepted formats of orthophotos, by a file's first bytes."""

from __future__ import annotations

from pathlib import Path

from fg2_ros.imagery.patch import FileProblem

START_BYTES = 512  # of a file that tell its format
_MAGIC = {
    b'II*\0': 'GTiff', b'MM\0*': 'GTiff', b'II+\0': 'GTiff', b'MM\0+': 'GTiff',
    b'\0\0\0\x0cjP  ': 'JP2OpenJPEG', b'\xff\x4f\xff\x51': 'JP2OpenJPEG',
    b'\x89PNG\r\n': 'PNG', b'\xff\xd8\xff': 'JPEG'}
_SQLITE, _ZIP = b'SQLite format 3\0', b'PK\3\4'
_GEOPACKAGES = b'GPKG', b'GP10', b'GP11'  # where SQLite has the number of the application
PICTURE_DRIVERS = frozenset(_MAGIC.values())  # of files that name no others


def driver_of(start: bytes) -> str:
    """
    Return the driver of a file, 'zip' for an archive, '' if it is no orthophoto.

    :param start: its first bytes, `START_BYTES` if there are so many.
    """
    for magic, driver in _MAGIC.items():
        if start.startswith(magic):
            return driver
    if start.startswith(_SQLITE):
        return 'GPKG' if start[68:72] in _GEOPACKAGES else ''
    if start.startswith(_ZIP):
        return 'zip'
    return 'VRT' if b'<VRTDataset' in start else ''


def start_of(path: Path) -> bytes:
    """
    Return the first bytes of a file.

    :raises FileProblem: if it cannot be read.
    """
    try:
        with path.open('rb') as file:
            return file.read(START_BYTES)
    except OSError as error:
        raise FileProblem(f'{path} cannot be read: {error.strerror}') from None
