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

"""Routes as files have them: GPX, GeoJSON, ROS 1 and ROS 2 bags; and what is wrong with some."""

import json
import math
import sys
from test.helpers.paths import REAL_DATA

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
    ('a.gpx', GPX.replace('47.5', '147.5'), 'latitude 147.5'),
    ('a.gpx', GPX.replace('47.5', 'NaN'), 'latitude nan'),
    ('a.gpx', GPX.replace('lat="47.5"', ''), 'cannot be used'),
    ('a.geojson', '{', 'cannot be used'),
    ('a.geojson', '[]', 'no GeoJSON type'),
    ('a.geojson', '{"type": "Topology"}', "'Topology' is no GeoJSON type"),
    ('a.geojson', '{"type": "LineString", "coordinates": []}', 'holds no place'),
    ('a.geojson', '{"type": "Point", "coordinates": [8]}', 'cannot be used'),
    ('a.geojson', '{"type": "Point", "coordinates": ["x", null]}', 'cannot be used'),
    ('a.kml', '<kml/>', 'none of .gpx, .geojson'),
    ('a.bag', 'no bag', 'not a readable bag'),
    ('a.mcap', 'no bag', 'not a readable bag'),
    ('a.db3', 'no bag', 'not a readable bag')])
def test_unusable_files_are_named(file, name, text, problem):
    path = file(name, text)
    with pytest.raises(ValueError, match=problem) as caught:
        read_route(path)
    assert str(path) in str(caught.value)


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
LINES = [[[47.0, 8.0], [47.0001, 8.0], [47.0002, 8.0]], [[47.0004, 8.0], [47.0005, 8.0]],
         [[48.0, 8.0]]]


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
