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

"""Routes as files have them: GPX, GeoJSON, KML and bags; and what is wrong with some."""

import itertools
import json
import math
import sys
from test.helpers.paths import REAL_DATA
import zipfile

from fg2_ros.prefetch.routes import box, read_route, Route
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

GPX = """<?xml version="1.0"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">
  <wpt lat="47.5" lon="8.6"><name>depot</name></wpt>
  <rte><rtept lat="47.1" lon="8.1"/><rtept lat="47.2" lon="8.2"/></rte>
  <trk>
    <trkseg><trkpt lat="47.3" lon="8.3"><ele>400</ele></trkpt>
            <trkpt lat="47.4" lon="8.4"/></trkseg>
    <trkseg/>
    <trkseg><trkpt lat="-1" lon="-179.5"/></trkseg>
  </trk>
</gpx>"""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a text file and returns its path."""
    def write(name, text):
        (tmp_path / name).write_text(text, 'utf-8')
        return tmp_path / name
    return write


def as_lists(parts):
    """Return arrays as lists, sorted."""
    return sorted(part.tolist() for part in parts)


@pytest.mark.parametrize('namespace', ['', ' xmlns="http://www.topografix.com/GPX/1/0"'])
def test_gpx_tracks_routes_and_waypoints(file, namespace):
    text = GPX.replace(' xmlns="http://www.topografix.com/GPX/1/1"', namespace)
    route = read_route(file('drive.gpx', text))
    assert as_lists(route.lines) == [
        [[-1.0, -179.5]], [[47.1, 8.1], [47.2, 8.2]], [[47.3, 8.3], [47.4, 8.4]], [[47.5, 8.6]]]
    assert not route.areas


@pytest.mark.parametrize('geometry, lines, areas', [
    ({'type': 'Point', 'coordinates': [8.0, 47.0, 400.0]}, [[[47.0, 8.0]]], 0),
    ({'type': 'MultiPoint', 'coordinates': [[8, 47], [9, 48]]}, [[[47, 8]], [[48, 9]]], 0),
    ({'type': 'LineString', 'coordinates': [[8, 47], [9, 48]]}, [[[47, 8], [48, 9]]], 0),
    ({'type': 'MultiLineString', 'coordinates': [[[8, 47]], [[9, 48]]]}, [[[47, 8]], [[48, 9]]],
     0),
    ({'type': 'Polygon', 'coordinates': [[[0, 0], [1, 0], [1, 1], [0, 0]]]}, [], 1),
    ({'type': 'MultiPolygon', 'coordinates': [
        [[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[5, 5], [6, 5], [6, 6], [5, 5]]]]}, [], 2)])
def test_geojson_geometries(file, geometry, lines, areas):
    """Bare, in a feature, and in collections within each other."""
    feature = {'type': 'Feature', 'properties': {}, 'geometry': geometry}
    nothing = {'type': 'Feature', 'properties': {}, 'geometry': None}
    for item in (
            geometry, feature, {'type': 'FeatureCollection', 'features': [nothing, feature]},
            {'type': 'GeometryCollection', 'geometries': [
                {'type': 'GeometryCollection', 'geometries': [geometry]}]}):
        route = read_route(file('drive.geojson', json.dumps(item)))
        assert as_lists(route.lines) == lines
        assert len(route.areas) == areas


@pytest.mark.parametrize('name, text, problem', [
    ('a.gpx', GPX[:200], 'not well-formed XML'),
    ('a.gpx', '<kml/>', "outermost element is 'kml'"),
    ('a.gpx', '<gpx/>', 'holds no place'),
    ('a.gpx', '<gpx><wpt lat="147.5" lon="8"/></gpx>', 'no place that can be used: .*147.5'),
    ('a.gpx', '<gpx><wpt lat="NaN" lon="8"/></gpx>', 'no place that can be used'),
    ('a.gpx', '<gpx><wpt lat="0" lon="0"/></gpx>', 'no place that can be used: .*no fix'),
    ('a.geojson', '{', 'is no JSON'),
    ('a.geojson', 'one\ntwo', 'is no JSON'),
    pytest.param('a.geojson', '[' * 200_000, 'nested too deeply', id='deep'),
    ('a.geojson', '[]', 'no GeoJSON type'),
    pytest.param('a.geojson', '{"type": "Point", "coordinates": [1%s, 8]}' % ('0' * 400),
                 'no place that can', id='a long number'),
    ('a.geojson', '{"type": "Feature", "geometry": null}', 'holds no place'),
    ('a.geojson', '{"type": "FeatureCollection"}', 'holds no place'),
    ('a.geojson', '{"type": "Topology"}', "'Topology' is no GeoJSON type"),
    ('a.geojson', '{"type": "LineString", "coordinates": []}', 'holds no place'),
    ('a.geojson', '{"type": "Point", "coordinates": [8]}', 'cannot be used'),
    ('a.geojson', '{"type": "Point", "coordinates": ["x", null]}', 'cannot be used'),
    ('a.kml', '<gpx/>', "no KML: its outermost element is 'gpx'"),
    ('a.kml', '<kml/>', 'holds no place'),
    ('a.fit', '', 'none of .gpx, .geojson'),
    ('a.bag', 'no bag', 'not a readable bag'),
    ('a.mcap', 'no bag', 'not a readable bag'),
    ('a.db3', 'no bag', 'not a readable bag')])
def test_unusable_files_are_named(file, name, text, problem):
    path = file(name, text)
    with pytest.raises(ValueError, match=problem) as caught:
        read_route(path)
    assert str(path) in str(caught.value)


HERE = [(8.7, 47.5), (8.701, 47.501), (8.702, 47.502), (8.703, 47.503)]  # x, y
ROAD = [[[y, x] for x, y in HERE]]


def gpx_of(places, times=()):
    """Return a GPX track of (x, y) as they are to be written, with hours, minutes and seconds."""
    points = ''.join(
        f'<trkpt lat="{y}" lon="{x}">{f"<time>2026-05-01T{time}Z</time>" if time else ""}</trkpt>'
        for (x, y), time in itertools.zip_longest(places, times))
    return f'<gpx><trk><trkseg>{points}</trkseg></trk></gpx>'


@pytest.mark.parametrize('place, words', [
    (('', ''), 'that are numbers'), (('NaN', '47.5'), 'that are numbers'),
    (('8.7', 'null'), 'that are numbers'), (('inf', '47.5'), 'longitude inf'),
    (('8.7', '95'), 'latitude 95'), (('1e400', '47.5'), 'longitude inf'),
    (('0', '0'), 'have no fix'), (('0.0', '-0.000001'), 'have no fix'),
    (('47.5', '8.7'), 'no vehicle gets there')])
@pytest.mark.parametrize('at', [0, 2, 4])
def test_one_bad_place_is_left_out_and_told(file, caplog, place, words, at):
    """At the start, on the way and at the end of a track."""
    places = [*HERE[:at], place, *HERE[at:]]
    route = read_route(file('drive.gpx', gpx_of(places)))
    assert as_lists(route.lines) == ROAD
    assert '1 place was left out' in caplog.text and words in caplog.text


@pytest.mark.parametrize('place', ['[null, null]', '[]', 'null', '[8.7]', '["x", {}]', '[[8, 47]]',
                                   '[NaN, 47.5]', '[0, 0]',
                                   pytest.param(f'[1{"0" * 400}, 47.5]', id='400 digits')])
def test_one_bad_position_is_left_out(file, place):
    positions = [json.dumps(position) for position in HERE]
    text = f'{{"type": "LineString", "coordinates": [{", ".join([*positions, place])}]}}'
    assert as_lists(read_route(file('drive.json', text)).lines) == ROAD


def test_places_at_zero_are_kept_where_others_are_near(file):
    """In the Gulf of Guinea."""
    route = read_route(file('boat.gpx', gpx_of([(0.01, 0.01), (0, 0), (-0.01, 0.01)])))
    assert as_lists(route.lines) == [[[0.01, 0.01], [0, 0], [0.01, -0.01]]]


def test_decimal_commas(file):
    places = [tuple(str(value).replace('.', ',') for value in place) for place in HERE]
    assert as_lists(read_route(file('drive.gpx', gpx_of(places))).lines) == ROAD


TIMES = ('10:00:00', '10:00:20', '10:00:40', '10:01:00')


def test_a_track_is_cut_where_its_times_say_so(file, caplog):
    """A degree takes longer than a second, but not than an hour."""
    away = [(x + 1, y) for x, y in HERE]
    for times, lines in (
            (('10:01:01', '10:01:21', '10:01:41', '10:02:01'), 2),
            (('11:30:00', '11:30:20', '11:30:40', '11:31:00'), 1)):
        route = read_route(file('drive.gpx', gpx_of(HERE + away, TIMES + times)))
        assert len(route.lines) == lines
    assert caplog.text.count('what lies between was not joined') == 1
    assert '75.1 km' in caplog.text


def test_times_that_no_vehicle_kept_count_for_nothing(file):
    """A planner wrote the same for all."""
    route = read_route(file('plan.gpx', gpx_of(HERE, [TIMES[0]] * 4)))
    assert as_lists(route.lines) == ROAD


@pytest.mark.parametrize('far', [(0, 0), (1.5, 9.5)])
def test_a_route_that_jumps_to_and_fro_is_refused(file, far):
    places = [far if index % 2 else (8.7 + index / 1e4, 47.5) for index in range(2000)]
    with pytest.raises(ValueError, match=r'it jumps 1,99\d times, by up to .* km, from'):
        read_route(file('drive.gpx', gpx_of(places)))


def test_the_road_between_the_points_of_a_garmin_route(file):
    """The programs write it into an extension of the point before."""
    def point(lat, lon, road=()):
        inner = ''.join(f'<gx:rpt lat="{y}" lon="{x}"/>' for y, x in road)
        return (f'<rtept lat="{lat}" lon="{lon}"><name>stop</name><extensions><gx:RoutePointExt'
                f'ension><gx:Subclass>1</gx:Subclass>{inner}</gx:RoutePointExtension>'
                '</extensions></rtept>')
    text = ('<gpx xmlns="http://www.topografix.com/GPX/1/1" xmlns:gx="http://www.garmin.com/x'
            'mlschemas/GpxExtensions/v3"><rte>'
            + point(46.9, 7.4, [(46.91, 7.41), (46.92, 7.4)]) + point(46.95, 7.45, [(46.96, 7.5)])
            + point(47.0, 7.5) + '</rte></gpx>')
    assert as_lists(read_route(file('tour.gpx', text)).lines) == [[
        [46.9, 7.4], [46.91, 7.41], [46.92, 7.4], [46.95, 7.45], [46.96, 7.5], [47.0, 7.5]]]


@pytest.mark.parametrize('text', [
    '<gpx><trk>{}</trk></gpx>', '<gpx>{}</gpx>', '\n\n<?xml version="1.0"?>\n<gpx>{}</gpx>',
    '\ufeff<?xml version="1.0" encoding="utf-8"?><gpx><trk><name/><trkseg/>{}</trk></gpx>'])
def test_gpx_that_is_not_quite_as_it_should_be(file, text):
    """Points without a segment, an empty line before the declaration, a byte order mark."""
    points = ''.join(f'<trkpt lat="{y}" lon="{x}"/>' for x, y in HERE)
    assert as_lists(read_route(file('drive.gpx', text.format(points))).lines) == ROAD


LINE = {'type': 'LineString', 'coordinates': HERE}


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_geojson_with_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / 'drive.geojson').write_text(json.dumps(LINE), encoding)
    assert as_lists(read_route(tmp_path / 'drive.geojson').lines) == ROAD


@pytest.mark.parametrize('text', [
    '{0}\n{0}\n', '{0}\r\n\r\n{0}', '\x1e{0}\n\x1e{0}\n', '\ufeff{0}\n{0}',
    '\x1e{1}\n\x1e{1}\n', '{0}\n{0}\n{{"type": "Fea'])
@pytest.mark.parametrize('name', ['drive.geojson', 'drive.geojsonl', 'drive.ndjson'])
def test_geojson_text_sequences(file, caplog, name, text):
    """A feature a line, or after record separators and of several lines; the last cut off."""
    feature = {'type': 'Feature', 'geometry': LINE}
    route = read_route(file(name, text.format(json.dumps(feature), json.dumps(feature, indent=1))))
    assert as_lists(route.lines) == 2 * ROAD
    assert ('record 3 is no JSON' in caplog.text) == ('Fea' in text)


def test_collections_with_members_of_no_use(file, caplog):
    """Features in features, without geometries, and of unknown types."""
    collection = {'type': 'FeatureCollection', 'features': [
        {'type': 'Feature'}, {'type': 'Feature', 'geometry': {}}, None, 7,
        {'type': 'LineString'}, {'type': 'Polygon', 'coordinates': [[]]},
        {'type': 'MultiLineString', 'coordinates': [None, []]},
        {'type': 'Feature', 'geometry': {'type': 'Feature', 'geometry': {
            'type': 'GeometryCollection', 'geometries': [LINE]}}}]}
    route = read_route(file('drive.geojson', json.dumps(collection)))
    assert as_lists(route.lines) == ROAD and not route.areas
    assert "'None' is no GeoJSON type" in caplog.text


KML = """<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">
<Document><Placemark><LineString><coordinates>
  8.7,47.5,400 8.701,47.501
</coordinates></LineString></Placemark>
<Placemark><gx:Track><when>2026-05-01T10:00:00Z</when><gx:coord>8.7 47.5 0</gx:coord>
  <gx:coord>8.702 47.502 0</gx:coord></gx:Track></Placemark>
<Placemark><Polygon><outerBoundaryIs><LinearRing><coordinates>0,0 1,0 1,1 0,0</coordinates>
  </LinearRing></outerBoundaryIs><innerBoundaryIs><LinearRing><coordinates>0.2,0.1 0.3,0.1 0.3,0.2
  0.2,0.1</coordinates></LinearRing></innerBoundaryIs></Polygon></Placemark></Document></kml>"""


@pytest.mark.parametrize('zipped', [False, True])
def test_kml(file, zipped):
    """As it is, and as KMZ."""
    path = file('drive.kml', KML)
    if zipped:
        path = path.with_suffix('.kmz')
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('doc.kml', KML)
    route = read_route(path)
    assert as_lists(route.lines) == [
        [[47.5, 8.7], [47.501, 8.701]], [[47.5, 8.7], [47.502, 8.702]]]
    area, = route.areas
    assert [len(ring) for ring in area] == [4, 4] and area[1][0].tolist() == [0.1, 0.2]


def test_a_kmz_that_would_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / 'bomb.kmz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('doc.kml', bytes(201_000_000))
    with pytest.raises(ValueError, match='larger than 200 MB'):
        read_route(tmp_path / 'bomb.kmz')


def test_entities_do_not_grow_without_bounds(file):
    """Ten levels of ten references each would be ten gigabytes."""
    levels = ''.join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 10))
    text = f'<!DOCTYPE gpx [<!ENTITY e0 "bomb">{levels}]><gpx><name>&e9;</name></gpx>'
    with pytest.raises(ValueError, match='not well-formed'):
        read_route(file('bomb.gpx', text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match='there is no route'):
        read_route(tmp_path / 'missing.gpx')
    with pytest.raises(ValueError, match='cannot be used'):
        read_route(tmp_path)  # a folder without a bag


# time s, latitude, longitude, status; a jump, a lost fix and an undefined place among them
FIXES = [
    (0.0, 47.0, 8.0, 0), (1.0, 47.0001, 8.0, 2), (2.0, 0.0, 0.0, -1), (3.0, 47.0002, 8.0, 0),
    (4.0, math.nan, 8.0, 0), (5.0, 48.0, 8.0, 0), (6.0, 47.0004, 8.0, 0), (7.0, 47.0005, 8.0, 0)]
LINES = [[[47.0, 8.0], [47.0001, 8.0], [47.0002, 8.0], [47.0004, 8.0], [47.0005, 8.0]]]


def write_fixes(writer, store, connection, serialize, **header_extra):
    """Write the fixes to an open bag."""
    types = store.types
    for time_s, latitude, longitude, status in FIXES:
        stamp = types['builtin_interfaces/msg/Time'](sec=int(time_s), nanosec=0)
        header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='gps', **header_extra)
        fix = types['sensor_msgs/msg/NavSatFix'](
            header=header,
            status=types['sensor_msgs/msg/NavSatStatus'](status=status, service=1),
            latitude=latitude, longitude=longitude, altitude=0.0,
            position_covariance=np.zeros(9), position_covariance_type=0)
        writer.write(connection, int(time_s * 1e9), serialize(fix, 'sensor_msgs/msg/NavSatFix'))


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_ros_2_bags(tmp_path, plugin):
    """The folder, and the file in it."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / 'bag', version=9, storage_plugin=plugin) as writer:
        connection = writer.add_connection(
            '/gps/fix', 'sensor_msgs/msg/NavSatFix', typestore=store)
        write_fixes(writer, store, connection, store.serialize_cdr)
    storage, = set((tmp_path / 'bag').iterdir()) - {tmp_path / 'bag' / 'metadata.yaml'}
    for path in (tmp_path / 'bag', storage):
        assert as_lists(read_route(path).lines) == LINES


def test_ros_1_bags(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    with Rosbag1Writer(tmp_path / 'drive.bag') as writer:
        connection = writer.add_connection(
            '/fix', 'sensor_msgs/msg/NavSatFix', typestore=store)
        write_fixes(writer, store, connection, store.serialize_ros1, seq=0)
    assert as_lists(read_route(tmp_path / 'drive.bag').lines) == LINES


def test_a_bag_without_positions(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / 'bag', version=9) as writer:
        writer.add_connection('/text', 'std_msgs/msg/String', typestore=store)
    with pytest.raises(ValueError, match='holds no position'):
        read_route(tmp_path / 'bag')


def test_without_rosbags_the_sentence_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rosbags.typesys', None)
    with pytest.raises(ValueError, match='pip install rosbags'):
        read_route(file('drive.bag', ''))


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason='there is no real data here')
def test_a_real_ros_1_bag():
    route = read_route(REAL_DATA / 'robot_localization_test1_husky_navsat.bag')
    assert 10 < route.length_m < 2000
    south, north = route.latitudes_deg
    assert north - south < 0.01


def test_lengths_are_geodesic_and_count_lines_only():
    """A degree of the equator, with a box that counts nothing."""
    route = Route((np.array([[0.0, 179.5], [0.0, -179.5]]),), box(0, 0, 1, 1).areas)
    assert route.length_m == pytest.approx(111_319.49, abs=0.01)
    assert route.latitudes_deg == (0.0, 1.0)


@pytest.mark.parametrize('corners', [
    (0, 1, 1, 1), (0, 2, 1, 1), (1, 0, 1, 1), (0, -91, 1, 1), (0, 0, 181, 1),
    (math.nan, 0, 1, 1)])
def test_boxes_that_are_none(corners):
    with pytest.raises(ValueError):
        box(*corners)
