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

"""Poses in the metadata of images: GPS in EXIF, GPano in XMP."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fg2_ros.drives.tables.columns import BadRow, stamp_ns_of, Stated
from PIL import ExifTags, Image

GPANO = '{http://ns.google.com/photos/1.0/panorama/}'
MAGNETIC = 'its heading is magnetic'
EQUIRECTANGULAR = 'equirectangular'
_EXIF, _GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
_SOUTH_OR_WEST = ('S', 'W')


@dataclass(frozen=True)
class PhotoFacts:
    """
    What an image says.

    :param stated: place, heading and tilt.
    :param magnetic_deg: heading from magnetic north, where the true one is not said.
    :param elevations_deg: of the lower and the upper edge of a panorama that is cropped in height.
    """

    stated: Stated = Stated()
    magnetic_deg: float | None = None
    elevations_deg: tuple[float, float] | None = None


def read_photo_facts(path: Path) -> PhotoFacts:
    """
    Return what an image says; of GPano the pose, not the view that programs are to open with.

    :raises BadRow: if it is no image, or says something that makes no sense.
    """
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            gps, details = exif.get_ifd(_GPS), exif.get_ifd(_EXIF)
            panorama = _panorama(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadRow('the image cannot be read', f'{path}: {error}') from None
    facts = _of_gps(gps, details)
    return _with_panorama(facts, panorama) if panorama else facts


def _of_gps(gps: dict[int, Any], details: dict[int, Any]) -> PhotoFacts:
    tag = ExifTags.GPS
    heading_deg = _number(gps.get(tag.GPSImgDirection))
    is_magnetic = gps.get(tag.GPSImgDirectionRef) == 'M'
    return PhotoFacts(
        Stated(
            latitude_deg=_degrees(gps.get(tag.GPSLatitude), gps.get(tag.GPSLatitudeRef)),
            longitude_deg=_degrees(gps.get(tag.GPSLongitude), gps.get(tag.GPSLongitudeRef)),
            heading_deg=None if is_magnetic else heading_deg,
            stamp_ns=_stamp_ns(gps, details),
            sigma_m=_number(gps.get(tag.GPSHPositioningError)) or None),
        magnetic_deg=heading_deg if is_magnetic else None)


def _degrees(parts: Any, side: Any) -> float | None:
    """Return degrees of EXIF's degrees, minutes and seconds."""
    if parts is None:
        return None
    numbers = [_number(part) for part in (parts if isinstance(parts, tuple) else (parts,))]
    if None in numbers:
        return None
    degrees = sum(number / 60 ** index for index, number in enumerate(numbers) if number)
    return -degrees if side in _SOUTH_OR_WEST else degrees


def _stamp_ns(gps: dict[int, Any], details: dict[int, Any]) -> int | None:
    """Return when it was taken: by the camera's clock, which has fractions, or else by GPS."""
    taken = details.get(ExifTags.Base.DateTimeOriginal)
    zone = str(details.get(ExifTags.Base.OffsetTimeOriginal, '')).strip()
    if taken and (zone or ExifTags.GPS.GPSTimeStamp not in gps):
        seconds = stamp_ns_of(f'{_iso_date(str(taken))}{zone}')
        fraction = str(details.get(ExifTags.Base.SubsecTimeOriginal, '')).strip()
        return seconds + (round(float(f'0.{fraction}') * 1e9) if fraction.isdigit() else 0)
    day, clock = gps.get(ExifTags.GPS.GPSDateStamp), gps.get(ExifTags.GPS.GPSTimeStamp)
    if not (day and clock):
        return None
    hours, minutes, seconds_s = (_number(part) or 0.0 for part in clock)
    midnight_ns = stamp_ns_of(f'{_iso_date(str(day))} 00:00:00')
    return midnight_ns + round((hours * 3600 + minutes * 60 + seconds_s) * 1e9)


def _iso_date(text: str) -> str:
    return text.strip().replace(':', '-', 2)


def _panorama(image: Image.Image) -> dict[str, str]:
    """
    Return the properties of GPano in an image's XMP by name.

    Pillow finds the packet; its own `getxmp` needs one more library, and what it returns is
    nested in ways that depend on the writer. The properties are attributes or elements.
    """
    packet = image.info.get('xmp') or image.info.get('XML:com.adobe.xmp')
    packet = packet or next(
        (content.partition(b'\0')[2] for name, content in getattr(image, 'applist', ())
         if name == 'APP1' and content.startswith(b'http://ns.adobe.com/xap/1.0/')), b'')
    try:  # it loads nothing from elsewhere, and expat bounds what entities may grow to
        root = ElementTree.fromstring(packet.strip(b'\0 ') if isinstance(packet, bytes)
                                      else packet)
    except (ElementTree.ParseError, LookupError, ValueError):
        return {}
    found: dict[str, str] = {}
    for element in root.iter():
        named = {element.tag: element.text or ''} | element.attrib
        found |= {name.removeprefix(GPANO): value.strip() for name, value in named.items()
                  if name.startswith(GPANO)}
    return found


def _with_panorama(facts: PhotoFacts, panorama: dict[str, str]) -> PhotoFacts:
    kind = panorama.get('ProjectionType', EQUIRECTANGULAR).lower()
    heading_deg, pitch_deg, roll_deg = (
        _number(panorama.get(f'Pose{name}Degrees')) for name in ('Heading', 'Pitch', 'Roll'))
    stated = facts.stated if heading_deg is None else replace(
        facts.stated, heading_deg=heading_deg % 360)
    stated = replace(stated, pitch_deg=pitch_deg, roll_deg=roll_deg,
                     is_flat=kind != EQUIRECTANGULAR)
    return replace(facts, stated=stated, elevations_deg=_elevations_deg(panorama),
                   magnetic_deg=facts.magnetic_deg if heading_deg is None else None)


def _elevations_deg(panorama: dict[str, str]) -> tuple[float, float] | None:
    """
    Return between which elevations a panorama was cropped; None if it says nothing of it.

    :raises BadRow: if it does not show all around.
    """
    width, height, full_width, full_height, top = (_number(panorama.get(name)) for name in (
        'CroppedAreaImageWidthPixels', 'CroppedAreaImageHeightPixels', 'FullPanoWidthPixels',
        'FullPanoHeightPixels', 'CroppedAreaTopPixels'))
    if not (width and height and full_width and full_height) or top is None:
        return None
    if width < full_width:
        raise BadRow('it does not show all around', f'{width:.0f} of {full_width:.0f} columns')
    if height >= full_height:
        return None
    high_deg = 90 - 180 * top / full_height
    return max(high_deg - 180 * height / full_height, -90.0), min(high_deg, 90.0)


def _number(value: Any) -> float | None:
    """Return a number of EXIF or XMP; None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
