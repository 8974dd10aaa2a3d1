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

"""Images that say where they were taken, as cameras and their programs write it."""

from __future__ import annotations

from pathlib import Path
from test.helpers import spheres

from fg2_ros.geometry.panorama import pixel_directions, rotation3
import numpy as np
from PIL import ExifTags, Image

XMP = ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
       'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
       'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"{attributes}>{elements}'
       '</rdf:Description></rdf:RDF></x:xmpmeta>')


def panorama(rows: int = 64, roll_deg: float = 0.0, nose_down_deg: float = 0.0,
             yaw_deg: float = 0.0) -> np.ndarray:
    """Return the (rows, 2 rows, 3) panorama of a sphere by a camera that is turned in it."""
    turn = rotation3(*np.radians((roll_deg, nose_down_deg, yaw_deg)))
    return spheres.picture(pixel_directions(2 * rows, rows), turn)


def xmp(as_elements: bool = False, **properties: object) -> bytes:
    """Return an XMP packet with properties of GPano."""
    if as_elements:
        text = ''.join(f'<GPano:{name}>{value}</GPano:{name}>'
                       for name, value in properties.items())
        return XMP.format(attributes='', elements=text).encode()
    text = ''.join(f' GPano:{name}="{value}"' for name, value in properties.items())
    return XMP.format(attributes=text, elements='').encode()


def gps(latitude_deg: float, longitude_deg: float, **others: object) -> dict[int, object]:
    """Return EXIF's tags of a place, and others by their names."""
    tags = {'GPSLatitudeRef': 'S' if latitude_deg < 0 else 'N',
            'GPSLatitude': _sexagesimal(latitude_deg),
            'GPSLongitudeRef': 'W' if longitude_deg < 0 else 'E',
            'GPSLongitude': _sexagesimal(longitude_deg)}
    return {ExifTags.GPS[name]: value for name, value in (tags | others).items()}


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    whole, minutes = divmod(abs(degrees) * 60, 60)
    return whole, int(minutes), (minutes - int(minutes)) * 60


def write_photo(path: Path, pixels: np.ndarray, tags: dict | None = None, details: dict = {},
                packet: bytes = b'') -> Path:
    """
    Write a JPEG.

    :param tags: of EXIF's GPS; ``details`` of its camera, by number.
    :param packet: XMP.
    """
    exif = Image.Exif()
    if tags:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(tags)
    if details:
        exif.get_ifd(ExifTags.IFD.Exif).update(details)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=98, subsampling=0, exif=exif, xmp=packet)
    return path
