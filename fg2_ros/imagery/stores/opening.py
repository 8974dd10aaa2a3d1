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

"""Opening local files as imagery; their kind is found from their contents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fg2_ros.imagery.patch import FileProblem, Imagery, Label
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.stores.base import TileFile
from fg2_ros.imagery.stores.folder import FolderOfTiles, holds_tiles
from fg2_ros.imagery.stores.formats import driver_of, start_of
from fg2_ros.imagery.stores.local_tiles import LocalTiles
from fg2_ros.imagery.stores.mbtiles import MbtilesFile
from fg2_ros.imagery.tiles.pyramid import TileImagery

_SQLITE, _PMTILES = b'SQLite format 3\0', b'PMTiles'
_OLD_PMTILES = b'PM\1\0', b'PM\2\0'


def open_local(path: str | Path, name: str = '', vintage: str = '', attribution: str = '',
               **options: Any) -> Imagery:
    """
    Open a file or folder as imagery; what it is, is found out from what is in it.

    MBTiles, PMTiles and a folder of tiles ``{z}/{x}/{y}`` are tile pyramids. Orthophotos are
    GeoTIFFs, VRT files of them, JPEG 2000, GeoPackages, PNG and JPEG with a world file, zip
    archives of these, and folders of such sheets.

    The file may be replaced while it is in use, and MBTiles may be written by other processes.
    PMTiles need the package ``pmtiles``, orthophotos ``rasterio``.

    :param path: the file or folder.
    :param name: what messages call it; by default the file's name.
    :param vintage: when the pictures were taken.
    :param attribution: whom to name where they are shown; by default what the file says.
    :param options: those of `bands.RasterOptions`, for orthophotos.
    :raises ImageryError: if it cannot be used; the message names it.
    """
    path = Path(path).expanduser()
    label = Label(name or path.name, vintage, attribution)
    if path.is_dir():
        return (_tiles(FolderOfTiles(path), label) if holds_tiles(path)
                else _orthophotos(path, label, options))
    start = start_of(path)
    if driver_of(start):
        return _orthophotos(path, label, options)
    if start.startswith(_SQLITE):
        return _tiles(MbtilesFile(path), label)
    if start.startswith(_OLD_PMTILES):
        raise FileProblem(f'{path} is a PMTiles archive of version {start[2]}: "pmtiles convert"'
                          ' makes one of version 3 of it, which can be read')
    if start.startswith(_PMTILES):
        return _tiles(_pmtiles(path), label)
    raise FileProblem(f'{path} is neither MBTiles nor PMTiles nor an orthophoto: GeoTIFF, VRT,'
                      ' JPEG 2000, GeoPackage, PNG or JPEG with a world file, or a zip archive of'
                      ' them')


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


def _orthophotos(path: Path, label: Label, options: dict[str, Any]) -> Imagery:
    try:
        from fg2_ros.imagery.stores.bands import RasterOptions
        from fg2_ros.imagery.stores.orthophotos import OrthophotoImagery
    except ImportError as error:
        raise FileProblem(f'{path} holds orthophotos: to read them, "apt install python3-rasterio"'
                          f' or "pip install rasterio" ({error})') from None
    return OrthophotoImagery(path, label, RasterOptions(**options))


def is_remote(path: str) -> bool:
    """Return whether a path is the address of a GeoTIFF on a web server."""
    parts = urlsplit(path)
    return (parts.scheme in ('http', 'https') and '{' not in path
            and parts.path.lower().endswith(('.tif', '.tiff')))


def open_remote(url: str, label: Label, http: HttpSettings | None = None,
                **options: Any) -> Imagery:
    """
    Return a cloud-optimised GeoTIFF on a web server as imagery; nothing is fetched yet.

    :param url: its address, see `is_remote`.
    :param label: shown to the user.
    :param http: time-outs and who we say we are.
    :param options: those of `bands.RasterOptions`.
    :raises ImageryError: if rasterio is not installed.
    """
    try:
        from fg2_ros.imagery.stores.bands import RasterOptions
        from fg2_ros.imagery.stores.remote import RemoteOrthophotoImagery
    except ImportError as error:
        raise FileProblem(f'{label.name} is a GeoTIFF on a server: to read it, "pip install'
                          f' rasterio" ({error})') from None
    return RemoteOrthophotoImagery(url, label, RasterOptions(**options), http)
