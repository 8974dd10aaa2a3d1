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

"""Local files as imagery: which kind a file is of, from what is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fg2_ros.imagery.patch import FileProblem, Imagery, Label
from fg2_ros.imagery.stores.base import TileFile
from fg2_ros.imagery.stores.folder import FolderOfTiles
from fg2_ros.imagery.stores.local_tiles import LocalTiles
from fg2_ros.imagery.stores.mbtiles import MbtilesFile
from fg2_ros.imagery.tiles.pyramid import TileImagery

_SQLITE, _PMTILES = b'SQLite format 3\0', b'PMTiles'
_OLD_PMTILES = b'PM\1\0', b'PM\2\0'
_TIFF = b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'


def open_local(path: str | Path, name: str = '', vintage: str = '',
               attribution: str = '') -> Imagery:
    """
    Open MBTiles, PMTiles, a GeoTIFF or a folder of tiles ``{z}/{x}/{y}`` as imagery.

    The file may be replaced while it is in use, and MBTiles may be written by other processes.
    PMTiles need the package ``pmtiles``, GeoTIFFs ``rasterio``.

    :param path: the file or folder.
    :param name: what messages call it; by default the file's name.
    :param vintage: when the pictures were taken.
    :param attribution: whom to name where they are shown; by default what the file says.
    :raises ImageryError: if it cannot be used; the message names it.
    """
    path = Path(path).expanduser()
    label = Label(name or path.name, vintage, attribution)
    if path.is_dir():
        return _tiles(FolderOfTiles(path), label)
    try:
        with path.open('rb') as file:
            start = file.read(16)
    except OSError as error:
        raise FileProblem(f'{path} cannot be read: {error.strerror}') from None
    if start.startswith(_SQLITE):
        return _tiles(MbtilesFile(path), label)
    if start.startswith(_OLD_PMTILES):
        raise FileProblem(f'{path} is a PMTiles archive of version {start[2]}: "pmtiles convert"'
                          ' makes one of version 3 of it, which can be read')
    if start.startswith(_PMTILES):
        return _tiles(_pmtiles(path), label)
    if start.startswith(_TIFF):
        return _geotiff(path, label)
    raise FileProblem(f'{path} is neither MBTiles nor PMTiles nor a GeoTIFF')


def _tiles(file: TileFile, label: Label) -> TileImagery:
    try:
        layout = file.layout()
    except FileProblem:
        file.close()
        raise
    return TileImagery(LocalTiles(
        file, replace(label, attribution=label.attribution or layout.attribution)))


def _pmtiles(path: Path) -> TileFile:
    try:
        from fg2_ros.imagery.stores.pmtiles import PmtilesFile
    except ImportError as error:
        raise FileProblem(f'{path} is a PMTiles archive: to read it, "pip install pmtiles"'
                          f' ({error})') from None
    return PmtilesFile(path)


def _geotiff(path: Path, label: Label) -> Imagery:
    try:
        from fg2_ros.imagery.stores.geotiff import GeotiffImagery
    except ImportError as error:
        raise FileProblem(f'{path} is a GeoTIFF: to read it, "apt install python3-rasterio" or'
                          f' "pip install rasterio" ({error})') from None
    return GeotiffImagery(path, label)
