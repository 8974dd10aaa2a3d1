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

"""Tables and images are read as exporters write them."""

import json
import math
from test.helpers.photos import gps, panorama, write_photo, xmp

from fg2_ros.drives.tables.columns import BadRow, Columns, stamp_ns_of
from fg2_ros.drives.tables.photo_metadata import read_photo_facts
from fg2_ros.drives.tables.rows import read_rows
from PIL import ExifTags
import pytest

MAPILLARY = {'type': 'FeatureCollection', 'features': [{
    'type': 'Feature', 'id': 'abc',
    'geometry': {'type': 'Point', 'coordinates': [8.5, 47.25]},
    'properties': {
        'id': 123, 'captured_at': 1700000000500, 'compass_angle': 10.0,
        'computed_compass_angle': 12.5, 'sequence_id': 'S1', 'camera_type': 'spherical',
        'computed_geometry': {'type': 'Point', 'coordinates': [8.6, 47.35]}}}]}


def stated(tmp_path, name, content, convention='', **columns):
    """Return what the rows of a table say."""
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    rows = read_rows(path)
    found = Columns(rows, columns, convention)
    return [found.stated_by(row) for row in rows]


def test_a_csv_of_the_plainest_kind(tmp_path):
    first, second = stated(
        tmp_path, 'poses.csv', 'image,latitude,longitude,heading,captured_at,sequence,sigma_m\n'
        'a.jpg,47.25,8.5,90,2024-05-06T07:08:09Z,one,0.4\nb.jpg,-47,-8.5,450,1714979290,,\n')
    assert (first.image, first.latitude_deg, first.longitude_deg) == ('a.jpg', 47.25, 8.5)
    assert (first.heading_deg, first.sequence, first.sigma_m) == (90.0, 'one', 0.4)
    assert first.stamp_ns == 1714979289 * 10 ** 9 and second.stamp_ns == 1714979290 * 10 ** 9
    assert (second.heading_deg, second.sequence, second.sigma_m) == (90.0, None, None)


def test_semicolons_decimal_commas_and_a_byte_order_mark(tmp_path):
    row, = stated(tmp_path, 'poses.csv', '\ufeffDatei;File Name;Lat;Lon;Azimuth (deg)\n'
                                         'x;"a;b.jpg";47,25;8,5;12,5\n')
    assert (row.image, row.latitude_deg, row.longitude_deg, row.heading_deg) == (
        'a;b.jpg', 47.25, 8.5, 12.5)


def test_mapillary_corrected_values_come_first_and_together(tmp_path):
    row, = stated(tmp_path, 'images.geojson', MAPILLARY)
    assert (row.latitude_deg, row.longitude_deg, row.heading_deg) == (47.35, 8.6, 12.5)
    assert (row.image, row.sequence, row.is_flat) == ('123', 'S1', False)
    assert row.stamp_ns == 1700000000500 * 10 ** 6
    del MAPILLARY['features'][0]['properties']['computed_geometry']['coordinates'][1]
    row, = stated(tmp_path, 'images.geojson', MAPILLARY)
    assert (row.latitude_deg, row.longitude_deg) == (47.25, 8.5)


def test_panoramax_items(tmp_path):
    row, = stated(tmp_path, 'items.json', {'features': [{
        'id': 'u-u-i-d', 'collection': 'C', 'geometry': {'coordinates': [2.25, 48.5]},
        'properties': {'datetime': '2025-10-01T15:12:32+02:00', 'view:azimuth': 261,
                       'pers:pitch': -2.5, 'pers:roll': 1.5, 'quality:horizontal_accuracy': 4}}]})
    assert (row.latitude_deg, row.heading_deg, row.sigma_m) == (48.5, 261, 4)
    assert (row.pitch_deg, row.roll_deg, row.sequence) == (-2.5, 1.5, 'C')
    assert row.stamp_ns == 1759324352 * 10 ** 9


def test_json_lines_and_flat_cameras(tmp_path):
    first, second = stated(
        tmp_path, 'poses.jsonl', '{"key": "a", "lat": 1, "lon": 2, "is_pano": true}\n'
                                 '{"key": "b", "lat": 1, "lon": 2, "is_pano": false}\n')
    assert (first.is_flat, second.is_flat) == (False, True)


def test_yaw_is_asked_about(tmp_path):
    table = 'image,lat,lon,yaw\na,47,8,30\n'
    with pytest.raises(ValueError, match='yaw may count from the north clockwise'):
        stated(tmp_path, 'poses.csv', table)
    assert stated(tmp_path, 'poses.csv', table, 'yaw')[0].heading_deg == 60
    assert stated(tmp_path, 'poses.csv', table, 'compass')[0].heading_deg == 30
    radians = table.replace('yaw', 'yaw_rad').replace('30', str(math.pi))
    assert stated(tmp_path, 'poses.csv', radians, 'yaw')[0].heading_deg == pytest.approx(270)


def test_columns_with_other_names_are_stated(tmp_path):
    table = 'what,y,x,course of camera\na.jpg,47,8,30\n'
    columns = {'image': 'what', 'latitude': 'y', 'longitude': 'x', 'heading': 'Course of camera'}
    row, = stated(tmp_path, 'poses.csv', table, **columns)
    assert (row.image, row.latitude_deg, row.heading_deg) == ('a.jpg', 47, 30)
    with pytest.raises(ValueError, match="the table has no column 'z'; it has course_of_camera"):
        stated(tmp_path, 'poses.csv', table, latitude='z')
    with pytest.raises(ValueError, match="'height' is nothing that a column may mean"):
        stated(tmp_path, 'poses.csv', table, height='y')


@pytest.mark.parametrize(('written', 'fraction_ns'), [
    ('1714979289', 0), (1714979289.25, 250_000_000), ('1714979289250', 250_000_000),
    ('1714979289250000000', 250_000_000), ('2024-05-06 07:08:09.250', 250_000_000),
    ('2024_05_06_07_08_09_250', 250_000_000), ('2024:05:06 07:08:09', 0),
    ('2024-05-06T09:08:09+02:00', 0)])
def test_times(written, fraction_ns):
    assert stamp_ns_of(written) == 1714979289 * 10 ** 9 + fraction_ns


@pytest.mark.parametrize('written', ['yesterday', '-5', 'nan', 'inf', '1e30', ''])
def test_times_that_are_none(written):
    with pytest.raises(BadRow, match='its time is none'):
        stamp_ns_of(written)


@pytest.mark.parametrize(('name', 'content'), [
    ('a.csv', ''), ('a.csv', 'image,lat,lon\n'), ('a.json', '{"features": []}'),
    ('a.json', 'no JSON'), ('a.json', '[' * 100_000), ('a.csv', '\0')],
    ids=['empty', 'without rows', 'without entries', 'no JSON', 'nested', 'zeros'])
def test_what_is_no_table(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f'{name} (cannot be read|has no rows)'):
        read_rows(tmp_path / name)


# What images say of themselves ------------------------------------------------------------------

def test_exif(tmp_path):
    tags = gps(-33.8567844, -151.2152967, GPSImgDirectionRef='T', GPSImgDirection=123.25,
               GPSHPositioningError=2.5, GPSDateStamp='2024:05:06', GPSTimeStamp=(7, 8, 9.25))
    facts = read_photo_facts(write_photo(tmp_path / 'a.jpg', panorama(), tags))
    assert facts.stated.latitude_deg == pytest.approx(-33.8567844, abs=1e-7)
    assert facts.stated.longitude_deg == pytest.approx(-151.2152967, abs=1e-7)
    assert (facts.stated.heading_deg, facts.stated.sigma_m) == (123.25, 2.5)
    assert facts.stated.stamp_ns == 1714979289_250_000_000


def test_a_magnetic_heading_is_told_apart(tmp_path):
    tags = gps(47, 8, GPSImgDirectionRef='M', GPSImgDirection=10)
    facts = read_photo_facts(write_photo(tmp_path / 'a.jpg', panorama(), tags))
    assert (facts.stated.heading_deg, facts.magnetic_deg) == (None, 10)


def test_the_clock_of_the_camera_has_fractions(tmp_path):
    base = ExifTags.Base
    facts = read_photo_facts(write_photo(tmp_path / 'a.jpg', panorama(), None, {
        base.DateTimeOriginal: '2024:05:06 09:08:09', base.OffsetTimeOriginal: '+02:00',
        base.SubsecTimeOriginal: '25'}))
    assert facts.stated.stamp_ns == 1714979289_250_000_000


@pytest.mark.parametrize('as_elements', [False, True])
def test_gpano_says_how_the_camera_was_held(tmp_path, as_elements):
    packet = xmp(as_elements, ProjectionType='equirectangular', PoseHeadingDegrees='350.5',
                 PosePitchDegrees='-3', PoseRollDegrees='2.5', InitialViewHeadingDegrees='77')
    facts = read_photo_facts(write_photo(
        tmp_path / 'a.jpg', panorama(), gps(47, 8, GPSImgDirection=10), packet=packet))
    assert (facts.stated.heading_deg, facts.stated.pitch_deg, facts.stated.roll_deg) == (
        350.5, -3, 2.5)
    assert not facts.stated.is_flat and facts.elevations_deg is None


def test_gpano_says_how_a_panorama_was_cropped(tmp_path):
    cropped = {'FullPanoWidthPixels': 128, 'FullPanoHeightPixels': 64,
               'CroppedAreaImageWidthPixels': 128, 'CroppedAreaImageHeightPixels': 32,
               'CroppedAreaTopPixels': 8, 'CroppedAreaLeftPixels': 0}
    path = write_photo(tmp_path / 'a.jpg', panorama()[8:40], packet=xmp(**cropped))
    assert read_photo_facts(path).elevations_deg == (-22.5, 67.5)
    half = xmp(**cropped | {'CroppedAreaImageWidthPixels': 64})
    with pytest.raises(BadRow, match='it does not show all around: 64 of 128 columns'):
        read_photo_facts(write_photo(tmp_path / 'b.jpg', panorama()[8:40, :64], packet=half))


def test_gpano_of_another_projection_is_flat(tmp_path):
    path = write_photo(tmp_path / 'a.jpg', panorama(), packet=xmp(ProjectionType='cylindrical'))
    assert read_photo_facts(path).stated.is_flat


@pytest.mark.parametrize('packet', [b'<broken', xmp(PoseHeadingDegrees='north'), b''],
                         ids=['broken', 'no number', 'empty'])
def test_a_packet_that_says_nothing(tmp_path, packet):
    facts = read_photo_facts(write_photo(tmp_path / 'a.jpg', panorama(), packet=packet))
    assert facts.stated.heading_deg is None


def test_what_is_no_image(tmp_path):
    (tmp_path / 'a.jpg').write_text('no image')
    with pytest.raises(BadRow, match='the image cannot be read'):
        read_photo_facts(tmp_path / 'a.jpg')
