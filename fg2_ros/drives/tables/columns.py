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

"""The meaning of a table's columns, under all names that exporters give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
import math
from typing import Any

from fg2_ros.drives.tables.rows import column_name, Row

COMPASS, YAW = 'compass', 'yaw'

# Of several, the first that a row has: what an exporter corrected comes before what it was given.
ALIASES: dict[str, tuple[str, ...]] = {
    'image': ('image', 'image_path', 'file', 'filename', 'file_name', 'path', 'name',
              'image_name', 'photo', 'picture', 'image_id', 'id', 'key', 'uuid'),
    COMPASS: ('computed_compass_angle', 'compass_angle', 'heading', 'heading_deg', 'azimuth',
              'azimuth_deg', 'view_azimuth', 'bearing', 'mapcompassheading_trueheading',
              'gpsimgdirection', 'gps_img_direction', 'poseheadingdegrees'),
    YAW: ('yaw', 'yaw_deg', 'yaw_rad'),
    'pitch': ('pitch', 'pitch_deg', 'pers_pitch', 'posepitchdegrees'),
    'roll': ('roll', 'roll_deg', 'pers_roll', 'poserolldegrees'),
    'time': ('stamp_ns', 'captured_at', 'capture_time', 'datetime', 'timestamp', 'time', 'date',
             'mapcapturetime'),
    'sequence': ('sequence', 'sequence_id', 'sequence_key', 'sequence_uuid', 'mapsequenceuuid',
                 'collection', 'drive', 'trip', 'track_id'),
    'sigma_m': ('sigma_m', 'horizontal_accuracy_m', 'horizontal_accuracy',
                'quality_horizontal_accuracy', 'accuracy_m', 'gps_accuracy', 'accuracy'),
    'sigma_deg': ('sigma_deg', 'heading_accuracy_deg', 'heading_accuracy', 'yaw_accuracy_deg'),
    'kind': ('camera_type', 'is_pano', 'pano'),
}
PLACES = (  # latitude and longitude, which belong together
    ('computed_latitude', 'computed_longitude'), ('latitude', 'longitude'), ('lat', 'lon'),
    ('lat', 'lng'), ('lat', 'long'), ('latitude_deg', 'longitude_deg'), ('lat_deg', 'lon_deg'),
    ('maplatitude', 'maplongitude'), ('gpslatitude', 'gpslongitude'),
    ('gps_latitude', 'gps_longitude'),
    ('computed_geometry_coordinates_1', 'computed_geometry_coordinates_0'),
    ('geometry_coordinates_1', 'geometry_coordinates_0'))
_FLAT = ('perspective', 'brown', 'fisheye', 'false', '0', 'no')  # values of 'kind'
_SHOWN = 1000  # characters of the columns' names
_TIME_FORMATS = ('%Y_%m_%d_%H_%M_%S_%f', '%Y:%m:%d %H:%M:%S')  # mapillary_tools', EXIF's


class BadRow(ValueError):
    """
    A row cannot be used.

    :param reason: few words, the same for all rows with this fault.
    """

    def __init__(self, reason: str, detail: str = ''):
        super().__init__(f'{reason}: {detail}' if detail else reason)
        self.reason = reason


@dataclass(frozen=True)
class Stated:
    """
    What is said of an image, by a table or by the image itself; None for what is not.

    :param heading_deg: where the centre column looks, clockwise from true north.
    :param pitch_deg: of the centre above the horizon; ``roll_deg`` of the camera to its right.
    :param stamp_ns: since 1970.
    :param is_flat: whether it is said that the image is no panorama.
    """

    image: str | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    heading_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    stamp_ns: int | None = None
    sequence: str | None = None
    sigma_m: float | None = None
    sigma_deg: float | None = None
    is_flat: bool = False


class Columns:
    """
    Which column of a table means what.

    :param stated: names of columns as the user says them, by what they mean, such as
        ``{'heading': 'course_of_camera'}``.
    :param convention: 'compass' or 'yaw': which way the heading's column counts; '' for what its
        name says.
    :raises ValueError: if the table has no such column, or does not tell what its heading is.
    """

    def __init__(self, rows: Sequence[Row], stated: Mapping[str, str], convention: str = ''):
        """Look the columns up."""
        there = {name for row in rows for name in row.values}
        known = {name: [alias for alias in aliases if alias in there]
                 for name, aliases in ALIASES.items()}
        for meaning, written in stated.items():
            self._require(meaning, written, there)
            known[COMPASS if meaning == 'heading' else meaning] = [column_name(written)]
        if 'heading' in stated:
            known[YAW] = []
        if known[YAW] and not known[COMPASS] and not convention:
            raise ValueError(
                f'the column {known[YAW][0]} may count from the north clockwise (--heading '
                'compass) or from the east counter-clockwise (--heading yaw): say which')
        self._convention = convention or COMPASS
        first, second = (YAW, COMPASS) if convention == YAW else (COMPASS, YAW)
        self._known = known | {'heading': known[first] + known[second]}
        self._places = self._places_of(stated)

    @staticmethod
    def _places_of(stated: Mapping[str, str]) -> Sequence[tuple[str, str]]:
        given = [column_name(stated[name]) for name in ('latitude', 'longitude') if name in stated]
        if len(given) == 1:
            raise ValueError('--column latitude and --column longitude go together')
        return [(given[0], given[1])] if given else PLACES

    def _require(self, meaning: str, written: str, there: set[str]) -> None:
        meanings = sorted(set(ALIASES) - {COMPASS, YAW} | {'heading', 'latitude', 'longitude'})
        if meaning not in meanings:
            raise ValueError(f'{meaning!r} is nothing that a column may mean; there are '
                             f'{", ".join(meanings)}')
        if column_name(written) not in there:
            raise ValueError(f'the table has no column {written!r}; it has '
                             f'{", ".join(sorted(there))[:_SHOWN]}')

    def stated_by(self, row: Row) -> Stated:
        """
        Return what a row says.

        :raises BadRow: if something of it makes no sense.
        """
        latitude_deg, longitude_deg = self._place(row)
        return Stated(
            image=self._text(row, 'image'), latitude_deg=latitude_deg,
            longitude_deg=longitude_deg, heading_deg=self._heading_deg(row),
            pitch_deg=self._number(row, 'pitch'), roll_deg=self._number(row, 'roll'),
            stamp_ns=self._stamp_ns(row), sequence=self._text(row, 'sequence'),
            sigma_m=self._positive(row, 'sigma_m'), sigma_deg=self._positive(row, 'sigma_deg'),
            is_flat=(self._text(row, 'kind') or '').lower() in _FLAT)

    def _place(self, row: Row) -> tuple[float | None, float | None]:
        """Return latitude and longitude, both of the same kind: corrected, or as they were."""
        for latitude, longitude in self._places:
            if _is_there(row.values.get(latitude)) and _is_there(row.values.get(longitude)):
                return _number(row, latitude), _number(row, longitude)
        return None, None

    def _heading_deg(self, row: Row) -> float | None:
        column = self._column(row, 'heading')
        if column is None:
            return None
        angle = _number(row, column)
        degrees = math.degrees(angle) if column.endswith('_rad') else angle
        return (90 - degrees if self._convention == YAW else degrees) % 360

    def _stamp_ns(self, row: Row) -> int | None:
        column = self._column(row, 'time')
        if column is None:
            return None
        return stamp_ns_of(row.values[column], is_ns=column.endswith('_ns'))

    def _text(self, row: Row, meaning: str) -> str | None:
        column = self._column(row, meaning)
        return None if column is None else str(row.values[column]).strip()

    def _number(self, row: Row, meaning: str) -> float | None:
        column = self._column(row, meaning)
        return None if column is None else _number(row, column)

    def _positive(self, row: Row, meaning: str) -> float | None:
        number = self._number(row, meaning)
        return number if number is not None and number > 0 else None

    def _column(self, row: Row, meaning: str) -> str | None:
        return next((name for name in self._known[meaning]
                     if _is_there(row.values.get(name))), None)


def stamp_ns_of(value: Any, is_ns: bool = False) -> int:
    """
    Return nanoseconds since 1970 of a date and time (UTC if it names no zone) or a number.

    :param value: a number is of seconds, milliseconds, microseconds or nanoseconds, whichever
        makes it a time between 1973 and 5138.
    :raises BadRow: if it is none.
    """
    text = str(value).strip()
    try:  # which takes 2024_05_06 for a number, too
        number = Decimal(text.replace('_', ' '))
    except InvalidOperation:
        return _stamp_ns_of_text(text)
    for factor, end in ((10 ** 9, 1e11), (10 ** 6, 1e14), (10 ** 3, 1e17), (1, 1e20)):
        if number.is_finite() and 0 <= number < end and not (is_ns and factor > 1):
            return int(number * factor)
    raise BadRow('its time is none', text[:40])


def _stamp_ns_of_text(text: str) -> int:
    time = _datetime(text)
    if time is None:
        raise BadRow('its time is none', text[:40])
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    since = time - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * 10 ** 9 + since.microseconds * 1000


def _datetime(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for layout in _TIME_FORMATS:
        try:
            return datetime.strptime(text, layout)
        except ValueError:
            continue
    return None


def _is_there(value: Any) -> bool:
    return value is not None and str(value).strip() != ''


def _number(row: Row, column: str) -> float:
    value = row.values[column]
    try:
        number = float(value.replace(',', '.') if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRow(f'{column} is no number', repr(value)[:40])
    return number
